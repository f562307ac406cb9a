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
from idx_files import TRAIN_IMAGES, TRAIN_LABELS, to_idx, write_archive
from loading import read_all

from mnist_idx import IdxError, load_arrays

MOMENT = 946_684_800  # one time for all files, as `tar` and `unzip` set it
Patch = pytest.MonkeyPatch


def files_of(seed: int, count: int = 6, size: int = 5) -> dict[str, bytes]:
    """A split of which every pixel and every label depends on `seed`, and no size does."""
    images = np.full((count, size, size), 10 * seed, np.uint8)
    labels = np.full(count, seed, np.uint8)
    return {TRAIN_IMAGES: to_idx(images), TRAIN_LABELS: to_idx(labels)}


def seeds(images: Any, labels: Any) -> set[int]:
    """The seeds of the images and of the labels."""
    of_images = np.unique(np.asarray(images, np.uint8)) // 10
    of_labels = np.unique(labels)
    return {*of_images.tolist(), *of_labels.tolist()}


def seeds_of_rows(rows: list[dict[str, Any]]) -> set[int]:
    """The seeds of the images and of the labels of streamed rows."""
    return seeds([np.asarray(row["image"]) for row in rows], [row["label"] for row in rows])


def set_times(path: Path) -> None:
    """Set the time of a folder and of all in it to MOMENT."""
    for file in (path, *path.rglob("*")):
        os.utime(file, (MOMENT, MOMENT))


def make_project(folder: Path, seed: int, form: str = "data") -> Path:
    """A folder of somebody's work, in which `form` is the name of a folder or an archive."""
    folder.mkdir(exist_ok=True)
    write_archive(folder / form, files_of(seed))
    set_times(folder)
    return folder


# What is in a project, and the options by which it is loaded there.
each_relative_path = pytest.mark.parametrize(
    ("form", "options"),
    [
        pytest.param("data", {"data_dir": "data"}, id="folder"),
        pytest.param("data", {"data_dir": "./data/"}, id="folder-with-dot-and-slash"),
        pytest.param("data", {"data_dir": "file://data"}, id="folder-as-file-url"),
        pytest.param("set.tar", {"data_dir": "set.tar"}, id="tar"),
        pytest.param("stored.zip", {"data_dir": "stored.zip"}, id="zip"),
        pytest.param("data", {"data_files": {"train": "data/train-*"}}, id="pattern"),
    ],
)


@each_relative_path
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
    first, second = tmp_path / "first", tmp_path / "second"
    write_archive(first / "data", mnist_files)
    for name, data in mnist_files.items():
        damaged = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        write_archive(second / "data", {name: damaged})
    set_times(first / "data")
    set_times(second / "data")
    options = {
        "data_dir": "data",
        "cache_dir": str(tmp_path / "cache"),
        "num_samples": 10_000,
        "seed": None,
    }
    monkeypatch.chdir(first)
    rows = datasets.load_dataset("mnist_idx", split="test", **options)
    assert sorted(rows["label"]) == sorted(mnist_arrays["test"][1].tolist())
    monkeypatch.chdir(second)
    with pytest.raises(IdxError):
        datasets.load_dataset("mnist_idx", split="test", **options)


def rename(path: Path, data: bytes) -> None:
    """Replace a file by another one."""
    path.with_name("new").write_bytes(data)
    path.with_name("new").replace(path)


def rewrite(path: Path, data: bytes) -> None:
    """Replace the content of a file, which stays the same file."""
    with open(path, "r+b") as file:
        file.write(data)


