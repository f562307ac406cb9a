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
from conftest import MEMBERS
from http_server import Server
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from representatives import slow_but_first

from mnist_idx import IdxError, catalog
from mnist_idx.tools.cli import main
from mnist_idx.tools.verify import FileReport, table, verify

TRAIN = random_images(70, 9, 7), random_labels(70)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, seed=1)
FILES = four_files(TRAIN, TEST)
COMPRESSED = {f"{name}.gz": gzip.compress(content) for name, content in FILES.items()}
Capsys, Mirror = pytest.CaptureFixture[str], Callable[[Any], None]


def known(reports: list[FileReport]) -> list[str]:
    assert "".join(report.problem for report in reports) == ""
    return [report.known for report in reports]


@pytest.mark.parametrize("form", slow_but_first(["published", "folder", "deflated.zip"]))
def test_mnist_is_known_however_it_is_compressed(
    form: str, real_tar: Path, real_files: Any, tmp_path: Path
) -> None:
    plain = {Path(name).stem: gzip.decompress(content) for name, content in real_files.items()}
    again = {f"{name}.gz": gzip.compress(content, 1) for name, content in plain.items()}
    source = (
        real_tar
        if form == "published"
        else write_archive(tmp_path / form, plain if form == "folder" else again)
    )
    reports = verify(str(source))
    assert known(reports) == ["mnist"] * 4
    assert [report[1:6] for report in reports] == [
        (split, role, "uint8", shape, hashlib.sha256(plain[Path(name).stem]).hexdigest())
        for split, count in (("train", 60000), ("test", 10000))
        for name, role, shape in zip(
            MEMBERS[split], ("images", "labels"), ((count, 28, 28), (count,)), strict=True
        )
    ]


def test_configs(mirror: Mirror, mnist_tar: Path) -> None:
    mirror(mnist_tar)
    assert known(verify()) == known(verify("subset")) == ["mnist"] * 4
    assert known(verify("tiny")) == ["tiny"] * 4


def test_a_config_takes_only_the_published_files(
    mnist_files: Any, tmp_path: Path, mirror: Mirror
) -> None:
    name = "data/t10k-labels-idx1-ubyte.gz"
    changed = bytearray(gzip.decompress(mnist_files[name]))
    changed[100] ^= 1
    path = write_archive(tmp_path / "set.tar", {**mnist_files, name: gzip.compress(bytes(changed))})
    mirror(path)
    *good, bad = verify()
    assert known(good) == ["mnist"] * 3
    assert (bad.known, bad.name) == ("", name)
    assert re.search(f"^{name} in {path}: .*{bad.sha256}.*not the published file", bad.problem)
    assert known(verify(str(path))) == ["mnist", "mnist", "mnist", ""], (
        "as anyone's files, they are valid"
    )


def test_a_source_that_dies_is_replaced_by_the_next(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = ROOT / "mnist_idx" / catalog.TINY.sources[0]
    servers: list[Server] = [serve({"/set.tar": tiny}) for _ in range(2)]
    sources = tuple(server.url("/set.tar") for server in servers)
    monkeypatch.setitem(catalog.DATASETS, "mnist", catalog.TINY._replace(sources=sources))
    servers[0].behave("/set.tar", status=403, skip=3)
    assert known(verify()) == ["mnist"] * 4
    assert servers[1].count("/set.tar", "GET")
    servers[1].behave("/set.tar", status=403)
    with pytest.raises(IdxError, match=r"(?s)None of the sources.*403.*403"):
        verify()


BAD: list[tuple[str, bytes, str]] = [
    (TRAIN_IMAGES, FILES[TRAIN_IMAGES][:-1], "cut short"),
    (TRAIN_IMAGES, gzip.compress(FILES[TRAIN_IMAGES])[:-1], "damaged"),
    (TRAIN_LABELS, to_idx(random_labels(69)), r"\(69,\).*70"),
    (TRAIN_LABELS, to_idx(np.full(70, -1, "int8")), "labels? .*-1"),
]


@pytest.mark.parametrize(
    ("name", "content", "problem"), BAD, ids=[problem for _, _, problem in BAD]
)
def test_what_is_wrong_is_named(
    name: str, content: bytes, problem: str, tmp_path: Path, capsys: Capsys
) -> None:
    folder = str(write_archive(tmp_path / "folder", FILES | {name: content}))
    invalid = {Path(report.name).name: bool(report.problem) for report in verify(folder)}
    assert invalid == {other: other == name for other in FILES}
    assert main(["verify", folder]) == 1
    out, err = capsys.readouterr()
    assert out.count("INVALID") == 1 and "1 of 4 files invalid" in out
    assert re.search(rf"(?s)^mnist-idx: .*{problem}", err)


def test_the_checksum_of_a_zip_covers_what_follows_the_records(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in COMPRESSED.items():
            archive.writestr(name, content + bytes(2))  # padded
    content = path.read_bytes()
    position = content.index(b"PK", content.index(f"{TRAIN_IMAGES}.gz".encode())) - 1
    path.write_bytes(content[:position] + b"\1" + content[position + 1 :])
    assert [report.name for report in verify(str(path)) if report.problem] == [f"{TRAIN_IMAGES}.gz"]


def test_several_datasets_or_a_single_file(tmp_path: Path, capsys: Capsys) -> None:
    files = {
        f"gzip/{prefix}-{name}": COMPRESSED[name]
        for prefix in ("one", "two")
        for name in COMPRESSED
    }
    archive = str(write_archive(tmp_path / "stored.zip", files))
    reports = verify(archive)
    assert [report.split for report in reports[::2]] == [
        "one train",
        "one test",
        "two train",
        "two test",
    ]
    assert known(reports) == [""] * 8
    assert main(["verify", archive, "--prefix", "one"]) == 0
    assert capsys.readouterr().out.endswith("4 files, all valid\n")
    folder = write_archive(tmp_path / "folder", FILES)
    for name, role in ((TRAIN_LABELS, "labels"), (TRAIN_IMAGES, "images")):
        (report,) = verify(str(folder / name))
        assert (report.role, report.problem) == (role, "")


def test_the_table(tmp_path: Path) -> None:
    lines = table(verify(str(write_archive(tmp_path / "set.tar", FILES)))).splitlines()
    assert lines[0].split() == [
        "file",
        "split",
        "role",
        "type",
        "shape",
        "records",
        "sha256",
        "known",
        "state",
    ]
    assert {line.index("ok") for line in lines[1:]} == {lines[0].index("state")}
    assert "9 x 7" in lines[1]
