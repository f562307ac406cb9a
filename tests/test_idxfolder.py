"""Anyone's IDX files through `load_dataset("idxfolder", …)` and `load_arrays`: every place, shape and option."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import pytest
from clients import run_client
from datasets import Features, Image, Value, load_dataset
from http_server import Server
from hub_server import HubServer
from idx_files import ARCHIVES, PACKINGS, random_images, random_labels, to_idx, write_archive
from loading import MODES, assert_same, read_all, refusal

from mnist_idx import load_arrays
from mnist_idx.sampling import select

TRAIN = random_images(70, 9, 7), random_labels(70)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, seed=1)
BOTH = {"train": TRAIN, "test": TEST}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
FOUR = dict(zip((IMAGES, LABELS, TEST_IMAGES, TEST_LABELS), map(to_idx, (*TRAIN, *TEST)), strict=True))
PAIRS = [list(FOUR)[:2], list(FOUR)[2:]]

each_mode = pytest.mark.parametrize("mode", MODES)
Write = Callable[..., str]


def compressed(packing: str) -> dict[str, bytes]:
    return {f"{name}{packing}": PACKINGS[packing](content) for name, content in FOUR.items()}


def read(mode: str, **options: Any) -> Any:
    return read_all(mode, "idxfolder", **options)


def read_train(mode: str, **options: Any) -> tuple[np.ndarray, np.ndarray | None]:
    ((split, arrays),) = read(mode, splits=["train"], **options).items()
    assert split == "train"
    return arrays


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the split "train", by default in `BOTH`, into a folder of its own."""

    def write(images: np.ndarray, labels: np.ndarray | None = None) -> str:
        files = {IMAGES: to_idx(images)} | ({} if labels is None else {LABELS: to_idx(labels)})
        return str(write_archive(tmp_path / f"folder{len(os.listdir(tmp_path))}", files))

    return write


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(write_archive(tmp_path / "folder", FOUR))


# Places


@each_mode
@pytest.mark.parametrize(
    ("form", "packing"), [*(("folder", packing) for packing in PACKINGS), *((form, ".gz") for form in ARCHIVES[1:])]
)
def test_folders_and_archives(form: str, packing: str, mode: str, tmp_path: Path) -> None:
    found = read(mode, data_dir=str(write_archive(tmp_path / form, compressed(packing))))
    assert list(found) == ["train", "test"]
    assert_same(found, BOTH)


