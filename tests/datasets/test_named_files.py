"""The command line takes files by their names: `--data-files`, and `~` in every path."""

import gzip
import os
from pathlib import Path

import datasets
import numpy as np
import pytest
from idx_files import (
    TEST_IMAGES,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from PIL import Image
from written import read

from mnist_idx import IdxError
from mnist_idx.tools.cli import main
from mnist_idx.tools.verify import verify

TRAIN = random_images(9, 5, 4), random_labels(9)
TEST = random_images(4, 5, 4, seed=1), random_labels(4, seed=1)
FILES = four_files(TRAIN, TEST)
Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files of names that say nothing."""
    names = ["first [1]", "first.y", "second", "second.y"]
    for name, content in zip(names, FILES.values(), strict=True):
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


NAMED = ["--data-files", "train=first [1]", "--data-files", "train=first.y"]
TESTS = ["--data-files", "test=second", "--data-files", "test=second.y"]


def test_verify_takes_the_files_of_each_split(capsys: Capsys) -> None:
    assert main(["verify", *NAMED, *TESTS]) == 0
    assert capsys.readouterr().out.endswith("4 files, all valid\n")
    reports = verify(data_files={"train": ["first [1]", "first.y"], "test": ["second", "second.y"]})
    found = [(report.split, report.role, len(report.shape)) for report in reports]
    assert found == [
        ("train", "images", 3),
        ("train", "labels", 1),
        ("test", "images", 3),
        ("test", "labels", 1),
    ]


def test_verify_takes_files_without_a_split_and_patterns(capsys: Capsys) -> None:
    assert main(["verify", "--data-files", "first [1]"]) == 0
    assert capsys.readouterr().out.endswith("1 file, all valid\n")
    assert main(["verify", "--data-files", "second*"]) == 0
    assert capsys.readouterr().out.endswith("2 files, all valid\n")


def test_verify_finds_what_is_wrong_with_named_files(files: Path, capsys: Capsys) -> None:
    (files / "first.y").write_bytes(to_idx(random_labels(8)))
    assert main(["verify", *NAMED]) == 1
    printed = capsys.readouterr()
    assert "1 of 2 files invalid" in printed.out
    assert "first.y: found uint8 (8,), expected a label for each of the 9 records" in printed.err


def test_preview_takes_the_files_of_a_split(files: Path, capsys: Capsys) -> None:
    assert main(["preview", *NAMED, *TESTS, "--split", "test"]) == 0
    assert "test: 4 records of 5x4" in capsys.readouterr().out
    with Image.open("first [1].png") as picture:
        assert picture.mode == "RGB"


@pytest.mark.parametrize("command", ["verify", "preview"])
def test_a_source_and_files_are_one_too_many(command: str, capsys: Capsys) -> None:
    assert main([command, "tiny", *NAMED]) == 1
    assert capsys.readouterr().err == (
        "mnist-idx: tiny: expected SOURCE or --data-files, found both. Leave out one of them. "
        "Paths of files start at the working folder.\n"
    )


@pytest.mark.parametrize("command", ["verify", "preview"])
def test_each_file_needs_a_split_if_one_has(command: str, capsys: Capsys) -> None:
    assert main([command, *NAMED, "--data-files", "second"]) == 1
    assert capsys.readouterr().err == (
        "mnist-idx: --data-files second: found no split. Name one for each file, for example "
        "train=second.\n"
    )


@pytest.mark.parametrize("command", ["verify", "preview"])
@pytest.mark.parametrize("config", [["tiny"], []])
def test_a_config_has_no_prefix(command: str, config: list[str], capsys: Capsys) -> None:
    assert main([command, *config, "--prefix", "x"]) == 1
    name = config[0] if config else "mnist"
    expected = f"mnist-idx: --prefix x: {name} is a single dataset. Leave out --prefix.\n"
    assert capsys.readouterr().err == expected


def test_a_config_has_no_prefix_in_python() -> None:
    with pytest.raises(IdxError) as caught:
        verify("tiny", "x")
    assert str(caught.value) == "prefix='x': tiny is a single dataset. Leave out prefix=."


@pytest.mark.parametrize("name", ["numbers", "y.idx", "train-images-idx3-ubyte.gz", TRAIN_LABELS])
def test_a_label_file_is_called_a_label_file(name: str, files: Path, capsys: Capsys) -> None:
    content = to_idx(np.arange(9, dtype=np.uint8))
    (files / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    for line in (["verify", name], ["verify", "--data-files", name]):
        main(line)
        row = capsys.readouterr().out.splitlines()[1]
        assert "labels" in row
        assert "images " not in row.removeprefix(name)


def test_a_label_file_in_an_archive_is_called_a_label_file(files: Path) -> None:
    contents = {"train-first": to_idx(TRAIN[1]), "train-second": to_idx(TRAIN[0])}
    reports = verify(str(write_archive(files / "set.tar", contents)))
    found = [(report.name, report.role) for report in reports]
    assert found == [("train-second", "images"), ("train-first", "labels")]


def test_a_label_file_in_the_place_of_images_is_refused(files: Path) -> None:
    contents = {TRAIN_IMAGES: to_idx(TRAIN[0]), TEST_IMAGES: to_idx(TRAIN[1])}
    path = str(write_archive(files / "set.tar", contents))
    with pytest.raises(IdxError, match=f"^{TEST_IMAGES} in .*set.tar: found labels, but no images"):
        verify(path)


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder beside a set in the home folder."""
    write_archive(tmp_path / "home" / "my set", FILES)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "home"


def test_the_command_line_knows_the_home_folder(away: Path) -> None:
    lines = [
        ["verify", "~/my set"],
        ["verify", "--data-files", f"train=~/my set/{TRAIN_IMAGES}"],
        ["preview", "~/my set", "--output", "~/picture.png"],
        ["preview", "--data-files", f"~/my set/{TRAIN_IMAGES}", "--output", "~/other.png"],
        ["convert", "idxfolder", "~/one", "--data-dir", "~/my set"],
        ["convert", "idxfolder", "~/two", "--data-files", f"train=~/my set/{TRAIN_IMAGES}"],
        ["export", "~/three", "--config", "tiny"],
        ["catalog-row", *(f"~/my set/{name}" for name in FILES)],
    ]
    for line in lines:
        assert main(line) == 0, line
    made = {"picture.png", "other.png", "one", "two", "three"}
    assert made <= set(os.listdir(away))
    assert os.listdir() == []
    for folder in ("one", "two"):
        images = read(away / folder)[TRAIN_IMAGES]
        np.testing.assert_array_equal(images, TRAIN[0])


@pytest.mark.parametrize("command", ["verify", "preview"])
def test_a_source_that_is_not_there(command: str, files: Path, capsys: Capsys) -> None:
    assert main([command, "nothere"]) == 1
    found = f"mnist-idx: nothere: no such file, folder or config. The working folder is {files},"
    assert capsys.readouterr().err.startswith(found)
