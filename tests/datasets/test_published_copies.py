"""`data_dir=` of `mnist_idx`: copies as people hold them, and what to do where there is none."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from idx_files import write_archive
from loading import MODES, assert_same, read_all, refusal
from stand_ins import as_loaded, decompressed, stand_in, stand_in_dataset, stand_in_files
from written import read

from mnist_idx.catalog import DATASETS
from mnist_idx.tools.cli import main

each_mode = pytest.mark.parametrize("mode", MODES)
# As torchvision names the folders of datasets whose files have the same names.
FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
UNKNOWN_CONTENT = [
    name
    for name, known in DATASETS.items()
    if any(split.images.content_sha256 is None for split in known.splits.values())
]
NO_PLACE = ("http://127.0.0.1:9/",)  # of which nothing is loaded


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put stand-ins in place of the published datasets."""
    rows = {name: stand_in_dataset(name, NO_PLACE) for name in DATASETS if name != "tiny"}
    for name, row in rows.items():
        monkeypatch.setitem(DATASETS, name, row)


def torchvision_root(folder: Path, form: str) -> Path:
    """A folder that holds three datasets under the same four names."""
    for name, subfolder in FOLDERS.items():
        compressed = stand_in_files(name)
        files = {}
        if form != "decompressed":
            files |= compressed
        if form != "compressed":
            files |= decompressed(compressed)
        write_archive(folder / subfolder / "raw", files)
    return folder


def read_copy(mode: str, name: str, place: Path | str, cache: Path) -> Any:
    return read_all(mode, "mnist_idx", name, data_dir=str(place), cache_dir=str(cache))


ROOTS = [(name, form) for name in FOLDERS for form in ("compressed", "both")]
ROOTS += [("mnist", "decompressed")]


@each_mode
@pytest.mark.parametrize(("name", "form"), ROOTS)
def test_the_dataset_whose_digest_fits_is_chosen(
    name: str, form: str, mode: str, tmp_path: Path
) -> None:
    root = torchvision_root(tmp_path / "root", form)
    assert_same(read_copy(mode, name, root, tmp_path / "cache"), as_loaded(name))


@pytest.mark.parametrize("name", FOLDERS)
def test_the_command_line_chooses_as_well(name: str, tmp_path: Path) -> None:
    root, target = torchvision_root(tmp_path / "root", "compressed"), tmp_path / "out"
    cache = tmp_path / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        line = ["convert", "mnist_idx", str(target), "--name", name, "--data-dir", str(root)]
        assert main(line) == 0
    found = read(target)["train-images-idx3-ubyte"]
    np.testing.assert_array_equal(found, as_loaded(name)["train"][0])


@each_mode
def test_a_damaged_copy_does_not_hide_a_right_one(mode: str, tmp_path: Path) -> None:
    files = stand_in_files("kmnist")
    damaged = {name: content[:-9] + bytes(9) for name, content in files.items()}
    write_archive(tmp_path / "root" / "first", damaged)
    write_archive(tmp_path / "root" / "kmnist", files)
    write_archive(tmp_path / "root" / "last", damaged)
    found = read_copy(mode, "kmnist", tmp_path / "root", tmp_path / "cache")
    assert_same(found, as_loaded("kmnist"))