@each_mode
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("form", ["set.tar", "set.tar.bz2", "deflated.zip"])
def test_archives_at_a_url(form: str, ranges: bool, mode: str, tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve({f"/{form}": write_archive(tmp_path / form, compressed(".gz"))})
    server.behave(ranges=ranges)
    options = {"streaming": True} if mode == "arrays" and not ranges else {}
    assert_same(read(mode, data_dir=server.url("/" + form), **options), BOTH)


@each_mode
def test_remote_folders(mode: str) -> None:
    fsspec.filesystem("memory").pipe({f"/set/{name}": content for name, content in FOUR.items()})
    assert_same(read(mode, data_dir="memory://set"), BOTH)


ON_THE_HUB = """
import huggingface_hub
from loading import MODES, read_all
huggingface_hub.create_repo("alice/idx", repo_type="dataset")
huggingface_hub.upload_folder(repo_id="alice/idx", folder_path=args["folder"], repo_type="dataset")
result = []
for path in ("hf://datasets/alice/idx/files", "hf://datasets/alice/idx/set.tar"):
    for mode in MODES:
        found = read_all(mode, "idxfolder", data_dir=path)
        result.append({split: labels.tolist() for split, (_, labels) in found.items()})
"""


def test_the_hub(tmp_path: Path, hf_home: Path) -> None:
    write_archive(tmp_path / "repo" / "files", FOUR)
    write_archive(tmp_path / "repo" / "set.tar", FOUR)
    with HubServer() as hub:
        args = {"folder": str(tmp_path / "repo")}
        found = run_client(ON_THE_HUB, home=hf_home, args=args, env=hub.environment("writer")).result
    assert found == [{split: labels.tolist() for split, (_, labels) in BOTH.items()}] * 6


def test_forms_of_a_path(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.path.dirname(folder))
    monkeypatch.chdir(os.path.dirname(folder))
    for path in (Path(folder), f"{folder}/", "folder", "./folder", "~/folder", Path(folder).as_uri()):
        assert_same(read("arrays", data_dir=path), BOTH)


@each_mode
def test_a_single_file(mode: str, tmp_path: Path) -> None:
    write_archive(tmp_path, {TEST_IMAGES: FOUR[TEST_IMAGES], "digits": FOUR[IMAGES]})
    assert_same(read(mode, splits=["test"], data_dir=str(tmp_path / TEST_IMAGES)), {"test": (TEST[0], None)})
    assert_same({"train": read_train(mode, data_dir=str(tmp_path / "digits"))}, {"train": (TRAIN[0], None)})


# Files and globs


@each_mode
@pytest.mark.parametrize("pairs", [PAIRS, [pair[::-1] for pair in PAIRS], ["train-*", "t10k*"]], ids=str)
@pytest.mark.parametrize("relative_to", ["data_dir", "working folder"])
def test_data_files(
    pairs: list[Any], relative_to: str, mode: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"data_dir": folder} if relative_to == "data_dir" else {}
    monkeypatch.chdir("/" if options else folder)
    assert_same(read(mode, data_files=dict(zip(BOTH, pairs, strict=True)), **options), BOTH)
    renamed = read(mode, splits=["test", "other"], data_files={"test": pairs[0], "other": pairs[1]}, **options)
    assert_same(renamed, {"test": TRAIN, "other": TEST})
    assert_same({"train": read_train(mode, data_files=pairs[0], **options)}, {"train": TRAIN})


@each_mode
def test_files_at_urls(mode: str, serve: Callable[..., Server]) -> None:
    server = serve({f"/{name}": content for name, content in FOUR.items()})
    urls = [[server.url(f"/{name}") for name in pair] for pair in PAIRS]
    assert_same(read(mode, data_files=dict(zip(BOTH, urls, strict=True))), BOTH)


@each_mode
def test_archives_as_data_files(mode: str, tmp_path: Path) -> None:
    path = str(write_archive(tmp_path / "set.tar", FOUR))
    for data_files in (path, [path], {"train": path}):
        assert_same({"train": read_train(mode, data_files=data_files)}, {"train": TRAIN})
    assert_same(read(mode, data_files={"train": path, "test": path}), BOTH)
    assert_same(read(mode, splits=["Testing"], data_files={"Testing": path}), {"Testing": TEST})
    message = refusal(mode, "idxfolder", data_files={"validation": path})
    assert all(word in message for word in (path, "train", "'validation'"))
    unnamed = {"images.idx": FOUR[TEST_IMAGES], "labels.idx": FOUR[TEST_LABELS]}
    path = str(write_archive(tmp_path / "unnamed.tar", unnamed))
    assert_same(read(mode, splits=["test"], data_files={"test": path}), {"test": TEST})


@each_mode
def test_one_of_several_datasets(mode: str, tmp_path: Path) -> None:
    files = {f"gzip/emnist-letters-{name}": content for name, content in FOUR.items()}
    files |= {f"gzip/emnist-digits-{name}": FOUR[IMAGES] for name in (IMAGES, "test-images-idx3-ubyte")}
    path = str(write_archive(tmp_path / "deflated.zip", files))
    assert 'prefix="emnist-digits"' in refusal(mode, "idxfolder", data_dir=path)
    assert_same(read(mode, data_dir=path, prefix="emnist-letters"), BOTH)
    assert_same(read(mode, splits=["test"], data_files={"test": path}, prefix="emnist-d"), {"test": (TRAIN[0], None)})


@each_mode
def test_missing_files_are_named(mode: str, tmp_path: Path) -> None:
    assert "data_dir=" in refusal(mode, "idxfolder")
    (tmp_path / "empty").mkdir()
    for place in ("empty", "nowhere"):
        assert f"{tmp_path}/{place}" in refusal(mode, "idxfolder", data_dir=str(tmp_path / place))
    for missing, message in ((IMAGES, LABELS), (TEST_LABELS, "1 in 'train', 0 in 'test'")):
        rest = {name: content for name, content in FOUR.items() if name != missing}
        assert message in refusal(mode, "idxfolder", data_dir=str(write_archive(tmp_path / message, rest)))


@pytest.mark.parametrize("num_proc", [None, 2])
def test_checksums_of_a_zip_are_checked_however_many_processes_read_it(num_proc: int | None, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "deflated.zip", FOUR)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 16] ^= 1  # the first one in the directory
    path.write_bytes(data)
    assert f"{IMAGES} in {path}: found crc32" in refusal("prepared", "idxfolder", data_dir=str(path), num_proc=num_proc)


