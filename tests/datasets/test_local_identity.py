"""Local files are what they were when they were named: not what else has their path, their size and
their time.
"""

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from conftest import Arrays
from http_server import Server
from idx_files import to_idx, write_archive
from loading import read_all

from mnist_idx import IdxError, load_arrays

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
MOMENT = 946_684_800  # one time for all files, as `tar` and `unzip` set it
Patch = pytest.MonkeyPatch


def content(seed: int, count: int = 6, size: int = 5) -> dict[str, bytes]:
    """A split of which every pixel and every label depends on `seed`, and no size does."""
    labels = np.full(count, seed, np.uint8)
    return {
        IMAGES: to_idx(np.full((count, size, size), 10 * seed, np.uint8)),
        LABELS: to_idx(labels),
    }


def seeds(images: Any, labels: Any) -> set[int]:
    """Of which contents the records are."""
    found = np.unique(np.asarray(images, np.uint8)) // 10
    return {*found.tolist(), *np.unique(labels).tolist()}


def set_times(path: Path) -> None:
    for file in (path, *path.rglob("*")):
        os.utime(file, (MOMENT, MOMENT))


def make_project(folder: Path, seed: int, form: str = "data") -> Path:
    """A folder of somebody's work, with `data` in it."""
    folder.mkdir(exist_ok=True)
    write_archive(folder / form, content(seed))
    set_times(folder)
    return folder


RELATIVE = [
    pytest.param("data", {"data_dir": "data"}, id="folder"),
    pytest.param("data", {"data_dir": "./data/"}, id="folder with dot and slash"),
    pytest.param("data", {"data_dir": "file://data"}, id="folder as file://"),
    pytest.param("set.tar", {"data_dir": "set.tar"}, id="tar"),
    pytest.param("stored.zip", {"data_dir": "stored.zip"}, id="zip"),
    pytest.param("data", {"data_files": {"train": "data/train-*"}}, id="pattern"),
]


@pytest.mark.parametrize(("form", "options"), RELATIVE)
def test_each_project_gets_its_own_data(
    form: str, options: dict[str, Any], tmp_path: Path, monkeypatch: Patch
) -> None:
    for seed in (1, 2):
        monkeypatch.chdir(make_project(tmp_path / f"project{seed}", seed, form))
        found = read_all("prepared", "idxfolder", cache_dir=str(tmp_path / "cache"), **options)
        assert seeds(*found["train"]) == {seed}


def test_a_copy_of_mnist_elsewhere_is_checked_anew(
    mnist_files: dict[str, bytes], mnist_arrays: Arrays, tmp_path: Path, monkeypatch: Patch
) -> None:
    first = write_archive(tmp_path / "first" / "data", mnist_files)
    damaged = {
        name: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:] for name, data in mnist_files.items()
    }
    second = write_archive(tmp_path / "second" / "data", damaged)
    options = {
        "data_dir": "data",
        "cache_dir": str(tmp_path / "cache"),
        "num_samples": 10_000,
        "seed": None,
    }
    for folder in (first, second):
        set_times(folder)
    monkeypatch.chdir(first.parent)
    rows = datasets.load_dataset("mnist_idx", split="test", **options)
    assert sorted(rows["label"]) == sorted(mnist_arrays["test"][1].tolist())
    monkeypatch.chdir(second.parent)
    with pytest.raises(IdxError):
        datasets.load_dataset("mnist_idx", split="test", **options)


def rename(path: Path, data: bytes) -> None:
    path.with_name("new").write_bytes(data)
    path.with_name("new").replace(path)


