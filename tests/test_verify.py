"""`verify`: the table of files, and what is wrong with them."""

import gzip
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import ROOT
from http_server import Server
from idx_files import random_images, random_labels, to_idx, write_archive

from mnist_idx import IdxError, catalog
from mnist_idx.tools.cli import main
from mnist_idx.tools.verify import FileReport, table, verify

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
FILES = {
    TRAIN_IMAGES: to_idx(random_images(70, 9, 7)),
    TRAIN_LABELS: to_idx(random_labels(70)),
    "t10k-images-idx3-ubyte": to_idx(random_images(30, 9, 7, seed=1)),
    "t10k-labels-idx1-ubyte": to_idx(random_labels(30, seed=1)),
}
MNIST_SHA256 = [
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
]
Capsys, Mirror = pytest.CaptureFixture[str], Callable[[Any], None]


def known(reports: list[FileReport]) -> list[str]:
    assert not [report.problem for report in reports if report.problem]
    return [report.known for report in reports]


@pytest.mark.parametrize("form", ["published", "folder", "deflated.zip"])
def test_mnist_is_known_however_it_is_compressed(form: str, mnist_tar: Path, mnist_files: Any, tmp_path: Path) -> None:
    plain = {Path(name).stem: gzip.decompress(content) for name, content in mnist_files.items()}
    again = {f"{name}.gz": gzip.compress(content, 1) for name, content in plain.items()}
    source = mnist_tar if form == "published" else write_archive(tmp_path / form, plain if form == "folder" else again)
    reports = verify(str(source))
    assert known(reports) == ["mnist"] * 4
    assert [report.sha256 for report in reports] == MNIST_SHA256
    assert [(report.split, report.role, report.dtype, report.shape) for report in reports] == [
        ("train", "images", "uint8", (60000, 28, 28)),
        ("train", "labels", "uint8", (60000,)),
        ("test", "images", "uint8", (10000, 28, 28)),
        ("test", "labels", "uint8", (10000,)),
    ]


def test_configs(mirror: Mirror, mnist_tar: Path) -> None:
    mirror(mnist_tar)
    assert known(verify()) == known(verify("subset")) == ["mnist"] * 4
    assert known(verify("tiny")) == ["tiny"] * 4


def test_a_config_takes_only_the_published_files(mnist_files: Any, tmp_path: Path, mirror: Mirror) -> None:
    name = "data/t10k-labels-idx1-ubyte.gz"
    changed = bytearray(gzip.decompress(mnist_files[name]))
    changed[100] ^= 1
    path = write_archive(tmp_path / "set.tar", {**mnist_files, name: gzip.compress(bytes(changed))})
    mirror(path)
    *good, bad = verify()
    assert known(good) == ["mnist"] * 3
    assert (bad.known, bad.name) == ("", name)
    assert bad.problem.startswith(f"{name} in {path}: found sha256 {bad.sha256}")
    assert "not the published file" in bad.problem
    assert known(verify(str(path))) == ["mnist", "mnist", "mnist", ""], "as anyone's files, they are valid"


def test_a_copy_whose_content_has_no_known_digest_is_not_taken_for_published(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: gzip.compress(content) for name, content in FILES.items()}
    split = catalog.Split(*(catalog.File(name, 1, "0" * 64) for name in (TRAIN_IMAGES, TRAIN_LABELS)), 70)
    monkeypatch.setitem(catalog.DATASETS, "mnist", catalog.MNIST._replace(splits={"train": split}))
    mirror(write_archive(tmp_path / "folder", files))
    assert ["not the published file" in report.problem for report in verify()] == [True] * 2