def link(path: Path, data: bytes) -> None:
    """Replace a file by a link to another one."""
    target = path.parent.parent / "target"
    target.write_bytes(data)
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize("replace", [rename, rewrite, link])
@pytest.mark.parametrize(
    ("form", "data_files", "replaced", "expected"),
    [
        pytest.param("data", "data/*", f"data/{TRAIN_IMAGES}", {1, 2}, id="images"),
        pytest.param("data", "data/*", f"data/{TRAIN_LABELS}", {1, 2}, id="labels"),
        pytest.param("set.tar", "set.tar", "set.tar", {2}, id="tar"),
        pytest.param("stored.zip", "stored.zip", "stored.zip", {2}, id="zip"),
    ],
)
@pytest.mark.parametrize("option", ["data_dir", "data_files"])
def test_a_file_replaced_by_one_of_its_size_and_time_is_loaded_anew(
    option: str,
    form: str,
    data_files: str,
    replaced: str,
    expected: set[int],
    replace: Callable[[Path, bytes], None],
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path / "project", 1, form)
    other = make_project(tmp_path / "other", 2, form)
    given = form if option == "data_dir" else data_files
    options = {option: str(project / given), "cache_dir": str(tmp_path / "cache")}
    before = read_all("prepared", "idxfolder", **options)
    assert seeds(*before["train"]) == {1}
    wait_for_clock()
    replace(project / replaced, (other / replaced).read_bytes())
    os.utime(project / replaced, (MOMENT, MOMENT))
    after = read_all("prepared", "idxfolder", **options)
    assert seeds(*after["train"]) == expected


def wait_for_clock() -> None:
    """Wait longer than the clock of a file system ticks."""
    time.sleep(0.02)


def test_a_folder_behind_a_link_that_changes_is_loaded_anew(tmp_path: Path) -> None:
    options = {"data_dir": str(tmp_path / "current"), "cache_dir": str(tmp_path / "cache")}
    for seed in (1, 2):
        (tmp_path / "current").unlink(missing_ok=True)
        (tmp_path / "current").symlink_to(make_project(tmp_path / f"version{seed}", seed) / "data")
        assert seeds(*read_all("prepared", "idxfolder", **options)["train"]) == {seed}


# A change of the working folder


@each_relative_path
@pytest.mark.parametrize(
    "is_empty",
    [
        pytest.param(False, id="to-another-project"),
        pytest.param(True, id="to-an-empty-folder"),
    ],
)
def test_a_stream_reads_what_was_named_when_it_was_opened(
    is_empty: bool, form: str, options: dict[str, Any], tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(make_project(tmp_path / "first", 1, form))
    stream = datasets.load_dataset("idxfolder", split="train", streaming=True, **options)
    second = tmp_path / "second"
    second.mkdir()
    if not is_empty:
        make_project(second, 2, form)
    monkeypatch.chdir(second)
    assert seeds_of_rows(list(stream)) == {1}
    assert seeds_of_rows(list(stream)) == {1}  # in the next epoch


@each_relative_path
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


@pytest.mark.parametrize(
    ("variable", "options"),
    [
        pytest.param("set.tar", {}, id="path-in-the-variable"),
        pytest.param("file://set.tar", {}, id="file-url-in-the-variable"),
        pytest.param(None, {"data_dir": "set.tar"}, id="data_dir"),
    ],
)
def test_a_stream_of_a_relative_copy_of_mnist_continues_after_a_change_of_folder(
    variable: str | None,
    options: dict[str, str],
    mnist_tar: Path,
    mnist_arrays: Arrays,
    mirror: Callable[[Any], None],
    tmp_path: Path,
    monkeypatch: Patch,
) -> None:
    (tmp_path / "set.tar").symlink_to(mnist_tar)
    (tmp_path / "elsewhere").mkdir()
    if variable is not None:
        mirror(variable)
    monkeypatch.chdir(tmp_path)
    stream = datasets.load_dataset("mnist_idx", split="test", streaming=True, **options)
    monkeypatch.chdir(tmp_path / "elsewhere")
    labels = [row["label"] for row in stream.take(300)]
    assert labels == mnist_arrays["test"][1][:300].tolist()


# Files that are overwritten while they are read

MANY = 5000  # records: more than are read ahead


def overwrite(path: Path, data: bytes) -> None:
    """Other bytes in the same file, of the same size and the same time of change."""
    times = os.stat(path)
    wait_for_clock()
    rewrite(path, data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def are_old_or_refused(rows: Iterator[Any], count: int) -> bool:
    """Whether the rest of a stream is of the seed 1, or ends in an error."""
    found: list[tuple[int, int]] = []
    try:
        for row in rows:
            found.append((int(np.asarray(row["image"])[4, 4]), int(row["label"])))
    except IdxError:
        return True
    return found == [(10, 1)] * count


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="in-one-pass"),
        pytest.param({"num_shards": 5}, id="in-shards"),
        pytest.param({"as_array": True}, id="as-arrays"),
    ],
)
@pytest.mark.parametrize(
    ("form", "overwritten"),
    [
        pytest.param("data", f"data/{TRAIN_IMAGES}", id="images"),
        pytest.param("data", f"data/{TRAIN_LABELS}", id="labels"),
        pytest.param("set.tar", "set.tar", id="tar"),
        pytest.param("stored.zip", "stored.zip", id="zip"),
    ],
)
def test_a_stream_of_a_file_that_is_overwritten_ends_in_an_error(
    form: str, overwritten: str, options: dict[str, Any], tmp_path: Path
) -> None:
    for folder, seed in (("given", 1), ("other", 2)):
        (tmp_path / folder).mkdir()
        write_archive(tmp_path / folder / form, files_of(seed, MANY, 9))
    stream = datasets.load_dataset(
        "idxfolder",
        data_dir=str(tmp_path / "given" / form),
        split="train",
        streaming=True,
        label_names=["zero", "one", "two"],  # the new labels are among the classes, too
        **options,
    )
    rows = iter(stream)
    assert next(rows)["label"] == 1
    overwrite(tmp_path / "given" / overwritten, (tmp_path / "other" / overwritten).read_bytes())
    assert are_old_or_refused(rows, MANY - 1)