# Shapes and types

RECORDS = {
    "pixel": (random_images(1, 1, 1), random_labels(1, classes=1)),
    "row": (random_images(23, 28, 1), None),
    "large": (random_images(23, 513, 3), random_labels(23)),
    "color": (random_images(23, 5, 6, 3), random_labels(23)),
    "square color": (random_images(23, 3, 3, 3), random_labels(23)),
    "three columns": (random_images(23, 3, 3), random_labels(23)),
    **{dtype: (random_images(3, 3, 3), np.array([3, 120, 0], dtype)) for dtype in ("uint8", "int8", "int16", "int32")},
}


@each_mode
@pytest.mark.parametrize("kind", RECORDS)
def test_records_of_any_kind(kind: str, mode: str, write: Write) -> None:
    assert_same({"train": read_train(mode, data_dir=write(*RECORDS[kind]))}, {"train": RECORDS[kind]})


@pytest.mark.parametrize("labelled", [True, False])
def test_a_split_without_records(labelled: bool, write: Write) -> None:
    path = write(random_images(0, 28, 28), random_labels(0) if labelled else None)
    data = load_dataset("idxfolder", data_dir=path, split="train", label_names=["a"])
    assert len(data) == 0
    assert data.column_names == (["image", "label"] if labelled else ["image"])
    assert not labelled or data.features["label"].names == ["a"]
    assert list(load_dataset("idxfolder", data_dir=path, split="train", streaming=True)) == []
    images, labels = load_arrays("idxfolder", data_dir=path)
    assert images.shape == (0, 28, 28)
    assert (labels is not None) == labelled


@each_mode
@pytest.mark.parametrize("labels", [[3, 2_000_000_000, 1], [3, 0, -5], [0, 1, 100_000]])
def test_labels_that_are_plain_numbers(labels: list[int], mode: str, write: Write) -> None:
    """A name for each of two billion classes would fill the memory."""
    expected = random_images(3, 3, 3), np.array(labels, np.int32)
    path = write(*expected)
    message = refusal(mode, "idxfolder", data_dir=path)
    assert f"{min(0, *labels):,} to {max(labels):,}, expected 0 to 99,999" in message
    assert "features=" in message
    plain = Features({"image": Image(), "label": Value("int64")})
    assert_same({"train": read_train(mode, data_dir=path, features=plain)}, {"train": expected})


def test_labels_of_several_parts(write: Write) -> None:
    """As QMNIST has them: the class, and where the digit is from."""
    parts = np.random.default_rng(0).integers(0, 300_000, (40, 8)).astype(np.int32)
    parts[:, 0] = np.arange(40) % 10
    path = write(random_images(40, 3, 3), parts)
    for streaming in (False, True):
        data = load_dataset("idxfolder", data_dir=path, split="train", streaming=streaming)
        assert data.features["label"].num_classes == 10
        assert [[row["label"], *row["label_details"]] for row in data] == parts.tolist()
    np.testing.assert_array_equal(load_arrays("idxfolder", data_dir=path)[1], parts)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (4, 5, 3), (2, 3, 4, 5), (1, 2, 3, 2, 2)])
def test_arrays_of_any_type(shape: tuple[int, ...], dtype: str, write: Write) -> None:
    images = np.random.default_rng(0).normal(scale=50, size=(1_003, *shape)).astype(dtype)
    path = write(images, random_labels(1_003))
    if dtype != "uint8" or len(shape) not in (2, 3):
        for mode in MODES[:2]:
            assert f"{IMAGES}: found {dtype} records of shape {shape}" in refusal(mode, "idxfolder", data_dir=path)
    data = load_dataset("idxfolder", data_dir=path, split="train", as_array=True)
    np.testing.assert_array_equal(np.array(data.with_format("arrow")[:]["image"].to_pylist(), dtype=dtype), images)
    found, _ = load_arrays("idxfolder", data_dir=path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, images)


