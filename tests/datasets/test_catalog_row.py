"""`mnist-idx catalog-row` prints what adds a dataset to the catalog: pasted, it loads the files."""

import glob
import hashlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_server import Server
from idx_files import random_images, random_labels, to_idx, write_archive
from loading import MODES, assert_same, read_all
from packers import PACKINGS

from mnist_idx import catalog
from mnist_idx.catalog import DATASETS, File, PublishedDataset
from mnist_idx.tools import cli
from mnist_idx.tools.catalog_row import catalog_row
from mnist_idx.tools.cli import main

IMAGES = {"train": random_images(9, 5, 7), "test": random_images(4, 5, 7, seed=1)}
LABELS = {"train": random_labels(9), "test": random_labels(4, seed=1)}
DETAILED = np.column_stack([LABELS["train"], np.arange(9) - 4, np.full(9, 70_000)]).astype(np.int32)


def pack(records: Any, suffix: str) -> bytes:
    """An IDX file of records, compressed as a suffix says."""
    return PACKINGS[suffix](to_idx(records))


def write_set(folder: Path, names: str, suffix: str) -> list[str]:
    """Write a dataset, whose file names are made of splits and roles. Returns their paths."""
    files = {}
    for split in IMAGES:
        for role, records in (("images", IMAGES[split]), ("labels", LABELS[split])):
            files[names.format(split=split, role=role) + suffix] = pack(records, suffix)
    write_archive(folder, files)
    return [str(folder / name) for name in files]


def pasted(code: str, constant: str) -> Any:
    """What the code defines, at the end of the catalog."""
    namespace = dict(vars(catalog))
    exec(code, namespace)
    return namespace[constant]


@pytest.mark.parametrize("suffix", PACKINGS)
def test_rows_have_the_digests_of_the_files(suffix: str, tmp_path: Path) -> None:
    paths = write_set(tmp_path, "{split}-{role}-idx-ubyte", suffix)
    splits = pasted(catalog_row(paths, "digits"), "DIGITS_SPLITS")
    assert list(splits) == ["train", "test"]
    for split, found in splits.items():
        assert found.num_records == len(IMAGES[split])
        images_name, labels_name = f"{split}-images-idx-ubyte", f"{split}-labels-idx-ubyte"
        assert found.images == expected_row(tmp_path, images_name, IMAGES[split], suffix)
        assert found.labels == expected_row(tmp_path, labels_name, LABELS[split], suffix)


def expected_row(folder: Path, name: str, records: Any, suffix: str) -> File:
    """What the catalog has to say of a file."""
    stored = (folder / f"{name}{suffix}").read_bytes()
    return File(
        name,
        len(stored),
        hashlib.sha256(stored).hexdigest(),
        hashlib.sha256(to_idx(records)).hexdigest(),
        suffix=suffix,
    )


@pytest.mark.slow
def test_rows_of_published_files_are_those_of_the_catalog(
    real_files: dict[str, bytes], tmp_path: Path
) -> None:
    names = [name for name in real_files if name.endswith(".gz")]
    write_archive(tmp_path, {name: real_files[name] for name in names})
    code = catalog_row([str(tmp_path / name) for name in names], "mnist")
    assert pasted(code, "MNIST_SPLITS") == catalog.MNIST_SPLITS
    rows = re.findall(r"^ +(?:images|labels)=File\(.*\),", code, re.MULTILINE)
    assert len(rows) == 4
    source = Path(inspect.getfile(catalog)).read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row not in source] == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("names", "suffix"),
    [
        pytest.param("{split}-{role}-idx-ubyte", ".gz", id="names-as-those-of-mnist"),
        pytest.param("My {role}.{split}.ubyte", ".xz", id="other-names"),
    ],
)
def test_what_is_printed_loads_the_files(
    names: str,
    suffix: str,
    mode: str,
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    paths = [Path(path) for path in write_set(tmp_path / "files", names, suffix)]
    known: PublishedDataset = pasted(catalog_row([str(path) for path in paths]), "MY_DATASET")
    server = serve({f"/set/{path.name}": path for path in paths})
    monkeypatch.setitem(DATASETS, "kmnist", known._replace(sources=(server.url("/set/"),)))
    found = read_all(mode, "mnist_idx", "kmnist", cache_dir=str(tmp_path / "cache"))
    assert_same(found, {split: (IMAGES[split], LABELS[split]) for split in IMAGES})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "records", "comment"),
    [
        pytest.param("images", IMAGES["test"], "(4, 5, 7) uint8", id="images"),
        pytest.param("labels", np.uint8([3, 9]), "(2,) uint8, classes 3 to 9", id="labels"),
        pytest.param(
            "x", np.uint8([3, 9]), "(2,) uint8, classes 3 to 9", id="labels-by-their-shape"
        ),
        pytest.param(
            "labels", DETAILED, "(9, 3) int32, classes 0 to 9", id="labels-of-several-parts"
        ),
        pytest.param(
            "labels",
            np.arange(-2, 1 << 18, dtype=np.int32),
            f"({(1 << 18) + 2},) int32, classes -2 to {(1 << 18) - 1}",
            id="labels-of-many-batches",
        ),
    ],
)
def test_the_header_stands_beside_the_row(
    name: str, records: Any, comment: str, tmp_path: Path
) -> None:
    path = tmp_path / f"train-{name}-idx.gz"
    path.write_bytes(pack(records, ".gz"))
    (row,) = [line for line in catalog_row([str(path)]).splitlines() if "File(" in line]
    assert row.endswith(f",  # {comment}")