@each_mode
def test_where_no_copy_fits_they_are_listed(mode: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_archive(tmp_path / "root" / folder, stand_in_files("fashion_mnist"))
    root = str(tmp_path / "root")
    message = refusal(mode, "mnist_idx", "mnist", data_dir=root, cache_dir=str(tmp_path / "cache"))
    listed = [f"{root}/{folder}/train-images-idx3-ubyte.gz" for folder in ("one", "two")]
    assert message.startswith(
        f"{root}: found {listed[0]}, {listed[1]}: none of them is train-images-idx3-ubyte of "
        "mnist_idx/mnist, or a decompressed copy of it. Put the published file there."
    )


# Copies that cannot be verified


def test_these_configs_have_no_digest_of_their_content() -> None:
    """The tests of this module know it from the catalog, as users do."""
    assert len(UNKNOWN_CONTENT) == 10
    for name, row in DATASETS.items():
        known = [split.images.content_sha256 is not None for split in row.splits.values()]
        assert all(known) == (name not in UNKNOWN_CONTENT)


def line_in(message: str) -> str:
    """The line of Python that an error advises."""
    match = re.search(r"load_dataset\(.*\)$", message)
    assert match is not None
    return match[0]


@each_mode
@pytest.mark.parametrize("name", UNKNOWN_CONTENT)
@pytest.mark.parametrize("form", ["folder", "deflated.zip"])
def test_a_decompressed_copy_is_not_loaded_as_verified(
    form: str, name: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_archive(tmp_path / form, decompressed(stand_in_files(name)))
    options = {"data_dir": str(place), "cache_dir": str(tmp_path / "cache")}
    message = refusal(mode, "mnist_idx", name, **options)
    file = next(iter(DATASETS[name].splits.values())).images
    assert f"{file.name}" in message.partition(":")[0]
    assert (
        f": found a decompressed copy, expected {file.name}{file.suffix} of {file.size:,} bytes. "
        "Only that compressed file can be verified: no digest of its content is known. Put it "
        "there, or load yours unverified: load_dataset("
    ) in message
    assert "not the published file" not in message
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    loaded = eval(line_in(message), {"load_dataset": datasets.load_dataset})
    for split, (images, labels) in as_loaded(name).items():
        found = loaded[split]
        np.testing.assert_array_equal([np.asarray(image) for image in found["image"]], images)
        assert found["label"][:] == labels.tolist()


@each_mode
def test_a_copy_that_is_compressed_again_cannot_be_verified(mode: str, tmp_path: Path) -> None:
    again = {}
    for name, content in decompressed(stand_in_files("kmnist")).items():
        again[f"{name}.gz"] = gzip.compress(content + b"", compresslevel=0)
    place = write_archive(tmp_path / "copy", again)
    size = len(again["train-images-idx3-ubyte.gz"])
    message = refusal(mode, "mnist_idx", "kmnist", data_dir=str(place))
    found = f"found a copy of {size:,} bytes, compressed in another way or cut short, expected "
    assert found in message
    assert line_in(message) == f'load_dataset("idxfolder", data_dir="{place}")'


@each_mode
def test_the_copy_in_the_folder_of_the_dataset_is_named(mode: str, tmp_path: Path) -> None:
    root = torchvision_root(tmp_path / "root", "decompressed")
    message = refusal(mode, "mnist_idx", "kmnist", data_dir=str(root))
    assert message.startswith(f"{root}/KMNIST/raw/train-images-idx3-ubyte: found a decompressed")
    assert line_in(message) == f'load_dataset("idxfolder", data_dir="{root}/KMNIST/raw")'


def test_the_command_line_says_it_in_its_own_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = write_archive(tmp_path / "copy", decompressed(stand_in_files("kmnist")))
    target = str(tmp_path / "out")
    line = ["convert", "mnist_idx", target, "--name", "kmnist", "--data-dir", str(place)]
    assert main(line) == 1
    typed = f"or load yours as the source idxfolder with --data-dir {place}.\n"
    assert capsys.readouterr().err.endswith(typed)
    assert main(["convert", "idxfolder", target, "--data-dir", str(place)]) == 0
    found = read(Path(target))["train-images-idx3-ubyte"]
    np.testing.assert_array_equal(found, stand_in("kmnist")["train"][0])


# Folders of archives


@each_mode
@pytest.mark.parametrize("form", ["set.tar", "set.tar.gz", "stored.zip"])
def test_an_archive_in_the_folder_is_used(form: str, mode: str, tmp_path: Path) -> None:
    (tmp_path / "copy" / "download").mkdir(parents=True)
    write_archive(tmp_path / "copy" / "download" / form, stand_in_files("mnist"))
    (tmp_path / "copy" / "notes.txt").write_text("fetched today")
    found = read_copy(mode, "mnist", tmp_path / "copy", tmp_path / "cache")
    assert_same(found, as_loaded("mnist"))


@each_mode
def test_an_archive_is_used_where_the_files_beside_it_cannot_be_verified(
    mode: str, tmp_path: Path
) -> None:
    """As torchvision leaves EMNIST: the archive, and its files decompressed."""
    name = "emnist_letters"
    raw = write_archive(tmp_path / "EMNIST" / "raw", decompressed(stand_in_files(name)))
    packed = {f"gzip/{file}": content for file, content in stand_in_files(name).items()}
    write_archive(raw / "stored.zip", packed)
    found = read_copy(mode, name, tmp_path / "EMNIST", tmp_path / "cache")
    assert_same(found, as_loaded(name))


@each_mode
def test_other_archives_do_no_harm(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    write_archive(copy / "set.tar", stand_in_files("kmnist"))
    write_archive(copy / "stored.zip", {"notes": b"other"})
    (copy / "broken.zip").write_bytes(b"PK\3\4 broken")
    found = read_copy(mode, "kmnist", copy, tmp_path / "cache")
    assert_same(found, as_loaded("kmnist"))
    assert "broken.zip" in caplog.text


# Places where there is nothing


@each_mode
@pytest.mark.parametrize("path", ["mnist_idx", "idxfolder"])
def test_a_place_that_is_not_there(
    path: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(mode, path, data_dir="nothere") == (
        f"{tmp_path}/nothere: no such file or folder. Relative paths start at the working folder, "
        f"{tmp_path}."
    )


@each_mode
@pytest.mark.parametrize("path", ["mnist_idx", "idxfolder"])
def test_an_empty_path(path: str, mode: str) -> None:
    message = refusal(mode, path, data_dir="")
    assert message == 'data_dir="": expected a path or URL. "." is the working folder.'


@each_mode
@pytest.mark.parametrize("files", ["train-images", ["train-images"], {"train": "train-images"}])
def test_data_files_that_are_not_there(
    files: Any, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(mode, "idxfolder", data_files=files)
    assert message.startswith(f"{tmp_path}/train-images: no such file or folder. Relative paths")


def test_a_mirror_that_is_not_there_is_passed_over(
    tmp_path: Path, mirror: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    mirror(tmp_path / "nothere")
    message = refusal("arrays", "mnist_idx", "mnist", splits=["train"])
    assert f"- {tmp_path}/nothere: no such file or folder" in message
    assert NO_PLACE[0] in message
