"""Anyone's IDX files through `load_dataset("idxfolder", …)` and `load_arrays`: every place, shape
and option.
"""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from clients import run_client
from datasets import Features, Image, Value, load_dataset
from http_server import Server
from hub_server import HubServer
from idx_files import (
    ARCHIVES,
    four_files,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from loading import MODES, assert_same, read_all, refusal
from packers import PACKINGS
from selections import selected

from mnist_idx import load_arrays
from mnist_idx.tools import cli

TRAIN = random_images(70, 9, 7), random_labels(70)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, seed=1)
BOTH = {"train": TRAIN, "test": TEST}
FOUR = four_files(TRAIN, TEST)
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = FOUR
PAIRS = [list(FOUR)[:2], list(FOUR)[2:]]
# Both splits with `num_samples=70`. The test split has fewer.
SHUFFLED = {
    name: tuple(part[selected(len(part), 70, 1)] for part in pair) for name, pair in BOTH.items()
}
PLAIN = Features({"image": Image(), "label": Value("int64")})

each_mode = pytest.mark.parametrize("mode", MODES)
# The name and the files of a folder or an archive, the options of loading it, and what is loaded.
Case = tuple[str, dict[str, bytes], dict[str, Any], Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of both splits in the working folder."""
    monkeypatch.chdir(tmp_path)
    return str(write_archive(tmp_path / "folder", FOUR))


def compressed(packing: str) -> dict[str, bytes]:
    return {f"{name}{packing}": PACKINGS[packing](content) for name, content in FOUR.items()}


def pair(images: np.ndarray, labels: np.ndarray | None = None, **options: Any) -> Case:
    """A folder with the split "train"."""
    files = {IMAGES: to_idx(images)} | ({} if labels is None else {LABELS: to_idx(labels)})
    return "pair", files, {"data_dir": "pair", **options}, {"train": (images, labels)}


def write_case(case: Case) -> dict[str, Any]:
    """Write the files of a case into the working folder. Returns the options."""
    write_archive(Path(case[0]), case[1])
    return case[2]


LETTERS = {f"gzip/emnist-letters-{name}": content for name, content in FOUR.items()}
EMNIST = LETTERS | {
    f"gzip/emnist-digits-{name}": FOUR[IMAGES] for name in (IMAGES, "test-images-idx3-ubyte")
}
UNNAMED = {"images.idx": FOUR[TEST_IMAGES], "labels.idx": FOUR[TEST_LABELS]}
# As Kaggle unpacks MNIST: each file raw, and in a folder of its own name.
TWICE = {n.replace("-idx", ".idx"): FOUR[n] for n in FOUR} | {f"{n}/{n}": FOUR[n] for n in FOUR}
GLOBS = {"train": "train-*", "test": "t10k*"}
ONLY_IMAGES = TRAIN[0], None
NUMBERS = [np.array(numbers, np.int32) for numbers in ([3, 2_000_000_000, 1], [3, 0, -5])]
CASES: dict[str, Case] = {
    **{
        f"folder{packing}": ("set", compressed(packing), {"data_dir": "set"}, BOTH)
        for packing in PACKINGS
    },
    **{form: (form, compressed(".gz"), {"data_dir": form}, BOTH) for form in ARCHIVES[1:]},
    **{
        f"twice in {form}": (form, TWICE, {"data_dir": form}, BOTH)
        for form in ("x", "set.tar", "deflated.zip")
    },
    # The name of a single file tells the split, those of the folders above do not.
    "single file": (
        "test/.x",
        {"digits": FOUR[IMAGES]},
        {"data_dir": "test/.x/digits"},
        {"train": ONLY_IMAGES},
    ),
    "named file": ("x", FOUR, {"data_dir": f"x/{TEST_IMAGES}"}, {"test": (TEST[0], None)}),
    "files": (".", FOUR, {"data_files": dict(zip(BOTH, PAIRS, strict=True))}, BOTH),
    "files of one split": (".", FOUR, {"data_files": PAIRS[0]}, {"train": TRAIN}),
    "renamed": (
        ".",
        FOUR,
        {"data_files": {"test": PAIRS[0], "other": "t10k*"}},
        {"test": TRAIN, "other": TEST},
    ),
    "home": ("x/set", FOUR, {"data_dir": "~/set/"}, BOTH),
    "path": ("x", FOUR, {"data_dir": Path("x")}, BOTH),
    "globs": (".", FOUR, {"data_files": GLOBS}, BOTH),
    "globs in a folder": ("x", FOUR, {"data_dir": "x", "data_files": GLOBS}, BOTH),
    "archive as a file": ("set.tar", FOUR, {"data_files": "set.tar"}, {"train": TRAIN}),
    "archive twice": ("set.tar", FOUR, {"data_files": dict.fromkeys(BOTH, "set.tar")}, BOTH),
    "split by another name": (
        "set.tar",
        FOUR,
        {"data_files": {"Testing": "set.tar"}},
        {"Testing": TEST},
    ),
    "archive of one split": ("a.tar", UNNAMED, {"data_files": {"test": "a.tar"}}, {"test": TEST}),
    "one of several": (
        "deflated.zip",
        EMNIST,
        {"data_dir": "deflated.zip", "prefix": "emnist-letters"},
        BOTH,
    ),
    "split of one": (
        "a.tar",
        EMNIST,
        {"data_files": {"test": "a.tar"}, "prefix": "emnist-d"},
        {"test": ONLY_IMAGES},
    ),
    "samples": ("x", FOUR, {"data_dir": "x", "num_samples": 70}, SHUFFLED),
    "pixel": pair(random_images(1, 1, 1), random_labels(1, classes=1)),
    "row": pair(random_images(23, 28, 1)),
    "large": pair(random_images(23, 513, 3), random_labels(23)),
    "color": pair(random_images(23, 5, 6, 3), random_labels(23)),
    "square color": pair(random_images(23, 3, 3, 3), random_labels(23)),
    "three columns": pair(random_images(23, 3, 3), random_labels(23)),
    **{
        t: pair(random_images(3, 3, 3), np.array([3, 120, 0], t))
        for t in ("int8", "int16", "int32")
    },
    # A name for each of two billion classes would fill the memory.
    **{
        f"up to {max(numbers)}": pair(random_images(3, 3, 3), numbers, features=PLAIN)
        for numbers in NUMBERS
    },
}


@each_mode
@pytest.mark.parametrize("name", CASES)
def test_what_is_loaded(
    name: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "x"))
    expected = CASES[name][3]
    found = read_all(mode, "idxfolder", splits=expected, **write_case(CASES[name]))
    assert list(found) == list(expected)
    assert_same(found, expected)


REFUSED: dict[str, Case] = {
    "no place": ("x", FOUR, {}, "data_dir="),
    "no such folder": ("x", FOUR, {"data_dir": "nowhere"}, "/nowhere: "),
    "other split": (
        "set.tar",
        FOUR,
        {"data_files": {"validation": "set.tar"}},
        "set.tar: .* train.*'validation'",
    ),
    "many samples": ("x", FOUR, {"data_dir": "x", "num_samples": 71}, "num_samples=71: "),
    "no classes": (
        *pair(random_images(3, 3, 3), NUMBERS[0])[:3],
        "0 to 2,000,000,000.*99,999.*features=",
    ),
}


@each_mode
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(
    name: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert re.search(REFUSED[name][3], refusal(mode, "idxfolder", **write_case(REFUSED[name])))


def test_data_files_that_are_not_there(folder: str) -> None:
    for data_files, message in (
        ("nothing", "nothing"),
        ({"test": "nothing*", "train": "*.gz"}, "no file.*'test'"),
    ):
        with pytest.raises((FileNotFoundError, ValueError), match=message):
            load_dataset("idxfolder", data_dir=folder, data_files=data_files)


@each_mode
@pytest.mark.parametrize("lacking", [(), ("ranges",), ("ranges", "length")], ids=str)
@pytest.mark.parametrize("form", ["set.tar", "set.tar.bz2", "stored.zip", "deflated.zip"])
def test_archives_at_a_url(
    form: str, lacking: Any, mode: str, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve({f"/{form}": write_archive(tmp_path / form, compressed(".gz"))})
    server.behave(**dict.fromkeys(lacking, False))
    assert cli.main(["verify", server.url(f"/{form}")]) == 0
    options = {"streaming": True} if mode == "arrays" and lacking else {}
    assert_same(read_all(mode, "idxfolder", data_dir=server.url(f"/{form}"), **options), BOTH)


@each_mode
def test_remote_folders_and_files(mode: str, tmp_path: Path, serve: Callable[..., Server]) -> None:
    files = FOUR | {"huge.bin": b"x"}
    fsspec.filesystem("memory").pipe({f"/set/{name}": content for name, content in files.items()})
    assert_same(read_all(mode, "idxfolder", data_dir="memory://set", cache_dir=str(tmp_path)), BOTH)
    stored = [path.read_bytes() for path in tmp_path.glob("downloads/*") if path.is_file()]
    assert b"x" not in stored
    assert (FOUR[IMAGES] in stored) == (mode != "streamed")
    server = serve({f"/{name}": content for name, content in FOUR.items()})
    urls = [[server.url(f"/{name}") for name in names] for names in PAIRS]
    assert_same(read_all(mode, "idxfolder", data_files=dict(zip(BOTH, urls, strict=True))), BOTH)


@each_mode
def test_an_invalid_file_is_fetched_again(
    mode: str, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve({"/images": to_idx(TRAIN[0])[:-1]})
    options = {
        "splits": ["train"],
        "data_files": {"train": [server.url("/images")]},
        "cache_dir": str(tmp_path),
    }
    assert "the data ends after" in refusal(mode, "idxfolder", **options)
    server.put("/images", to_idx(TRAIN[0]))
    assert_same(read_all(mode, "idxfolder", **options), {"train": (TRAIN[0], None)})


def test_the_hub(tmp_path: Path, hf_home: Path) -> None:
    for form in ("files", "set.tar"):
        write_archive(tmp_path / "repo" / form, FOUR)
    with HubServer() as hub:
        found = run_client(
            "load_from_hub", home=hf_home, cwd=tmp_path, env=hub.environment("writer")
        ).result
    assert found == [[TRAIN[1].tolist(), TEST[1].tolist()]] * 6


@pytest.mark.parametrize("labels", [None, random_labels(0)])
def test_a_split_without_records(labels: np.ndarray | None, folder: str) -> None:
    case = pair(random_images(0, 28, 28), labels)
    options = write_case(case)
    data = load_dataset("idxfolder", split="train", **options)
    assert (len(data), data.column_names) == (
        0,
        ["image"] if labels is None else ["image", "label"],
    )
    assert list(load_dataset("idxfolder", split="train", streaming=True, **options)) == []
    assert_same(read_all("arrays", "idxfolder", splits=["train"], **options), case[3])
    part = read_all("arrays", "idxfolder", splits=["train[:0]"], data_dir=folder)
    assert_same(part, {"train[:0]": (TRAIN[0][:0], TRAIN[1][:0])})


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (4, 5, 3), (2, 3, 4, 5), (1, 2, 3, 2, 2)])
def test_arrays_of_any_type(shape: tuple[int, ...], dtype: str, folder: str) -> None:
    images = np.random.default_rng(0).normal(scale=50, size=(1_003, *shape)).astype(dtype)
    case = pair(images, random_labels(1_003))
    options = write_case(case)
    if dtype != "uint8" or len(shape) not in (2, 3):
        for mode, features in itertools.product(
            MODES[:2], (None, PLAIN)
        ):  # which do not cut values to bytes, either
            message = refusal(mode, "idxfolder", features=features, **options)
            assert f"{IMAGES}: found {dtype} records of shape {shape}" in message
    for mode in MODES:
        found = read_all(mode, "idxfolder", splits=["train"], as_array=True, **options)
        assert_same(found, case[3])
    assert found["train"][0].dtype == dtype


def test_splits_of_different_shapes(folder: str) -> None:
    other = random_images(30, 5, 5), TEST[1]
    write_archive(Path(folder), {TEST_IMAGES: to_idx(other[0])})
    assert_same(read_all("prepared", "idxfolder", data_dir=folder), {"train": TRAIN, "test": other})
    message = refusal("prepared", "idxfolder", data_dir=folder, as_array=True)
    assert all(shape in message for shape in ("(9, 7)", "(5, 5)", "t10k-images"))


def test_names_of_classes(folder: str) -> None:
    """By default, the largest label of all splits counts."""
    write_archive(Path(folder), {TEST_LABELS: to_idx(np.full(30, 17, np.uint8))})
    for streaming, names in itertools.product((False, True), (None, list("abcdefghijklmnopqr"))):
        data = load_dataset("idxfolder", data_dir=folder, streaming=streaming, label_names=names)
        for split in data.values():
            assert split.features["label"].names == (names or [str(label) for label in range(18)])


@each_mode
@pytest.mark.parametrize(("record", "label"), [(2_400, 7), (1_200, -1)])
def test_labels_without_a_name_are_refused(record: int, label: int, mode: str, folder: str) -> None:
    labels = np.zeros(2_500, np.int8)
    labels[record] = label
    options = write_case(pair(random_images(2_500, 3, 3), labels, label_names=["a", "b"]))
    for split in ["train", "train[1100:]"] if mode == "arrays" else ["train"]:
        message = refusal(mode, "idxfolder", splits=[split], **options)
        assert re.search(rf"{LABELS}: .*{record:,} .*label {label}\b.*0 to 1", message)


@each_mode
@pytest.mark.parametrize("shape", [(6, 9, 7), (6, 9, 7, 3)])
def test_transpose(shape: tuple[int, ...], mode: str, folder: str) -> None:
    images, labels = random_images(*shape), random_labels(6)
    options = write_case(pair(images.swapaxes(1, 2), labels, transpose=True))
    for more, order in (
        ({}, range(6)),
        ({"as_array": True}, range(6)),
        ({"num_samples": 3}, selected(6, 3, 1)),
    ):
        found = read_all(mode, "idxfolder", splits=["train"], **options, **more)
        assert_same(found, {"train": (images[[*order]], labels[[*order]])})


ELSEWHERE = [*ARCHIVES[1:], "globs", "files", "archive twice", "color", "pixel", "row"]


@pytest.mark.slow
@pytest.mark.compat
def test_every_version_of_datasets(
    python: str, hf_home: Path, folder: str, serve: Callable[..., Server]
) -> None:
    server = serve({f"/{name}": content for name, content in FOUR.items()})
    urls = [[server.url(f"/{name}") for name in names] for names in PAIRS]
    for name in ELSEWHERE:
        Path(name).mkdir()
        write_archive(Path(name) / CASES[name][0], CASES[name][1])
    # As QMNIST has them: the class, and where the digit is from.
    parts = np.random.default_rng(0).integers(0, 300_000, (40, 8)).astype(np.int32)
    parts[:, 0] = np.arange(40) % 10
    write_archive(Path("parts"), pair(random_images(40, 3, 3), parts)[1])
    write_archive(Path("empty"), pair(random_images(0, 28, 28), random_labels(0))[1])
    args = {
        "urls": dict(zip(BOTH, urls, strict=True)),
        "cases": {name: CASES[name][2] for name in ELSEWHERE},
    }
    result = run_client("load_folders", home=hf_home, args=args, python=python, cwd=".").result
    assert (result["empty"], result["parts"]) == ([[], []], [parts.tolist()] * 2)
    assert result["forked"] == {"train": 70, "test": 30}
    assert len(result["loaded"]) == 2 * len(ELSEWHERE)
    for name, found in result["loaded"]:
        assert_same(found, CASES[name][3])
    np.testing.assert_array_equal(load_arrays("idxfolder", data_dir="parts")[1], parts)