def test_splits_of_different_shapes(tmp_path: Path) -> None:
    other = random_images(30, 5, 5), TEST[1]
    path = str(write_archive(tmp_path / "folder", FOUR | {TEST_IMAGES: to_idx(other[0])}))
    assert_same(read("prepared", data_dir=path), {"train": TRAIN, "test": other})
    message = refusal("prepared", "idxfolder", data_dir=path, as_array=True)
    assert all(shape in message for shape in ("(9, 7)", "(5, 5)", "t10k-images"))


# Classes


@each_mode
def test_label_names(mode: str, folder: str) -> None:
    names = list("abcdefghij")
    assert_same(read(mode, data_dir=folder, label_names=names), BOTH)
    if mode != "arrays":
        data = load_dataset("idxfolder", data_dir=folder, label_names=names, streaming=mode == "streamed")
        assert data["train"].features["label"].names == names


@each_mode
@pytest.mark.parametrize(("record", "label"), [(2_400, 7), (1_200, -1)])
def test_labels_without_a_name_are_refused(record: int, label: int, mode: str, write: Write) -> None:
    labels = np.zeros(2_500, np.int8)
    labels[record] = label
    options: dict[str, Any] = {"data_dir": write(random_images(2_500, 3, 3), labels), "label_names": ["a", "b"]}
    splits = ["train", "train[1100:]"] if mode == "arrays" else ["train"]
    for split in splits:
        message = refusal(mode, "idxfolder", splits=[split], **options)
        assert f"{LABELS}: record {record:,} has the label {label}, expected 0 to 1" in message


def test_the_largest_label_of_all_splits_counts(tmp_path: Path) -> None:
    files = FOUR | {TEST_LABELS: to_idx(np.full(30, 17, np.uint8))}
    data = load_dataset("idxfolder", data_dir=str(write_archive(tmp_path / "folder", files)))
    assert data["train"].features["label"].names == [str(label) for label in range(18)]
    assert data["train"].features == data["test"].features


# Options


@each_mode
@pytest.mark.parametrize("shape", [(6, 9, 7), (6, 9, 7, 3)])
def test_transpose(shape: tuple[int, ...], mode: str, write: Write) -> None:
    images, labels = random_images(*shape), random_labels(6)
    path = write(images.swapaxes(1, 2), labels)
    for options in ({}, {"as_array": True}):
        found = read_train(mode, data_dir=path, transpose=True, **options)
        assert_same({"train": found}, {"train": (images, labels)})
    subset, _ = read_train(mode, data_dir=path, transpose=True, num_samples=3, seed=1)
    assert {image.tobytes() for image in subset} == {image.tobytes() for image in images[:3]}


@each_mode
@pytest.mark.parametrize("sampling", ["first", "uniform"])
def test_subsets(sampling: str, mode: str, folder: str) -> None:
    options = {"data_dir": folder, "seed": 5, "sampling": sampling}
    orders = {split: list(select(len(BOTH[split][0]), 12, 5, sampling)) for split in BOTH}
    expected = {split: (images[orders[split]], labels[orders[split]]) for split, (images, labels) in BOTH.items()}
    assert_same(read(mode, num_samples=12, **options), expected)
    larger = read(mode, num_samples=50, **options)
    assert {split: len(images) for split, (images, _) in larger.items()} == {"train": 50, "test": 30}
    assert "num_samples=71: " in refusal(mode, "idxfolder", num_samples=71, **options)


@pytest.mark.parametrize("form", ["folder", "set.tar"])
def test_only_changed_files_are_prepared_again(form: str, tmp_path: Path) -> None:
    path = write_archive(tmp_path / form, FOUR)
    caches = {load_dataset("idxfolder", data_dir=str(path))["train"].cache_files[0]["filename"] for _ in range(2)}
    assert len(caches) == 1
    write_archive(path, dict(zip([*FOUR][2:] + [*FOUR][:2], FOUR.values(), strict=True)))
    os.utime(path / IMAGES if path.is_dir() else path, (0, 0))
    assert_same(read("prepared", data_dir=str(path)), {"train": TEST, "test": TRAIN})


def test_inspection(folder: str) -> None:
    assert datasets.get_dataset_config_names("idxfolder", data_dir=folder) == ["default"]
    assert sorted(datasets.get_dataset_split_names("idxfolder", data_dir=folder)) == ["test", "train"]
    builder = datasets.load_dataset_builder("idxfolder", data_dir=folder)
    assert (builder.dataset_name, type(builder).__name__) == ("idxfolder", "IdxFolder")
    info = load_dataset("idxfolder", data_dir=folder)["train"].info
    assert info.dataset_name == "idxfolder"
    assert {split: found.num_examples for split, found in info.splits.items()} == {"train": 70, "test": 30}