def test_a_source_that_dies_is_replaced_by_the_next(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = ROOT / "mnist_idx" / catalog.TINY.sources[0].url
    servers: list[Server] = [serve({"/set.tar": tiny}) for _ in range(2)]
    sources = tuple(catalog.Source(server.url("/set.tar"), 0) for server in servers)
    monkeypatch.setitem(catalog.DATASETS, "mnist", catalog.TINY._replace(sources=sources))
    servers[0].behave("/set.tar", status=403, skip=3)
    assert known(verify()) == ["mnist"] * 4
    assert servers[1].count("/set.tar", "GET")
    servers[1].behave("/set.tar", status=403)
    with pytest.raises(IdxError, match=r"(?s)None of the sources.*403.*403"):
        verify()


@pytest.mark.parametrize("form", ["folder", "set.tar", "set.tar.gz", "stored.zip", "deflated.zip"])
def test_other_files_are_valid_but_not_known(form: str, tmp_path: Path) -> None:
    files = {f"{name}.gz": gzip.compress(content) for name, content in FILES.items()}
    assert known(verify(str(write_archive(tmp_path / form, {**files, "README.md": b"mine"})))) == [""] * 4


BAD: list[tuple[str, bytes, str]] = [
    (TRAIN_IMAGES, FILES[TRAIN_IMAGES][:-1], "cut short"),
    (TRAIN_IMAGES, FILES[TRAIN_IMAGES] + b"\0", "more data follows"),
    (TRAIN_IMAGES, gzip.compress(FILES[TRAIN_IMAGES])[:-1], "damaged"),
    (TRAIN_IMAGES, b"<html>", "not an IDX file"),
    (TRAIN_IMAGES, b"", TRAIN_IMAGES),
    (TRAIN_LABELS, to_idx(random_labels(69)), r"\(69,\).*70"),
    (TRAIN_LABELS, to_idx(np.zeros(70, "float64")), "expected integers"),
    (TRAIN_LABELS, FILES[TRAIN_IMAGES], TRAIN_LABELS),
    (TRAIN_LABELS, to_idx(np.full(70, -1, "int8")), "labels? .*-1"),
]


@pytest.mark.parametrize(("name", "content", "problem"), BAD, ids=[problem for _, _, problem in BAD])
def test_what_is_wrong_is_named(name: str, content: bytes, problem: str, tmp_path: Path, capsys: Capsys) -> None:
    folder = str(write_archive(tmp_path / "folder", FILES | {name: content}))
    assert [(Path(report.name).name, bool(report.problem)) for report in verify(folder)] == [
        (n, n == name) for n in FILES
    ]
    assert main(["verify", folder]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("INVALID") == 1
    assert "1 of 4 files invalid" in printed.out
    assert printed.err.startswith("mnist-idx: ")
    assert re.search(problem, printed.err)


def test_the_checksum_of_a_zip_covers_what_follows_the_records(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"{name}.gz", gzip.compress(content) + bytes(2))  # padded
    content = path.read_bytes()
    position = content.index(b"PK", content.index(f"{TRAIN_IMAGES}.gz".encode())) - 1
    path.write_bytes(content[:position] + b"\1" + content[position + 1 :])
    assert [report.name for report in verify(str(path)) if report.problem] == [f"{TRAIN_IMAGES}.gz"]


def test_several_datasets(tmp_path: Path, capsys: Capsys) -> None:
    files = {
        f"gzip/{prefix}-{name}.gz": gzip.compress(content)
        for prefix in ("one", "two")
        for name, content in FILES.items()
    }
    archive = str(write_archive(tmp_path / "stored.zip", files))
    reports = verify(archive)
    assert [report.split for report in reports[::2]] == ["one train", "one test", "two train", "two test"]
    assert known(reports) == [""] * 8
    assert main(["verify", archive, "--prefix", "one"]) == 0
    assert capsys.readouterr().out.endswith("4 files, all valid\n")


def test_a_single_file(tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "folder", FILES)
    for name, role in ((TRAIN_LABELS, "labels"), (TRAIN_IMAGES, "images")):
        (report,) = verify(str(folder / name))
        assert (report.role, report.problem) == (role, "")


def test_the_table(tmp_path: Path) -> None:
    lines = table(verify(str(write_archive(tmp_path / "set.tar", FILES)))).splitlines()
    assert lines[0].split() == ["file", "split", "role", "type", "shape", "records", "sha256", "known", "state"]
    for heading, cell in (("state", "ok"), ("type", "uint8")):
        assert {line.index(cell) for line in lines[1:]} == {lines[0].index(heading)}
    assert "9 x 7" in lines[1]


def test_sources_without_files(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "empty").mkdir()
    for name, message in (("nowhere", "no such file, folder or config"), ("empty", "nothing")):
        assert main(["verify", str(tmp_path / name)]) == 1
        printed = capsys.readouterr().err
        assert message in printed
        assert name in printed
