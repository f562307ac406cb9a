"""`verify`: the table of files, and what is wrong with them."""

import gzip
import hashlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import ROOT
from http_server import Server
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)

from mnist_idx import IdxError, catalog
from mnist_idx.tools.cli import main
from mnist_idx.tools.verify import FileReport, table, verify

TRAIN = random_images(70, 9, 7), random_labels(70)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, seed=1)
FILES = four_files(TRAIN, TEST)
COMPRESSED = {f"{name}.gz": gzip.compress(content) for name, content in FILES.items()}
Capsys, Mirror = pytest.CaptureFixture[str], Callable[[Any], None]


def known_as(reports: list[FileReport]) -> list[str]:
    """The dataset that each file is of, "" for those of nobody; all of them are valid."""
    assert [report.problem for report in reports if report.problem] == []
    return [report.known for report in reports]


# The published files


@pytest.fixture
def plain_mnist(real_files: dict[str, bytes]) -> dict[str, bytes]:
    """The files of MNIST as published, decompressed."""
    plain = {}
    for name, content in real_files.items():
        plain[Path(name).stem] = gzip.decompress(content)
    return plain


@pytest.fixture
def mnist_as_published(real_tar: Path) -> Path:
    """The published tar."""
    return real_tar


@pytest.fixture
def mnist_in_a_folder(plain_mnist: dict[str, bytes], tmp_path: Path) -> Path:
    """MNIST as plain files in a folder."""
    return write_archive(tmp_path / "folder", plain_mnist)


@pytest.fixture
def mnist_compressed_again(plain_mnist: dict[str, bytes], tmp_path: Path) -> Path:
    """MNIST compressed in another way, and deflated in a zip."""
    files = {f"{name}.gz": gzip.compress(content, 1) for name, content in plain_mnist.items()}
    return write_archive(tmp_path / "deflated.zip", files)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("mnist_as_published", id="as-published"),
        pytest.param("mnist_in_a_folder", id="plain-in-a-folder", marks=pytest.mark.slow),
        pytest.param("mnist_compressed_again", id="deflated-in-a-zip", marks=pytest.mark.slow),
    ],
)
def test_mnist_is_known_however_it_is_compressed(
    place: str, plain_mnist: dict[str, bytes], request: pytest.FixtureRequest
) -> None:
    reports = verify(str(request.getfixturevalue(place)))
    assert known_as(reports) == ["mnist"] * 4
    sha256 = {name: hashlib.sha256(plain).hexdigest() for name, plain in plain_mnist.items()}
    assert [report[1:6] for report in reports] == [
        ("train", "images", "uint8", (60000, 28, 28), sha256[TRAIN_IMAGES]),
        ("train", "labels", "uint8", (60000,), sha256[TRAIN_LABELS]),
        ("test", "images", "uint8", (10000, 28, 28), sha256[TEST_IMAGES]),
        ("test", "labels", "uint8", (10000,), sha256[TEST_LABELS]),
    ]


@pytest.mark.parametrize(
    ("arguments", "dataset"),
    [
        pytest.param([], "mnist", id="none-named"),
        pytest.param(["subset"], "mnist", id="subset"),
        pytest.param(["tiny"], "tiny", id="tiny"),
    ],
)
def test_the_files_of_a_config_are_known(
    arguments: list[str], dataset: str, mirror: Mirror, mnist_tar: Path
) -> None:
    mirror(mnist_tar)
    assert known_as(verify(*arguments)) == [dataset] * 4


@pytest.fixture
def mnist_with_a_changed_label(mnist_files: dict[str, bytes], tmp_path: Path) -> Path:
    """The tar of MNIST with one bit flipped in the labels of the test split."""
    name = "data/t10k-labels-idx1-ubyte.gz"
    labels = bytearray(gzip.decompress(mnist_files[name]))
    labels[100] ^= 1
    files = {**mnist_files, name: gzip.compress(bytes(labels))}
    return write_archive(tmp_path / "set.tar", files)


def test_a_config_takes_only_the_published_files(
    mnist_with_a_changed_label: Path, mirror: Mirror
) -> None:
    mirror(mnist_with_a_changed_label)
    *good, bad = verify()
    assert known_as(good) == ["mnist"] * 3
    assert bad.known == ""
    title = f"data/t10k-labels-idx1-ubyte.gz in {mnist_with_a_changed_label}"
    assert re.search(f"^{title}: .*{bad.sha256}.*not the published file", bad.problem)


