"""The published datasets through `load_dataset("mnist_idx", …)`: archives of their layout, and copies of them.

Small stand-ins of the same layout take their places on a local server, with digests of their own.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from http_server import Server
from idx_files import random_images, to_idx, write_archive
from loading import MODES, assert_same, read_all, refusal

from mnist_idx import load_arrays
from mnist_idx.catalog import DATASETS, File, Source

RELATIVES = [name for name in DATASETS if name not in ("mnist", "tiny")]
EMNIST = [name for name in RELATIVES if name.startswith("emnist")]
COUNTS = {"train": 60, "test": 20}
each_mode = pytest.mark.parametrize("mode", MODES)
Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


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


def renewed(file: File, content: bytes) -> File:
    digests = {"sha256": content, "content_sha256": gzip.decompress(content)}
    return file._replace(size=len(content), **{key: hashlib.sha256(data).hexdigest() for key, data in digests.items()})


@pytest.fixture
def publish(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[Server, dict[str, bytes]]]:
    """Serve a stand-in, with some files changed, in place of a published dataset."""

    def publish(
        name: str, changed: dict[str, bytes] | None = None, form: str = "deflated.zip"
    ) -> tuple[Server, dict[str, bytes]]:
        known = DATASETS[name]
        files = stand_in_files(name)
        splits = {}
        for split, facts in known.splits.items():
            images, labels = (renewed(file, files[f"{file.name}.gz"]) for file in facts[:2])
            splits[split] = facts._replace(images=images, labels=labels, num_records=COUNTS[split])
        files |= changed or {}
        if known.sources[0].url.endswith(".zip"):
            others = {f"gzip/{n}": c for other in EMNIST[:3] if other != name for n, c in stand_in_files(other).items()}
            content = {"gzip/emnist-letters-mapping.txt": b"1 65 97\n"} | others
            archive = write_archive(tmp_path / form, content | {f"gzip/{n}": c for n, c in files.items()})
            server = serve({"/gzip.zip": archive})
            sources = (Source(server.url("/gzip.zip"), 0),)
        else:
            server = serve({f"/set/{n}": content for n, content in files.items()})
            sources = (Source(server.url("/set/"), 0),)
        monkeypatch.setitem(DATASETS, name, known._replace(splits=splits, sources=sources))
        return server, files

    return publish


Publish = Callable[..., tuple[Server, dict[str, bytes]]]


def flipped(content: bytes) -> bytes:
    """Another time in the header of gzip: the same records, but not the published file."""
    return content[:5] + bytes([content[5] ^ 1]) + content[6:]


@each_mode
@pytest.mark.parametrize("name", RELATIVES)
def test_relatives(name: str, mode: str, publish: Publish, tmp_path: Path) -> None:
    publish(name)
    found = read_all(mode, "mnist_idx", name, cache_dir=str(tmp_path / "cache"))
    if mode == "arrays" and name == "qmnist":
        assert_same(found, stand_in(name))
    else:
        assert_same(found, as_loaded(name))


@pytest.mark.parametrize("streaming", [False, True])
def test_label_details_of_qmnist(streaming: bool, publish: Publish, tmp_path: Path) -> None:
    publish("qmnist")
    data = load_dataset("mnist_idx", "qmnist", cache_dir=str(tmp_path), streaming=streaming)
    for split, (_, labels) in stand_in("qmnist").items():
        assert [[row["label"], *row["label_details"]] for row in data[split]] == labels.tolist()


@pytest.mark.parametrize("name", ["qmnist", "emnist_letters"])
def test_options(name: str, publish: Publish, tmp_path: Path) -> None:
    publish(name)
    options: dict[str, Any] = {"num_samples": 7, "seed": 3, "sampling": "uniform", "as_array": True}
    data = load_dataset("mnist_idx", name, cache_dir=str(tmp_path), num_proc=2, **options)
    streamed = load_dataset("mnist_idx", name, streaming=True, num_shards=3, **options)
    for split in data:
        assert len(data[split]) == 7
        assert [row["label"] for row in data[split]] == [row["label"] for row in streamed[split]]


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
    assert server.sent("/gzip.zip") < sum(len(content) for name, content in files.items() if "test" in name) + 200_000


def test_a_dataset_that_is_unavailable_names_the_ways_out(publish: Publish, tmp_path: Path) -> None:
    server, _ = publish("fashion_mnist")
    server.behave(status=404)
    message = refusal("prepared", "mnist_idx", "fashion_mnist", cache_dir=str(tmp_path))
    assert all(part in message for part in (server.url("/set/"), "404", "data_dir=", '"tiny"'))
    assert "MNIST_IDX_MIRROR" not in message, "the mirror is MNIST's"


# Copies

NAMES = ["mnist", "subset", "kmnist", "emnist_letters"]


def published(name: str) -> str:
    return "mnist" if name == "subset" else name


@pytest.fixture
def copy(
    publish: Publish, serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Make a copy of a stand-in whose sources are gone. Returns its place."""

    def copy(name: str, form: str, changed: dict[str, bytes] | None = None) -> str:
        server, files = publish(published(name))
        server.behave(status=404)
        files |= changed or {}
        if form == "decompressed":
            files = {name.removesuffix(".gz"): gzip.decompress(content) for name, content in files.items()}
        if form == "url/":
            return serve({f"/copy/{n}": content for n, content in files.items()}).url("/copy/")
        path = write_archive(tmp_path / form, {f"data/{n}": content for n, content in files.items()})
        return serve({"/set.tar": path}).url("/set.tar") if form == "set.tar" else str(path)

    return copy


