"""`mnist-idx convert` of what is not there, or is of another kind: the answer has what works."""

import os
import re
import shlex
import subprocess
import zipfile
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from PIL import Image

from mnist_idx import load_arrays, load_dataset
from mnist_idx.tools.cli import main

Capsys: TypeAlias = pytest.CaptureFixture[str]
Patch: TypeAlias = pytest.MonkeyPatch
TABLE = "label,pixel0,pixel1,pixel2,pixel3\n1,2,3,4,5\n6,7,8,9,10\n"
PLACE = "Relative paths start at the working folder, "


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A folder with files of several kinds."""
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "photos" / "train" / "cat" / "1.png"
    picture.parent.mkdir(parents=True)
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(picture)
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write(picture, "train/cat/1.png")
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("hello")
    Path("train.csv").write_text(TABLE)
    Path("a b.csv").write_text(TABLE)
    return tmp_path


def fail_to_convert(arguments: list[str], monkeypatch: Patch) -> None:
    """Run a command that is refused before `datasets` loads anything, or asks the network."""

    def load(*args: object, **options: object) -> None:
        raise AssertionError("it is refused too late")

    with monkeypatch.context() as patch:
        patch.setattr("datasets.load_dataset", load)
        assert main(["convert", *arguments]) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param(
            "imagefolder out --data-dir photoz",
            f"photoz: no such folder. Did you mean photos? {PLACE}",
            id="mistyped folder of pictures",
        ),
        pytest.param("csv out --data-dir no", f"no: no such folder. {PLACE}", id="folder of csv"),
        pytest.param("parquet out --data-dir no", "no: no such folder.", id="folder of parquet"),
        pytest.param(
            "imagefolder out --data-dir empty",
            "empty: holds no pictures, expected empty/train/cat/1.jpg or empty/cat/1.jpg.",
            id="empty folder of pictures",
        ),
        pytest.param(
            "imagefolder out --data-dir texts", "texts: holds no pictures", id="only other files"
        ),
        pytest.param("csv out --data-dir empty", "empty: holds no files", id="empty folder of csv"),
        pytest.param(
            "csv out --data-files trian.csv",
            "trian.csv: no such file. Did you mean train.csv?",
            id="mistyped file",
        ),
        pytest.param(
            "csv out --data-files train=train.csv --data-files test=no.csv",
            "no.csv: no such file.",
            id="file of one split",
        ),
        pytest.param(
            "parquet out --data-files no/*.parquet", "no file has such a name", id="pattern"
        ),
        pytest.param("csv out --data-files train=", "found an empty path", id="split without path"),
        pytest.param("./photoz out", "./photoz: no such file or folder.", id="path of no folder"),
        pytest.param("no.csv out", "no.csv: no such file or folder.", id="name of no file"),
        pytest.param("empty out", "empty: holds no files.", id="empty folder as source"),
    ],
)
def test_what_is_not_there_is_called_so(
    line: str, said: str, capsys: Capsys, monkeypatch: Patch
) -> None:
    fail_to_convert(line.split(), monkeypatch)
    printed = capsys.readouterr().err
    assert said in printed
    assert "idxfolder" not in printed


@pytest.mark.parametrize(
    ("arguments", "advised"),
    [
        pytest.param(["train.csv", "out"], "csv out --data-files train.csv", id="csv as source"),
        pytest.param(
            ["a b.csv", "my out"],
            "csv 'my out' --data-files 'a b.csv'",
            id="names with spaces",
        ),
        pytest.param(
            ["csv", "out", "--data-dir", "train.csv"],
            "csv out --data-files train.csv",
            id="file as folder",
        ),
        pytest.param(
            ["imagefolder", "out", "--data-dir", "photos.zip"],
            "imagefolder out --data-files photos.zip",
            id="archive as folder",
        ),
        pytest.param(
            ["photos.zip", "out"], "imagefolder out --data-files photos.zip", id="zip as source"
        ),
        pytest.param(
            ["imagefolder", "out", "--data-files", "photos"],
            "imagefolder out --data-dir photos",
            id="folder as file",
        ),
        pytest.param(
            ["json", "out", "--data-files", "train.csv"],
            "csv out --data-files train.csv",
            id="csv as json",
        ),
        pytest.param(
            ["csv", "out", "--data-dir", "photos"],
            "imagefolder out --data-dir photos",
            id="pictures as csv",
        ),
    ],
)
def test_the_command_that_is_advised_works(
    arguments: list[str], advised: str, capsys: Capsys, monkeypatch: Patch
) -> None:
    fail_to_convert(arguments, monkeypatch)
    command = re.search(r"Did you mean mnist-idx (convert .*)\?$", capsys.readouterr().err, re.M)
    assert command is not None
    assert command[1] == f"convert {advised}"
    assert main(shlex.split(command[1])) == 0


def test_idx_files_as_source_are_converted_as_advised(capsys: Capsys) -> None:
    assert main(["convert", "mnist_idx", "idx", "--name", "tiny", "--split", "test[:3]"]) == 0
    images = min(os.listdir("idx"))
    for place in ("idx", f"idx/{images}"):
        assert main(["convert", place, "out"]) == 1
        advised = f"Did you mean mnist-idx convert idxfolder out --data-dir {place}?"
        assert advised in capsys.readouterr().err
        assert main(["convert", "idxfolder", "out", "--data-dir", place, "--overwrite"]) == 0


def test_a_text_as_source_is_not_taken_for_idx_files(capsys: Capsys, monkeypatch: Patch) -> None:
    fail_to_convert(["texts/a.txt", "out"], monkeypatch)
    printed = capsys.readouterr().err
    assert "texts/a.txt: found a file" in printed
    assert "Did you mean" not in printed


@pytest.mark.parametrize(
    ("target", "options"),
    [
        pytest.param("out", [], id="folder"),
        pytest.param(
            "my out.tar",
            ["--size", "1x4", "--plain", "--label-column", "label"],
            id="tar, with options",
        ),
    ],
)
def test_a_split_without_labels_is_converted_by_the_commands_advised(
    target: str, options: list[str], capsys: Capsys
) -> None:
    """As the pair of files of a competition on Kaggle."""
    Path("test.csv").write_text("pixel0,pixel1,pixel2,pixel3\n9,8,7,6\n")
    files = ["--data-files", "train=train.csv", "--data-files", "test=test.csv"]
    assert main(["convert", "csv", target, *files, *options]) == 1
    printed = capsys.readouterr().err
    assert "split 'test' has no labels: no record has a value in label." in printed
    commands = [line for line in printed.splitlines() if line.startswith("mnist-idx convert")]
    assert len(commands) == 2
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0
    for split, num_records, has_labels in [("train", 2, True), ("test", 1, False)]:
        place = f"{Path(target).stem}-{split}{Path(target).suffix}"
        records = load_dataset("idxfolder", data_dir=place)[split]
        assert len(records) == num_records
        assert ("label" in records.column_names) == has_labels


WIDE = [f"pixel{number}" for number in range(784)]


@pytest.mark.parametrize(
    ("content", "said", "has_labels"),
    [
        pytest.param(
            ";".join(["label", *WIDE]) + "\n" + ";".join(["7"] * 785) + "\n",
            "separated by semicolons, not by commas",
            True,
            id="semicolons",
        ),
        pytest.param(
            "\t".join(["label", *WIDE]) + "\n" + "\t".join(["7"] * 785) + "\n",
            "separated by tabs, not by commas",
            True,
            id="tabs",
        ),
        pytest.param(",".join(["7"] * 785) + "\n", "no line of names", True, id="no header"),
        pytest.param(
            ",".join(["7"] * 784) + "\n", "no line of names", False, id="no header and no labels"
        ),
    ],
)
def test_a_table_is_mended_by_the_line_advised(
    content: str, said: str, has_labels: bool, capsys: Capsys, monkeypatch: Patch
) -> None:
    last_line = content.splitlines()[-1]
    Path("my table.csv").write_text(f"{content}{last_line}\n")
    fail_to_convert(["csv", "out", "--data-files", "my table.csv"], monkeypatch)
    message, line = capsys.readouterr().err.splitlines()
    assert said in message
    assert len(message) < 300
    subprocess.run(["sh", "-c", line], check=True)
    assert main(["convert", "csv", "out", "--data-files", "my table-1.csv"]) == 0
    images, labels = load_arrays("idxfolder", data_dir="out", split="train")
    np.testing.assert_array_equal(images, np.full((2, 28, 28), 7))
    assert (labels is not None) == has_labels


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(";".join(WIDE) + "\n" + ";".join(["7"] * 784), "semicolons", id="semicolons"),
        pytest.param(",".join(["a", "b", *WIDE]) + "\n" + ",".join(["7"] * 786), "a, b", id="wide"),
        pytest.param(
            ",".join(f"c{n}" for n in range(785)) + "\n" + ",".join(["7"] * 785),
            "c0, c1, c2, c3, c4 and 780 more",
            id="columns of unknown names",
        ),
        pytest.param(
            ",".join(["7"] * 785) + "\n" + ",".join(["7"] * 785), "(printf label; ", id="no header"
        ),
    ],
)
def test_not_all_columns_of_a_table_are_listed(content: str, said: str, capsys: Capsys) -> None:
    Path("tables").mkdir()
    Path("tables/train.csv").write_text(content + "\n")
    assert main(["convert", "csv", "out", "--data-dir", "tables"]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert said in message
    assert len(message) < 400