def test_changed_files_are_valid_as_those_of_anyone(mnist_with_a_changed_label: Path) -> None:
    reports = verify(str(mnist_with_a_changed_label))
    assert known_as(reports) == ["mnist", "mnist", "mnist", ""]


def test_a_source_that_dies_is_replaced_by_the_next(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = ROOT / "mnist_idx" / catalog.TINY.sources[0]
    first: Server = serve({"/set.tar": tiny})
    second: Server = serve({"/set.tar": tiny})
    sources = (first.url("/set.tar"), second.url("/set.tar"))
    monkeypatch.setitem(catalog.DATASETS, "mnist", catalog.TINY._replace(sources=sources))
    first.behave("/set.tar", status=403, skip=3)
    assert known_as(verify()) == ["mnist"] * 4
    second.settle()
    assert second.count("/set.tar", "GET")
    second.behave("/set.tar", status=403)
    with pytest.raises(IdxError, match=r"(?s)None of the sources.*403.*403"):
        verify()


# Anyone's files


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        pytest.param(TRAIN_IMAGES, FILES[TRAIN_IMAGES][:-1], "cut short", id="images-cut-one-byte"),
        pytest.param(
            TRAIN_IMAGES,
            gzip.compress(FILES[TRAIN_IMAGES])[:-1],
            "damaged",
            id="compressed-images-cut-one-byte",
        ),
        pytest.param(
            TRAIN_LABELS, to_idx(random_labels(69)), r"\(69,\).*70", id="one-label-less-than-images"
        ),
        pytest.param(
            TRAIN_LABELS, to_idx(np.full(70, -1, "int8")), "labels? .*-1", id="labels-below-zero"
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    name: str, content: bytes, problem: str, tmp_path: Path, capsys: Capsys
) -> None:
    folder = str(write_archive(tmp_path / "folder", {**FILES, name: content}))
    assert [Path(report.name).name for report in verify(folder) if report.problem] == [name]
    assert main(["verify", folder]) == 1
    out, err = capsys.readouterr()
    assert out.count("INVALID") == 1
    assert "1 of 4 files invalid" in out
    assert re.search(rf"(?s)^mnist-idx: .*{problem}", err)


def test_the_checksum_of_a_zip_covers_what_follows_the_records(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in COMPRESSED.items():
            archive.writestr(name, content + bytes(2))  # padded
    data = bytearray(path.read_bytes())
    first_member = data.index(f"{TRAIN_IMAGES}.gz".encode())
    last_byte_of_padding = data.index(b"PK", first_member) - 1
    data[last_byte_of_padding] = 1
    path.write_bytes(data)
    assert [report.name for report in verify(str(path)) if report.problem] == [f"{TRAIN_IMAGES}.gz"]


@pytest.fixture
def zip_of_two_datasets(tmp_path: Path) -> str:
    """The path of a zip of two datasets, "one" and "two"."""
    files = {}
    for prefix in ("one", "two"):
        for name, content in COMPRESSED.items():
            files[f"gzip/{prefix}-{name}"] = content
    return str(write_archive(tmp_path / "stored.zip", files))


def test_all_of_several_datasets_are_verified(zip_of_two_datasets: str) -> None:
    reports = verify(zip_of_two_datasets)
    assert known_as(reports) == [""] * 8
    splits = [report.split for report in reports if report.role == "images"]
    assert splits == ["one train", "one test", "two train", "two test"]


def test_one_of_several_datasets_is_verified(zip_of_two_datasets: str, capsys: Capsys) -> None:
    assert main(["verify", zip_of_two_datasets, "--prefix", "one"]) == 0
    assert capsys.readouterr().out.endswith("4 files, all valid\n")


@pytest.mark.parametrize(("name", "role"), [(TRAIN_LABELS, "labels"), (TRAIN_IMAGES, "images")])
def test_a_single_file_is_verified(name: str, role: str, tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "folder", FILES)
    (report,) = verify(str(folder / name))
    assert (report.role, report.problem) == (role, "")


def test_the_table_has_a_line_for_each_file(tmp_path: Path) -> None:
    reports = verify(str(write_archive(tmp_path / "set.tar", FILES)))
    head, *lines = table(reports).splitlines()
    assert " ".join(head.split()) == "file split role type shape records sha256 known state"
    assert [line.index("ok") for line in lines] == [head.index("state")] * 4
    assert "9 x 7" in lines[0]