def test_the_entry_says_what_the_files_say(tmp_path: Path) -> None:
    files = {"train-images-idx.gz": IMAGES["train"], "train-labels-idx.gz": DETAILED}
    write_archive(tmp_path, {name: pack(records, ".gz") for name, records in files.items()})
    known = pasted(catalog_row([str(tmp_path / name) for name in files], "digits_2"), "DIGITS_2")
    assert (known.family, known.shape, known.label_parts) == ("digits_2", (5, 7), 3)
    assert known.class_names == tuple("0123456789")
    assert list(known.splits) == ["train"]


def test_files_that_are_not_given_are_left_open(tmp_path: Path) -> None:
    path = tmp_path / "xnist-labels-idx2-int.xz"
    path.write_bytes(pack(DETAILED, ".xz"))
    code = catalog_row([str(path)])
    split = pasted(code, "MY_DATASET_SPLITS")["train"]
    assert (split.images, split.num_records) == (..., 9)
    assert "images=...,  # not among the files" in code


TRAIN = {"train-images.gz": pack(IMAGES["train"], ".gz"), "train-labels.gz": pack(DETAILED, ".gz")}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param(
            {"page.gz": b"<!DOCTYPE html>"}, r"page\.gz: found .* expected an IDX file", id="page"
        ),
        pytest.param({"a.gz": b""}, r"a\.gz: found .*expected", id="empty"),
        pytest.param(
            {"a.gz": TRAIN["train-images.gz"][:-9]},
            r"a\.gz: the gzip data is damaged",
            id="cut-9-bytes",
        ),
        pytest.param(
            {"a": to_idx(IMAGES["train"]) + b"!"}, "a: .*more data follows", id="one-byte-too-long"
        ),
        pytest.param({"a/b.gz": b""}, "a: found a folder, expected a file", id="folder"),
        pytest.param(
            {**TRAIN, "other-train-labels.gz": TRAIN["train-labels.gz"]},
            r"found labels of train, which .*train-labels\.gz has already",
            id="several-datasets",
        ),
        pytest.param(
            {"x-images": to_idx(IMAGES["train"]), "x-labels": to_idx(LABELS["test"])},
            "x-labels: found 4 labels, expected 9 as in .*x-images",
            id="labels-less-than-images",
        ),
        pytest.param(
            {"labels": to_idx(np.float32([1.5]))},
            "labels: found labels as float32",
            id="float-labels",
        ),
        pytest.param({"labels": to_idx(np.uint8([]))}, "labels: found labels as", id="no-labels"),
    ],
)
def test_what_is_no_dataset_is_refused(
    files: dict[str, bytes], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_archive(tmp_path, files)
    assert main(["catalog-row", *sorted(map(str, tmp_path.iterdir()))]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(f"^mnist-idx: .*{reason}", printed.err)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(
            ["nothing.gz"],
            "nothing.gz: cannot be read: No such file or directory.",
            id="missing-file",
        ),
        pytest.param(
            ["nothing.gz", "--name", "a-b"],
            "--name a-b: expected small letters, digits and",
            id="name-with-a-hyphen",
        ),
    ],
)
def test_wrong_arguments(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalog-row", *arguments]) == 1
    assert f"mnist-idx: {reason}" in capsys.readouterr().err


def test_the_example_of_the_help_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["catalog-row", "--help"])
    assert "exit codes: 0 done, 1 failed" in capsys.readouterr().out
    (example,) = re.findall(
        r"^  mnist-idx (.*?)(?: {2,}.*)?$", inspect.getdoc(cli.catalog_row) or "", re.MULTILINE
    )
    write_set(tmp_path / "my_idx", "{split}-{role}-idx-ubyte", ".gz")
    monkeypatch.chdir(tmp_path)
    arguments: list[str] = []
    for argument in example.split():  # as a shell does
        arguments += sorted(glob.glob(argument)) or [argument]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert pasted(printed, "MY_DIGITS").family == "my_digits"
    assert printed.endswith('# In DATASETS: "my_digits": MY_DIGITS,\n')
