"""The published datasets through `load_dataset("mnist_idx", …)`: archives of their layout, and copies of them.

Small stand-ins of the same layout take their places on a local server, with digests of their own.
"""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Arrays
from datasets import load_dataset, load_dataset_builder
from http_server import Server
from idx_files import random_images, to_idx, write_archive
from loading import MODES, assert_same, read_all, refusal

from mnist_idx import load_arrays
from mnist_idx.catalog import DATASETS, Source

RELATIVES = [name for name in DATASETS if name not in ("mnist", "tiny")]
COUNTS = {"train": 60, "test": 20}
each_mode = pytest.mark.parametrize("mode", MODES)
Publish = Callable[..., tuple[Server, dict[str, bytes]]]


def stand_in(name: str) -> Arrays:
    """Records of the same kind: split -> (images as stored, labels)."""
    known = DATASETS[name]
    arrays = {}
    for seed, (split, count) in enumerate(COUNTS.items()):
        random = np.random.default_rng(seed)
        labels = random.integers(known.class_names[0] == "N/A", len(known.class_names), count).astype(np.uint8)
        if known.label_parts > 1:
            details = random.integers(0, 280_000, (count, known.label_parts - 1))
            labels = np.column_stack([labels, details]).astype(np.int32)
        arrays[split] = random_images(count, 28, 28, seed=seed), labels
    return arrays


def stand_in_files(name: str) -> dict[str, bytes]:
    """File name -> compressed content."""
    files = {}
    for split, arrays in stand_in(name).items():
        for file, array in zip(DATASETS[name].splits[split][:2], arrays, strict=True):
            files[f"{file.name}.gz"] = gzip.compress(to_idx(array), mtime=0)
    return files


def as_loaded(name: str) -> Arrays:
    """The records as users get them: EMNIST upright, of QMNIST's labels the class."""
    arrays = {}
    for split, (images, labels) in stand_in(name).items():
        images = images.swapaxes(1, 2) if DATASETS[name].transposed else images
        arrays[split] = images, labels if labels.ndim == 1 else labels[:, 0]
    return arrays


@pytest.fixture
def publish(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Publish:
    """Serve a stand-in, with some files changed, in place of a published dataset."""

    def publish(name: str, changed: dict[str, bytes] | None = None, form: str = "deflated.zip") -> Any:
        known, files, splits = DATASETS[name], stand_in_files(name), {}
        for split, facts in known.splits.items():
            renewed = {}
            for role, file in (("images", facts.images), ("labels", facts.labels)):
                content = files[f"{file.name}.gz"]
                digests = [hashlib.sha256(data).hexdigest() for data in (content, gzip.decompress(content))]
                renewed[role] = file._replace(size=len(content), sha256=digests[0], content_sha256=digests[1])
            splits[split] = facts._replace(num_records=COUNTS[split], **renewed)
        files |= changed or {}
        if name.startswith("emnist"):
            others = {"mapping.txt": b"1 65 97\n"} | stand_in_files("emnist_byclass") | files
            archive = write_archive(tmp_path / form, {f"gzip/{n}": content for n, content in others.items()})
            server = serve({"/gzip.zip": archive})
            url = server.url("/gzip.zip")
        else:
            server = serve({f"/set/{n}": content for n, content in files.items()})
            url = server.url("/set/")
        monkeypatch.setitem(DATASETS, name, known._replace(splits=splits, sources=(Source(url, 0),)))
        return server, files

    return publish


def flipped(content: bytes) -> bytes:
    """Another time in the header of gzip: the same records, but not the published file."""
    return content[:5] + bytes([content[5] ^ 1]) + content[6:]


@each_mode
@pytest.mark.parametrize("name", RELATIVES)
def test_relatives(name: str, mode: str, publish: Publish, tmp_path: Path) -> None:
    publish(name)
    found = read_all(mode, "mnist_idx", name, cache_dir=str(tmp_path / "cache"))
    assert_same(found, stand_in(name) if mode == "arrays" and name == "qmnist" else as_loaded(name))


@each_mode
def test_emnist_as_it_is_stored(mode: str, publish: Publish, tmp_path: Path) -> None:
    publish("emnist_digits")
    found = read_all(mode, "mnist_idx", "emnist_digits", transpose=False, cache_dir=str(tmp_path / "cache"))
    assert_same(found, stand_in("emnist_digits"))


@each_mode
@pytest.mark.parametrize("form", ["stored.zip", "deflated.zip"])
def test_emnist_is_verified_inside_its_archive(form: str, mode: str, publish: Publish, tmp_path: Path) -> None:
    name = "emnist-mnist-train-images-idx3-ubyte.gz"
    publish("emnist_mnist", {name: flipped(stand_in_files("emnist_mnist")[name])}, form)
    message = refusal(mode, "mnist_idx", "emnist_mnist", cache_dir=str(tmp_path / "cache"))
    assert name in message
    assert "not the published file" in message


def test_a_stream_of_emnist_fetches_only_its_members(publish: Publish) -> None:
    server, files = publish("emnist_mnist", form="stored.zip")
    list(load_dataset("mnist_idx", "emnist_mnist", split="test", streaming=True))
    assert server.sent("/gzip.zip") < sum(len(content) for name, content in files.items() if "test" in name) + 100_000


# Copies


@pytest.fixture
def copy(publish: Publish, serve: Callable[..., Server], tmp_path: Path) -> Callable[..., str]:
    """Make a copy of a stand-in whose sources are gone. Returns its place."""

    def copy(name: str, form: str, changed: dict[str, bytes] | None = None) -> str:
        server, files = publish(name)
        server.behave(status=404)
        files |= changed or {}
        if form == "decompressed":
            files = {n.removesuffix(".gz"): gzip.decompress(content) for n, content in files.items()}
        if form == "url/":
            return serve({f"/copy/{n}": content for n, content in files.items()}).url("/copy/")
        path = write_archive(tmp_path / form, {f"data/{n}": content for n, content in files.items()})
        return serve({"/set.tar": path}).url("/set.tar") if form == "set.tar" else str(path)

    return copy


@each_mode
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("mnist", "folder"),
        ("emnist_letters", "folder"),
        *(("kmnist", form) for form in ("decompressed", "set.tar", "deflated.zip", "set.tar.gz", "url/")),
    ],
)
def test_copies(name: str, form: str, mode: str, copy: Callable[..., str], tmp_path: Path) -> None:
    options: dict[str, Any] = {"data_dir": copy(name, form), "cache_dir": str(tmp_path / "cache")}
    assert_same(read_all(mode, "mnist_idx", name, **options), as_loaded(name))
    if name == "mnist":
        subset = read_all(mode, "mnist_idx", "subset", num_samples=1, **options)
        assert_same(subset, {split: (x[:1], y[:1]) for split, (x, y) in as_loaded(name).items()})


