"""`load_arrays` looks only at the splits that are asked for, and takes them as `load_dataset`."""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_server import Server
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    four_files,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from loading import assert_same
from stand_ins import as_loaded, stand_in_dataset, stand_in_files

from mnist_idx import IdxError, load_arrays
from mnist_idx.catalog import DATASETS

TRAIN = random_images(9, 5, 4), random_labels(9)
TEST = random_images(4, 5, 4, seed=1), random_labels(4, seed=1)
FILES = four_files(TRAIN, TEST)
# What is wrong with the files of the test split: content in place of theirs, None for no file.
FAULTS: dict[str, Mapping[str, bytes | None]] = {
    "unlabelled": {TEST_LABELS: None},
    "without images": {TEST_IMAGES: None},
    "missing": {TEST_IMAGES: None, TEST_LABELS: None},
    "of another size": {TEST_IMAGES: to_idx(random_images(4, 7, 7))},
    "of other labels": {TEST_LABELS: to_idx(np.zeros((4, 3), np.int32))},
    "cut short": {TEST_IMAGES: FILES[TEST_IMAGES][:-5]},
    "no IDX file": {TEST_IMAGES: b"<html>"},
    "empty": {TEST_IMAGES: b"", TEST_LABELS: b""},
    "negative labels": {TEST_LABELS: to_idx(np.full(4, -1, np.int8))},
}
each_fault = pytest.mark.parametrize("fault", FAULTS)


def spoilt(fault: str) -> dict[str, bytes]:
    files: dict[str, bytes | None] = {**FILES, **FAULTS[fault]}
    return {name: content for name, content in files.items() if content is not None}


def data_files(folder: str) -> dict[str, list[str]]:
    """The files by split, whether they are there or not."""
    names = list(FILES)
    return {
        "train": [f"{folder}/{name}" for name in names[:2]],
        "test": [f"{folder}/{name}" for name in names[2:]],
    }


def assert_train(**options: Any) -> None:
    found = load_arrays("idxfolder", split="train", **options)
    assert_same({"train": found}, {"train": TRAIN})


@each_fault
@pytest.mark.parametrize("form", ["folder", "set.tar", "stored.zip"])
@pytest.mark.parametrize("streaming", [False, True])
def test_other_splits_do_not_matter(streaming: bool, form: str, fault: str, tmp_path: Path) -> None:
    place = write_archive(tmp_path / form, spoilt(fault))
    assert_train(data_dir=str(place), streaming=streaming)
    assert_train(data_dir=place.as_uri(), streaming=streaming)


@each_fault
@pytest.mark.parametrize("streaming", [False, True])
def test_other_splits_of_data_files_do_not_matter(
    streaming: bool, fault: str, tmp_path: Path
) -> None:
    folder = write_archive(tmp_path / "folder", spoilt(fault))
    assert_train(data_files=data_files(str(folder)), streaming=streaming)


@each_fault
@pytest.mark.parametrize("streaming", [False, True])
def test_other_splits_of_a_server_do_not_matter(
    streaming: bool, fault: str, serve: Callable[..., Server], tmp_path: Path
) -> None:
    content: dict[str, bytes] = {f"/set/{name}": data for name, data in spoilt(fault).items()}
    server = serve({**content, "/set.tar": make_tar(spoilt(fault))})
    cache = {"cache_dir": str(tmp_path), "streaming": streaming}
    assert_train(data_files=data_files(server.url("/set")), **cache)
    asked = {request.path for request in server.requests}
    assert asked == {f"/set/{name}" for name in list(FILES)[:2]}
    assert_train(data_dir=server.url("/set.tar"), **cache)


@pytest.mark.parametrize("form", ["folder", "set.tar"])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("fault", ["damaged", "missing"])
def test_other_splits_of_a_published_dataset_do_not_matter(
    fault: str, streaming: bool, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "kmnist", stand_in_dataset("kmnist", ("http://127.0.0.1:9/",)))
    files = stand_in_files("kmnist")
    for name in [name for name in files if name.startswith("t10k")]:
        content = files.pop(name)
        if fault == "damaged":
            files[name] = content[:-9] + bytes(9)
    place = str(write_archive(tmp_path / form, files))
    found = load_arrays("mnist_idx", "kmnist", split="train", data_dir=place, streaming=streaming)
    assert_same({"train": found}, {"train": as_loaded("kmnist")["train"]})
    with pytest.raises(IdxError, match="t10k"):
        load_arrays("mnist_idx", "kmnist", split="test", data_dir=place)


