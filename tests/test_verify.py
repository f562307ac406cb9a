"""`verify`: the table of members, and what is wrong with them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from idx_files import PACKINGS, random_images, random_labels, to_idx, write_archive

from mnist_idx.cli import main
from mnist_idx.idx import IdxError
from mnist_idx.sources import DATA_SETS, Source
from mnist_idx.verify import table, verify

FOUR = {
    "train-images-idx3-ubyte": to_idx(random_images(70, 9, 7)),
    "train-labels-idx1-ubyte": to_idx(random_labels(70)),
    "t10k-images-idx3-ubyte": to_idx(random_images(30, 9, 7, seed=1)),
    "t10k-labels-idx1-ubyte": to_idx(random_labels(30, seed=1)),
}
MNIST_UNPACKED = [
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
]


def test_mnist_is_known_however_it_is_packed(mnist_tar, mnist_files, tmp_path):
    folder = write_archive(tmp_path / "plain", {Path(n).stem: gzip.decompress(c) for n, c in mnist_files.items()})
    again = {n: gzip.compress(gzip.decompress(c), 1) for n, c in mnist_files.items()}
    for source in (mnist_tar, folder, write_archive(tmp_path / "deflated.zip", again)):
        findings = verify(str(source))
        assert [finding.digest for finding in findings] == MNIST_UNPACKED
        assert {finding.known for finding in findings} == {"mnist"}
        assert [(f.split, f.role) for f in findings] == [
            ("train", "images"), ("train", "labels"), ("test", "images"), ("test", "labels")
        ]  # fmt: skip
        assert [finding.shape for finding in findings] == [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)]
        assert not any(finding.problem for finding in findings)


def test_the_config_is_checked_against_what_is_published(server, mirror):
    mirror(server.url("/mnist_database.tar"))
    assert {finding.known for finding in verify()} == {"mnist"}
    assert {finding.known for finding in verify("subset")} == {"mnist"}
    assert {finding.known for finding in verify("tiny")} == {"tiny"}


def test_another_file_in_a_config_is_named(mnist_files, tmp_path, mirror):
    changed = bytearray(gzip.decompress(mnist_files["data/t10k-labels-idx1-ubyte.gz"]))
    changed[100] ^= 1
    files = mnist_files | {"data/t10k-labels-idx1-ubyte.gz": gzip.compress(bytes(changed))}
    mirror(write_archive(tmp_path / "set.tar", files))
    *good, bad = verify()
    assert {finding.known for finding in good} == {"mnist"}
    assert bad.known == ""
    assert "not the published file" in bad.problem
    assert MNIST_UNPACKED[3] in bad.problem
    # The same file among those of MNIST in a folder.
    folder = write_archive(tmp_path / "folder", files)
    *good, bad = verify(str(folder))
    assert not any(finding.problem for finding in good)
    assert "Other files are those of mnist" in bad.problem


def test_a_source_that_breaks_off_is_left_for_the_next(serve, mnist_tar, monkeypatch):
    servers = [serve({"/set.tar": mnist_tar}) for _ in range(2)]
    sources = tuple(Source(server.url("/set.tar"), 0) for server in servers)
    monkeypatch.setitem(DATA_SETS, "mnist", DATA_SETS["mnist"]._replace(sources=sources))
    servers[0].behave("/set.tar", status=403, skip=3)
    assert {finding.known for finding in verify()} == {"mnist"}
    assert servers[1].count("/set.tar", "GET")
    servers[1].behave("/set.tar", status=403)
    with pytest.raises(IdxError, match=r"(?s)None of the sources.*403.*403"):
        verify()


@pytest.mark.parametrize("form", ["folder", "set.tar", "set.tar.gz", "stored.zip", "deflated.zip"])
@pytest.mark.parametrize("packing", PACKINGS)
def test_anybodys_files_are_not_known_and_not_wrong(tmp_path, form, packing):
    files = {f"{name}{packing}": PACKINGS[packing](content) for name, content in FOUR.items()}
    findings = verify(str(write_archive(tmp_path / form, files | {"README.md": b"mine"})))
    assert len(findings) == 4
    assert {(finding.known, finding.problem) for finding in findings} == {("", "")}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("train-images-idx3-ubyte", FOUR["train-images-idx3-ubyte"][:-1], "cut short"),
        ("train-images-idx3-ubyte", FOUR["train-images-idx3-ubyte"] + b"\0", "more data follows"),
        ("train-images-idx3-ubyte", gzip.compress(FOUR["train-images-idx3-ubyte"])[:-1], "damaged"),
        ("train-images-idx3-ubyte", b"<html>", "not an IDX file"),
        ("train-images-idx3-ubyte", b"", "train-images-idx3-ubyte"),
        ("train-labels-idx1-ubyte", to_idx(random_labels(69)), "70.*69"),
        ("train-labels-idx1-ubyte", to_idx(np.zeros(70, "float64")), "whole numbers"),
        ("train-labels-idx1-ubyte", FOUR["train-images-idx3-ubyte"], "train-labels-idx1-ubyte"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, capsys, name, content, problem):
    folder = str(write_archive(tmp_path / "folder", FOUR | {name: content}))
    wrong = [finding for finding in verify(folder) if finding.problem]
    assert [Path(finding.name).name for finding in wrong] == [name]
    assert main(["verify", folder]) == 1
    printed = capsys.readouterr()
    assert "WRONG" in printed.out
    assert "1 of 4 files wrong" in printed.out
    assert re.search(problem, printed.err)


def test_several_data_sets_are_all_looked_at(tmp_path, capsys):
    files = {
        f"gzip/{name}-{file}.gz": gzip.compress(content) for name in ("one", "two") for file, content in FOUR.items()
    }
    archive = str(write_archive(tmp_path / "stored.zip", files))
    findings = verify(archive)
    assert [finding.split for finding in findings[::2]] == ["one train", "one test", "two train", "two test"]
    assert not any(finding.problem for finding in findings)
    assert len(verify(archive, "two")) == 4
    assert main(["verify", archive, "--data-set", "one"]) == 0
    assert "4 files, all as they should be" in capsys.readouterr().out


def test_a_file_of_its_own(tmp_path):
    folder = write_archive(tmp_path / "folder", FOUR)
    (finding,) = verify(str(folder / "train-labels-idx1-ubyte"))
    assert (finding.role, finding.shape, finding.problem) == ("labels", (70,), "")


def test_the_table_is_straight(tmp_path):
    text = table(verify(str(write_archive(tmp_path / "set.tar", FOUR))))
    lines = text.splitlines()
    assert lines[0].split() == ["member", "split", "role", "type", "shape", "records", "sha256", "known", "state"]
    assert {line.index("ok") for line in lines[1:]} == {lines[0].index("state")}
    assert {line.index("uint8") for line in lines[1:]} == {lines[0].index("type")}
    assert "9 x 7" in lines[1]


def test_what_is_not_there_is_an_error(tmp_path, capsys):
    assert main(["verify", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / "empty")]) == 1
    assert "found nothing" in capsys.readouterr().err
