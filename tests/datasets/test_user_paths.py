"""Paths as users give them: `~`, `pathlib`, URLs of local files, and names with any character."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import fsspec
import pytest
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    random_images,
    random_labels,
    write_archive,
)
from loading import MODES, assert_same, read_all
from stand_ins import as_loaded, decompressed, stand_in_dataset, stand_in_files

import mnist_idx
from mnist_idx.catalog import DATASETS

TRAIN = random_images(9, 5, 4), random_labels(9)
TEST = random_images(4, 5, 4, seed=1), random_labels(4, seed=1)
BOTH = {"train": TRAIN, "test": TEST}
FILES = four_files(TRAIN, TEST)
each_mode = pytest.mark.parametrize("mode", MODES)
NAMES = ["a [1]", "[a-z]", "what?", "50%20off", "#1 set", "a*b", "MNIST", "ü, (copy)", "x%2Fy"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, which is the home folder, too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


def load(mode: str, **options: Any) -> Any:
    return read_all(mode, "idxfolder", as_array=True, **options)


# Names


@each_mode
@pytest.mark.parametrize("name", NAMES)
def test_a_folder_may_have_any_name(name: str, mode: str, home: Path) -> None:
    folder = write_archive(home / name, FILES)
    write_archive(home / "a 1", {TRAIN_IMAGES: b"another", "m": b""})  # what a pattern would match
    for place in (name, f"{name}/", folder, folder.as_uri()):
        assert_same(load(mode, data_dir=place), BOTH)


@each_mode
@pytest.mark.parametrize("name", NAMES)
def test_data_files_are_names_first(name: str, mode: str, home: Path) -> None:
    folder = write_archive(home / name, FILES)
    (home / "a 1").mkdir()
    files = [f"{name}/{TRAIN_IMAGES}", f"{name}/{TRAIN_LABELS}"]
    uris = [(folder / file).as_uri() for file in (TRAIN_IMAGES, TRAIN_LABELS)]
    paths = [folder / TRAIN_IMAGES, folder / TRAIN_LABELS]
    pattern = f"{name}/train-*"
    for data_files in (files, uris, paths, pattern, {"train": tuple(paths)}, {"train": pattern}):
        found = read_all(mode, "idxfolder", splits=["train"], as_array=True, data_files=data_files)
        assert_same(found, {"train": TRAIN})
    found = load(mode, data_dir=name, data_files={"train": "train-*", "test": "t10k-*"})
    assert_same(found, BOTH)


@each_mode
def test_a_file_whose_name_is_a_pattern(mode: str, home: Path) -> None:
    names = ["images[1]", "images1", "labels?", "labelsX"]
    contents = [FILES[TRAIN_IMAGES], b"another", FILES[TRAIN_LABELS], b"another"]
    for name, content in zip(names, contents, strict=True):
        (home / name).write_bytes(content)
    for data_files in (["images[1]", "labels?"], [home / "images[1]", home / "labels?"]):
        found = read_all(mode, "idxfolder", splits=["train"], as_array=True, data_files=data_files)
        assert_same(found, {"train": TRAIN})


@each_mode
@pytest.mark.parametrize("prefix", ["MNIST", "mnist"])
def test_folders_that_differ_in_case(prefix: str, mode: str, home: Path) -> None:
    write_archive(home / "set" / "MNIST", FILES)
    write_archive(home / "set" / "mnist", four_files(TEST, TRAIN))
    expected = BOTH if prefix == "MNIST" else {"train": TEST, "test": TRAIN}
    assert_same(load(mode, data_dir="set", prefix=prefix), expected)
    assert_same(load(mode, data_dir=f"set/{prefix}"), expected)
    assert_same(load(mode, data_dir=f"set/{prefix}/"), expected)


@each_mode
def test_a_published_copy_in_a_folder_of_any_name(
    mode: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "mnist", stand_in_dataset("mnist", ("http://127.0.0.1:9/",)))
    for name in NAMES:
        folder = write_archive(home / name, stand_in_files("mnist"))
        for place in (name, Path(name), folder.as_uri()):
            assert_same(read_all(mode, "mnist_idx", data_dir=place), as_loaded("mnist"))


# The home folder


@each_mode
def test_the_home_folder(mode: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(home / "my set", FILES)
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert_same(load(mode, data_dir="~/my set"), BOTH)
    assert_same(load(mode, data_dir=Path("~/my set")), BOTH)
    by_split = {"train": "~/my set/train-*", "test": [Path("~/my set") / name for name in TESTS]}
    assert_same(load(mode, data_files=by_split), BOTH)


TESTS = [name for name in FILES if name.startswith("t10k")]


@each_mode
def test_a_mirror_in_the_home_folder(
    mode: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "mnist", stand_in_dataset("mnist", ("http://127.0.0.1:9/",)))
    write_archive(home / "my copy", stand_in_files("mnist"))
    monkeypatch.setenv("MNIST_IDX_MIRROR", "~/my copy")
    assert_same(read_all(mode, "mnist_idx"), as_loaded("mnist"))
    monkeypatch.setenv("MNIST_IDX_MIRROR", (home / "my copy").as_uri())
    assert_same(read_all(mode, "mnist_idx"), as_loaded("mnist"))


@pytest.fixture
def away(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder beside a set in the home folder."""
    write_archive(home / "my set", FILES)
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    return home


def test_the_tools_know_the_home_folder(away: Path) -> None:
    mnist_idx.write_idx(TRAIN, "~/written")
    mnist_idx.write_idx(TRAIN, Path("~/packed.tar"))
    assert os.listdir() == []
    images, labels = mnist_idx.load_arrays("idxfolder", data_dir="~/packed.tar")
    assert_same({"train": (images, labels)}, {"train": TRAIN})
    assert (away / "written").is_dir()


# File systems of `fsspec`


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    fs = fsspec.filesystem("memory")
    yield fs
    fs.rm("/copy", recursive=True)


@each_mode
@pytest.mark.parametrize("url", ["memory://copy", "memory://copy/"])
def test_a_remote_folder_of_ones_own(url: str, mode: str, memory: Any) -> None:
    for name, content in FILES.items():
        memory.pipe(f"/copy/raw/{name}.gz", gzip.compress(content))
    assert_same(load(mode, data_dir=url), BOTH)


FORMS = ["compressed", "decompressed", "in a folder", "archive"]


@each_mode
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("url", ["memory://copy", "memory://copy/"])
def test_a_remote_folder_with_a_published_copy(
    url: str, form: str, mode: str, memory: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "mnist", stand_in_dataset("mnist", ("http://127.0.0.1:9/",)))
    files = stand_in_files("mnist")
    if form == "decompressed":
        files = decompressed(files)
    if form == "archive":
        files = {"set.tar": write_archive(home / "set.tar", files).read_bytes()}
    folder = "/copy/MNIST/raw" if form == "in a folder" else "/copy"
    for name, content in files.items():
        memory.pipe(f"{folder}/{name}", content)
    assert_same(read_all(mode, "mnist_idx", data_dir=url), as_loaded("mnist"))