def rewrite(path: Path, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.write(data)


def link(path: Path, data: bytes) -> None:
    target = path.parent.parent / "target"
    target.write_bytes(data)
    path.unlink()
    path.symlink_to(target)


REPLACED = [
    pytest.param("data", IMAGES, id="images"),
    pytest.param("data", LABELS, id="labels"),
    pytest.param("set.tar", "", id="tar"),
    pytest.param("stored.zip", "", id="zip"),
]


@pytest.mark.parametrize("replace", [rename, rewrite, link])
@pytest.mark.parametrize(("form", "name"), REPLACED)
@pytest.mark.parametrize("option", ["data_dir", "data_files"])
def test_a_file_replaced_by_one_of_its_size_and_time_is_loaded_anew(
    option: str, form: str, name: str, replace: Callable[[Path, bytes], None], tmp_path: Path
) -> None:
    path = make_project(tmp_path / "project", 1, form) / form
    given = str(path / "*") if option == "data_files" and name else str(path)
    options = {option: given, "cache_dir": str(tmp_path / "cache")}

    def load() -> set[int]:
        return seeds(*read_all("prepared", "idxfolder", **options)["train"])

    assert load() == {1}
    other = make_project(tmp_path / "other", 2, form) / form / name
    time.sleep(0.02)  # longer than the clock of a file system ticks
    replace(path / name, other.read_bytes())
    os.utime(path / name, (MOMENT, MOMENT))
    assert load() == ({1, 2} if name else {2})


def test_a_folder_behind_a_link_that_changes_is_loaded_anew(tmp_path: Path) -> None:
    options = {"data_dir": str(tmp_path / "current"), "cache_dir": str(tmp_path / "cache")}
    for seed in (1, 2):
        (tmp_path / "current").unlink(missing_ok=True)
        (tmp_path / "current").symlink_to(make_project(tmp_path / f"version{seed}", seed) / "data")
        assert seeds(*read_all("prepared", "idxfolder", **options)["train"]) == {seed}


# A change of the working folder


@pytest.mark.parametrize(("form", "options"), RELATIVE)
@pytest.mark.parametrize("other", [True, False], ids=["to another project", "to an empty folder"])
def test_a_stream_reads_what_was_named_when_it_was_opened(
    other: bool, form: str, options: dict[str, Any], tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(make_project(tmp_path / "first", 1, form))
    stream = datasets.load_dataset("idxfolder", split="train", streaming=True, **options)
    (tmp_path / "second").mkdir()
    monkeypatch.chdir(make_project(tmp_path / "second", 2, form) if other else tmp_path / "second")
    for _ in range(2):  # epochs
        rows = list(stream)
        assert seeds(
            [np.asarray(row["image"]) for row in rows], [row["label"] for row in rows]
        ) == {1}


@pytest.mark.parametrize(("form", "options"), RELATIVE)
def test_a_builder_reads_what_was_named_when_it_was_made(
    form: str, options: dict[str, Any], tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(make_project(tmp_path / "first", 1, form))
    builder = datasets.load_dataset_builder(
        "idxfolder", cache_dir=str(tmp_path / "cache"), **options
    )
    monkeypatch.chdir(make_project(tmp_path / "second", 2, form))
    builder.download_and_prepare()
    rows = builder.as_dataset("train")
    assert seeds([np.asarray(image) for image in rows["image"]], rows["label"]) == {1}


@pytest.mark.parametrize("form", ["variable", "file:// in the variable", "data_dir"])
def test_a_stream_of_a_relative_copy_of_mnist_continues_after_a_change_of_folder(
    form: str,
    mnist_tar: Path,
    mnist_arrays: Arrays,
    mirror: Any,
    tmp_path: Path,
    monkeypatch: Patch,
) -> None:
    (tmp_path / "set.tar").symlink_to(mnist_tar)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    options = {"data_dir": "set.tar"} if form == "data_dir" else {}
    if not options:
        mirror("set.tar" if form == "variable" else "file://set.tar")
    stream = datasets.load_dataset("mnist_idx", split="test", streaming=True, **options)
    monkeypatch.chdir(tmp_path / "elsewhere")
    labels = [row["label"] for row in stream.take(300)]
    assert labels == mnist_arrays["test"][1][:300].tolist()


# Files that are overwritten while they are read

COUNT = 5000  # records: more than are read ahead


@pytest.fixture(scope="module")
def many() -> dict[int, dict[str, bytes]]:
    return {seed: content(seed, COUNT, 9) for seed in (1, 2)}


def overwrite(path: Path, data: bytes) -> None:
    """Other bytes in the same file, of the same size and the same time of change."""
    times = os.stat(path)
    time.sleep(0.02)  # longer than the clock of a file system ticks
    rewrite(path, data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def old_or_refused(rows: Iterator[Any], count: int) -> bool:
    """Whether the rest of a stream is of the first content, or ends in an error."""
    found: list[tuple[int, int]] = []
    try:
        for row in rows:
            found.append((int(np.asarray(row["image"])[4, 4]), int(row["label"])))
    except IdxError:
        return True
    return found == [(10, 1)] * count


OVERWRITTEN = [
    pytest.param("data", IMAGES, id="images"),
    pytest.param("data", LABELS, id="labels"),
    pytest.param("set.tar", "", id="tar"),
    pytest.param("stored.zip", "", id="zip"),
]
WAYS: list[Any] = [
    pytest.param({}, id="in one pass"),
    pytest.param({"num_shards": 5}, id="in shards"),
    pytest.param({"as_array": True}, id="as arrays"),
]


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize(("form", "name"), OVERWRITTEN)
def test_a_stream_of_a_file_that_is_overwritten_ends_in_an_error(
    form: str, name: str, options: Any, many: dict[int, dict[str, bytes]], tmp_path: Path
) -> None:
    path = write_archive(tmp_path / form, many[1])
    (tmp_path / "other").mkdir()
    other = write_archive(tmp_path / "other" / form, many[2])
    # The new labels are among the classes, too.
    options = {"data_dir": str(path), "label_names": ["zero", "one", "two"], **options}
    rows = iter(datasets.load_dataset("idxfolder", split="train", streaming=True, **options))
    assert next(rows)["label"] == 1
    overwrite(path / name, (other / name).read_bytes())
    assert old_or_refused(rows, COUNT - 1)


def test_arrays_of_a_file_that_is_overwritten_end_in_an_error(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    images = tmp_path / IMAGES
    images.write_bytes(content(1, 12_000, 9)[IMAGES])
    server = serve()
    # The labels arrive slowly: the images are overwritten while the first half of them is waited
    # for.
    url = server.put(f"/{LABELS}", to_idx(np.ones(12_000, np.int32)))
    server.behave(f"/{LABELS}", bandwidth=40_000, methods=("GET",))

    def change() -> None:
        until = time.monotonic() + 20
        while server.sent(f"/{LABELS}") < 30_000 and time.monotonic() < until:
            time.sleep(0.01)
        overwrite(images, content(2, 12_000, 9)[IMAGES])

    changing = threading.Thread(target=change)
    changing.start()
    options = {"data_files": {"train": [str(images), url]}, "label_names": ["zero", "one"]}
    try:
        found, _ = load_arrays("idxfolder", streaming=True, **options)
    except IdxError:
        return
    finally:
        changing.join()
    assert np.unique(found).tolist() == [10]


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_file_replaced_before_a_stream_begins_is_refused(name: str, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", 1, "data")
    other = make_project(tmp_path / "other", 2, "data")
    stream = datasets.load_dataset(
        "idxfolder", data_dir=str(project / "data"), split="train", streaming=True
    )
    (other / "data" / name).replace(project / "data" / name)
    with pytest.raises(IdxError, match="has changed since"):
        list(stream)


def test_files_replaced_between_two_workers_are_not_mixed(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", 1, "data")
    options = {
        "data_dir": str(project / "data"),
        "split": "train",
        "streaming": True,
        "num_shards": 2,
    }
    stream = datasets.load_dataset("idxfolder", **options)
    first, second = (stream.shard(num_shards=2, index=index) for index in range(2))
    assert list(first)
    for name in (IMAGES, LABELS):
        other = make_project(tmp_path / f"other-{name}", 2, "data")
        (other / "data" / name).replace(project / "data" / name)
    with pytest.raises(IdxError, match="has changed since"):
        list(pickle.loads(pickle.dumps(second)))  # as in another process


def test_a_copy_on_another_machine_is_read(tmp_path: Path, monkeypatch: Patch) -> None:
    project = make_project(tmp_path / "project", 1, "data")
    stream = datasets.load_dataset(
        "idxfolder", data_dir=str(project / "data"), split="train", streaming=True
    )
    for name in (IMAGES, LABELS):
        content = (project / "data" / name).read_bytes()
        (project / "data" / name).unlink()
        (project / "data" / name).write_bytes(content)
    monkeypatch.setattr("platform.node", lambda: "another")
    assert len(list(pickle.loads(pickle.dumps(stream)))) > 0