FORMS = ["folder", "decompressed", "set.tar", "deflated.zip", "set.tar.gz", "url/"]


@each_mode
@pytest.mark.parametrize(("name", "form"), [*((n, "folder") for n in NAMES), *(("kmnist", f) for f in FORMS[1:])])
def test_copies(name: str, form: str, mode: str, copy: Callable[..., str], tmp_path: Path) -> None:
    options: dict[str, Any] = {"data_dir": copy(name, form), "cache_dir": str(tmp_path / "cache")}
    expected = as_loaded(published(name))
    if name == "subset":
        options["num_samples"] = 20
        found = read_all(mode, "mnist_idx", name, **options)
        sizes = {split: (len(images), len(labels)) for split, (images, labels) in found.items()}
        assert sizes == {"train": (20, 20), "test": (20, 20)}
        for split, (images, _) in found.items():
            assert {i.tobytes() for i in images} == {i.tobytes() for i in expected[split][0][:20]}
    else:
        assert_same(read_all(mode, "mnist_idx", name, **options), expected)


@each_mode
@pytest.mark.parametrize(("name", "form"), [("mnist", "folder"), ("kmnist", "set.tar"), ("kmnist", "decompressed")])
def test_copies_are_verified(name: str, form: str, mode: str, copy: Callable[..., str], tmp_path: Path) -> None:
    file = "t10k-labels-idx1-ubyte.gz"
    content = stand_in_files(name)[file]
    wrong = flipped(content) if form != "decompressed" else gzip.compress(gzip.decompress(content)[:-1] + b"\7")
    place = copy(name, form, {file: wrong})
    message = refusal(mode, "mnist_idx", name, data_dir=place, cache_dir=str(tmp_path / "cache"))
    assert file.removesuffix(".gz") in message
    assert "not the published file" in message
    assert place in message


@each_mode
@pytest.mark.parametrize("name", NAMES)
def test_other_files_in_data_dir_are_for_idxfolder(name: str, mode: str, tmp_path: Path) -> None:
    files = {f"{role}-idx-ubyte": to_idx(random_images(3, 4, 4)) for role in ("train-images", "train-labels")}
    folder = str(write_archive(tmp_path / "my", files))
    message = refusal(mode, "mnist_idx", name, data_dir=folder)
    assert f'load_dataset("idxfolder", data_dir="{folder}")' in message
    assert "train-images-idx-ubyte" in message
    assert f"mnist_idx/{name}" in message


@each_mode
@pytest.mark.parametrize(
    ("name", "options"),
    [("tiny", {"data_dir": "/"}), ("tiny", {"data_files": __file__}), ("mnist", {"data_files": __file__})],
)
def test_options_for_own_files_are_refused(name: str, options: dict[str, Any], mode: str) -> None:
    (option,) = options
    message = refusal(mode, "mnist_idx", name, **options)
    assert f"mnist_idx/{name} takes no {option}=. " in message
    assert f'load_dataset("idxfolder", {option}=' in message


def test_parts_of_a_split() -> None:
    images, labels = load_arrays("mnist_idx", "tiny", split="test")
    for split, part in {"test[:10%]": slice(0, 20), "test[-5:]": slice(195, 200), "test[7:9]": slice(7, 9)}.items():
        assert_same({"test": load_arrays("mnist_idx", "tiny", split=split)}, {"test": (images[part], labels[part])})
    joined, _ = load_arrays("mnist_idx", "tiny", split="test+train")
    np.testing.assert_array_equal(joined[:200], images)
    assert len(joined) == 1200