@pytest.mark.parametrize("streaming", [False, True])
def test_other_splits_of_a_published_dataset_are_not_fetched(
    streaming: bool,
    serve: Callable[..., Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve({f"/set/{name}": data for name, data in stand_in_files("kmnist").items()})
    monkeypatch.setitem(DATASETS, "kmnist", stand_in_dataset("kmnist", (server.url("/set/"),)))
    options: dict[str, Any] = {"streaming": streaming, "cache_dir": str(tmp_path)}
    found = load_arrays("mnist_idx", "kmnist", split="test[:5]", **options)
    images, labels = as_loaded("kmnist")["test"]
    assert_same({"test": found}, {"test": (images[:5], labels[:5])})
    assert {request.path.partition("-")[0] for request in server.requests} == {"/set/t10k"}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("split", ["all", "train+test"])
def test_all_splits(split: str, streaming: bool, tmp_path: Path) -> None:
    place = str(write_archive(tmp_path / "folder", FILES))
    expected = tuple(np.concatenate(pair) for pair in zip(TRAIN, TEST, strict=True))
    for source in ({"data_dir": place}, {"data_files": data_files(place)}):
        found = load_arrays("idxfolder", split=split, streaming=streaming, **source)
        assert_same({"": found}, {"": (expected[0], expected[1])})
    images, _ = load_arrays("mnist_idx", "tiny", split=split, streaming=streaming)
    assert len(images) == 1_200


@pytest.mark.parametrize("streaming", [False, True])
def test_a_list_of_splits_gives_a_list(streaming: bool, tmp_path: Path) -> None:
    folder = str(write_archive(tmp_path / "folder", FILES))
    specs = ["test[1:]", "train", "train[:1]+test[:1]"]
    found = load_arrays("idxfolder", data_dir=folder, split=specs, streaming=streaming)
    assert len(found) == len(specs)
    for spec, arrays in zip(specs, found, strict=True):
        alone = load_arrays("idxfolder", data_dir=folder, split=spec)
        assert_same({spec: arrays}, {spec: alone})
    test_images, test_labels = TEST
    assert_same({"test": found[0]}, {"test": (test_images[1:], test_labels[1:])})


@pytest.mark.parametrize("split", [[], ["train", "validation"], ["train", 3]])
def test_a_list_with_what_is_no_split_is_refused(split: Any, tmp_path: Path) -> None:
    folder = str(write_archive(tmp_path / "folder", FILES))
    with pytest.raises(IdxError, match='expected "train" or "test"'):
        load_arrays("idxfolder", data_dir=folder, split=split)


def test_a_split_that_is_not_there(serve: Callable[..., Server], tmp_path: Path) -> None:
    place = str(write_archive(tmp_path / "folder", FILES))
    url = serve({"/set.tar": make_tar(FILES)}).url("/set.tar")
    sources: list[dict[str, Any]] = [
        {"data_dir": place},
        {"data_files": data_files(place)},
        {"data_dir": url, "cache_dir": str(tmp_path)},
        {"data_dir": url, "streaming": True},
    ]
    for source in sources:
        for split in ("dev", "train+dev"):
            with pytest.raises(IdxError, match=r': expected "train" or "test", or a part'):
                load_arrays("idxfolder", split=split, **source)


def test_num_samples_may_be_more_than_the_split_has(tmp_path: Path) -> None:
    """As for `load_dataset`: the largest split decides, whichever is asked for."""
    compressed = {f"{name}.gz": gzip.compress(content) for name, content in FILES.items()}
    place = str(write_archive(tmp_path / "folder", compressed))
    images, _ = load_arrays("idxfolder", data_dir=place, split="test", num_samples=7)
    assert len(images) == 4
    with pytest.raises(IdxError, match=r"num_samples=10: .* train 9, test 4"):
        load_arrays("idxfolder", data_dir=place, split="test", num_samples=10)