@pytest.mark.slow
def test_arrays_of_a_file_that_is_overwritten_end_in_an_error(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    """The images are overwritten while the first half of the labels is waited for."""
    images = tmp_path / TRAIN_IMAGES
    images.write_bytes(files_of(1, 12_000, 9)[TRAIN_IMAGES])
    server = serve()
    labels_path = f"/{TRAIN_LABELS}"
    labels_url = server.put(labels_path, to_idx(np.ones(12_000, np.int32)))
    server.behave(labels_path, bandwidth=40_000, methods=("GET",))

    def overwrite_images() -> None:
        until = time.monotonic() + 20
        while server.sent(labels_path) < 30_000 and time.monotonic() < until:
            time.sleep(0.01)
        overwrite(images, files_of(2, 12_000, 9)[TRAIN_IMAGES])

    overwriting = threading.Thread(target=overwrite_images)
    overwriting.start()
    data_files = {"train": [str(images), labels_url]}
    try:
        found, _ = load_arrays(
            "idxfolder", data_files=data_files, label_names=["zero", "one"], streaming=True
        )
    except IdxError:
        return
    finally:
        overwriting.join()
    assert np.unique(found).tolist() == [10]


def stream_data(project: Path, **options: Any) -> datasets.IterableDataset:
    """The split "train" of the folder `data` of a project, as a stream."""
    data_dir = str(project / "data")
    return datasets.load_dataset(
        "idxfolder", data_dir=data_dir, split="train", streaming=True, **options
    )


@pytest.mark.parametrize(
    "name",
    [pytest.param(TRAIN_IMAGES, id="images"), pytest.param(TRAIN_LABELS, id="labels")],
)
def test_a_file_replaced_before_a_stream_begins_is_refused(name: str, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", 1)
    other = make_project(tmp_path / "other", 2)
    stream = stream_data(project)
    (other / "data" / name).replace(project / "data" / name)
    with pytest.raises(IdxError, match="has changed since"):
        list(stream)


def test_files_replaced_between_two_workers_are_not_mixed(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", 1)
    other = make_project(tmp_path / "other", 2)
    stream = stream_data(project, num_shards=2)
    first = stream.shard(num_shards=2, index=0)
    second = stream.shard(num_shards=2, index=1)
    assert list(first)
    for name in (TRAIN_IMAGES, TRAIN_LABELS):
        (other / "data" / name).replace(project / "data" / name)
    with pytest.raises(IdxError, match="has changed since"):
        list(pickle.loads(pickle.dumps(second)))  # as in another process


def test_a_copy_on_another_machine_is_read(tmp_path: Path, monkeypatch: Patch) -> None:
    project = make_project(tmp_path / "project", 1)
    stream = stream_data(project)
    for name in (TRAIN_IMAGES, TRAIN_LABELS):
        path = project / "data" / name
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    monkeypatch.setattr("platform.node", lambda: "another")
    rows = list(pickle.loads(pickle.dumps(stream)))
    assert len(rows) == 6
    assert seeds_of_rows(rows) == {1}