# Every supported version of datasets

EVERYWHERE = """
import datasets, mnist_idx
import numpy as np
result = {}
for name, options in args.items():
    for streaming in (False, True):
        data = datasets.load_dataset("idxfolder", streaming=streaming, **options)
        result[f"{name} {streaming}"] = {
            split: [[np.asarray(row["image"]).tobytes().hex(), row.get("label")] for row in data[split]]
            for split in data
        }
urls = dict(args["URLs"], num_proc=2, cache_dir="forked")
# fsspec's thread is not in a forked process: older versions wait for it forever.
result["forked"] = {split: len(rows) for split, rows in datasets.load_dataset("idxfolder", **urls).items()}
"""


def rows(images: np.ndarray, labels: np.ndarray | None) -> list[list[Any]]:
    classes = [None] * len(images) if labels is None else [int(label.flat[0]) for label in labels]
    return [[image.tobytes().hex(), label] for image, label in zip(images, classes, strict=True)]


@pytest.mark.compat
def test_every_version_of_datasets(
    python: str, tmp_path: Path, hf_home: Path, write: Write, folder: str, serve: Callable[..., Server]
) -> None:
    cases: dict[str, Any] = {name: RECORDS[name] for name in ("color", "pixel", "row")}
    cases["parts"] = random_images(9, 3, 3), np.arange(72, dtype=np.int32).reshape(9, 8)
    cases["empty"] = random_images(0, 28, 28), random_labels(0)
    sources: dict[str, Any] = {name: {"data_dir": write(*arrays)} for name, arrays in cases.items()}
    for form in ARCHIVES[1:]:
        sources[form] = {"data_dir": str(write_archive(tmp_path / form, compressed(".xz" if "zip" in form else ".gz")))}
    sources["globs"] = {"data_dir": folder, "data_files": {"train": "train-*", "test": "t10k-*"}}
    sources["archive twice"] = {"data_files": dict.fromkeys(BOTH, str(tmp_path / "set.tar"))}
    server = serve({f"/{name}": content for name, content in FOUR.items()})
    for name, place in (("files", folder), ("URLs", server.url())):
        pairs = [[f"{place.rstrip('/')}/{file}" for file in pair] for pair in PAIRS]
        sources[name] = {"data_files": dict(zip(BOTH, pairs, strict=True))}
    found = run_client(EVERYWHERE, home=hf_home, args=sources, python=python).result
    assert found.pop("forked") == {"train": 70, "test": 30}
    assert len(found) == 2 * len(sources)
    for name, data in found.items():
        expected = {"train": cases[name.split()[0]]} if name.split()[0] in cases else BOTH
        assert data == {split: rows(*arrays) for split, arrays in expected.items()}, name


def test_own_features_do_not_cut_values_to_bytes(write: Write) -> None:
    path = write(np.full((3, 4, 5), 300, np.int16), random_labels(3))
    features = Features({"image": Image(), "label": Value("int64")})
    for mode in ("prepared", "streamed"):
        assert "expected uint8" in refusal(mode, "idxfolder", data_dir=path, features=features)


def test_folders_above_the_dataset_do_not_tell_the_split(tmp_path: Path) -> None:
    place = tmp_path / "test" / ".data"
    write_archive(place, {"images-idx3-ubyte": to_idx(TRAIN[0])})
    assert list(load_dataset("idxfolder", data_dir=str(place / "images-idx3-ubyte"), streaming=True)) == ["train"]


def test_a_remote_folder_is_not_downloaded_as_a_whole(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/whole/{name}": content for name, content in (FOUR | {"huge.bin": b"x"}).items()})
    load_dataset("idxfolder", data_dir="memory://whole", cache_dir=str(tmp_path))
    stored = [path.read_bytes() for path in (tmp_path / "downloads").iterdir() if path.is_file()]
    assert b"x" not in stored
    assert FOUR[IMAGES] in stored


def test_no_records_of_a_member_in_a_zip(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "stored.zip", FOUR)
    images, labels = load_arrays("idxfolder", data_dir=str(path), split="train[:0]", streaming=True)
    assert images.shape == (0, 9, 7)
    assert labels is not None and labels.shape == (0,)