@each_mode
@pytest.mark.parametrize(("name", "form"), [("mnist", "folder"), ("kmnist", "set.tar"), ("kmnist", "decompressed")])
def test_copies_are_verified(name: str, form: str, mode: str, copy: Callable[..., str], tmp_path: Path) -> None:
    file = "t10k-labels-idx1-ubyte.gz"
    content = stand_in_files(name)[file]
    wrong = flipped(content) if form != "decompressed" else gzip.compress(gzip.decompress(content)[:-1] + b"\7")
    place = copy(name, form, {file: wrong})
    message = refusal(mode, "mnist_idx", name, data_dir=place, cache_dir=str(tmp_path / "cache"))
    assert all(part in message for part in (file.removesuffix(".gz"), "not the published file", place))


@each_mode
@pytest.mark.parametrize("name", ["mnist", "subset", "kmnist"])
def test_other_files_in_data_dir_are_for_idxfolder(name: str, mode: str, tmp_path: Path) -> None:
    files = {f"{role}-idx-ubyte": to_idx(random_images(3, 4, 4)) for role in ("train-images", "train-labels")}
    folder = str(write_archive(tmp_path / "my", files))
    message = refusal(mode, "mnist_idx", name, data_dir=folder)
    way_out = f'load_dataset("idxfolder", data_dir="{folder}")'
    assert all(part in message for part in ("train-images-idx-ubyte", f"mnist_idx/{name}", way_out))


@each_mode
@pytest.mark.parametrize(("name", "option"), [("tiny", "data_dir"), ("tiny", "data_files"), ("mnist", "data_files")])
def test_options_for_own_files_are_refused(name: str, option: str, mode: str) -> None:
    message = refusal(mode, "mnist_idx", name, **{option: __file__})
    assert f"mnist_idx/{name} takes no {option}=. " in message
    assert f'load_dataset("idxfolder", {option}=' in message


def test_sizes_of_the_prepared_files_are_declared(tmp_path: Path) -> None:
    declared, builder = (load_dataset_builder("mnist_idx", "tiny", cache_dir=str(tmp_path)) for _ in range(2))
    builder.download_and_prepare()
    sizes = [{split: info.num_bytes for split, info in b.info.splits.items()} for b in (declared, builder)]
    assert sizes[0] == sizes[1]


def test_examples_are_a_view_of_the_tables_by_rows() -> None:
    builder = load_dataset_builder("mnist_idx", "tiny", as_array=True)
    _, generator = builder._split_generators(builder.download_manager(streaming=True))
    keys, examples = zip(*builder._generate_examples(**generator.gen_kwargs), strict=True)
    assert keys == tuple(range(200))
    images, labels = load_arrays("mnist_idx", "tiny", split="test")
    np.testing.assert_array_equal([example["image"] for example in examples], images)
    assert [example["label"] for example in examples] == labels.tolist()


def test_parts_of_a_split() -> None:
    images, labels = load_arrays("mnist_idx", "tiny", split="test")
    for split, part in {"test[:10%]": slice(0, 20), "test[-5:]": slice(195, 200), "test[7:9]": slice(7, 9)}.items():
        assert_same({"": load_arrays("mnist_idx", "tiny", split=split)}, {"": (images[part], labels[part])})
    joined, _ = load_arrays("mnist_idx", "tiny", split="test+train")
    np.testing.assert_array_equal(joined[:200], images)
    assert len(joined) == 1200
