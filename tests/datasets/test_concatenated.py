"""One archive behind another is read as well, or refused: it is never left out without a word."""

import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from http_server import Server
from idx_files import make_tar, random_images, random_labels, to_idx, write_archive
from loading import MODES, assert_same, read_all

import mnist_idx
from mnist_idx.tools import cli

Arrays = Mapping[str, tuple[np.ndarray, np.ndarray]]
Serve = Callable[..., Server]

WAYS = (*MODES, "verify")
MIB = 1 << 20
ARRAYS: Arrays = {
    "train": (random_images(5, 4, 3), random_labels(5)),
    "test": (random_images(3, 4, 3, seed=1), random_labels(3, seed=1)),
}


def files_of(split: str, seed: str = "") -> dict[str, bytes]:
    images, labels = ARRAYS[seed or split]
    stem = {"train": "train", "test": "t10k"}[split]
    names = (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte")
    return dict(zip(names, (to_idx(images), to_idx(labels)), strict=True))


def make_zip(files: Mapping[str, bytes], comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = comment
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unpadded(tar: bytes) -> bytes:
    """A tar whose end is two blocks of zeros, as little as the format asks for."""
    content = tar.rstrip(b"\0")
    return content + bytes(-len(content) % 512 + 1024)


def without_end(tar: bytes) -> bytes:
    return unpadded(tar)[:-1024]


def read_or_refuse(way: str, location: str, expected: Arrays) -> bool:
    """Assert that all of the expected records are read, or none. Returns whether they are read."""
    if way == "verify":
        return _verify(location, expected)
    # `load_arrays` refuses a split that it does not find, so each is asked for.
    requests = [(split,) for split in expected] if way == "arrays" else [tuple(expected)]
    refusals = []
    for splits in requests:
        try:
            found = read_all(way, "idxfolder", splits=splits, data_dir=location, as_array=True)
        except mnist_idx.IdxError as error:
            assert location in str(error)
            refusals.append(str(error))
        else:
            assert_same(found, {split: expected[split] for split in splits})
    assert len(refusals) in (0, len(requests)), f"something was read, but: {refusals}"
    return not refusals


def _verify(location: str, expected: Arrays) -> bool:
    table, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(table), contextlib.redirect_stderr(errors):
        code = cli.main(["verify", location])
    if code:
        assert location in errors.getvalue()
        return False
    for split, (images, _) in expected.items():
        rows = [line.split() for line in table.getvalue().splitlines() if f" {split} " in line]
        assert len(rows) == 2, table.getvalue()
        assert str(len(images)) in rows[0]
    return True


BOTH = {**files_of("train"), **files_of("test")}
TRAIN, TEST = make_tar(files_of("train")), make_tar(files_of("test"))
OTHER_TRAIN = files_of("train", "test")  # the same names, other records
TRAIN_ZIP, TEST_ZIP = make_zip(files_of("train")), make_zip(files_of("test"))
LARGE_TAR = make_tar({**files_of("test"), "notes.txt": bytes(MIB)})
MULTIPLE = {
    "two tars": TRAIN + TEST,
    "two tars without padding": unpadded(TRAIN) + TEST,
    "two tars, megabytes of zeros between": TRAIN + bytes(5 * MIB) + TEST,
    "three tars, the second empty": TRAIN + make_tar({}) + TEST,
    "a tar and an empty one and a tar.gz": TRAIN + make_tar({}) + gzip.compress(TEST),
    "gzip of two tars": gzip.compress(TRAIN + TEST),
    "gzip of two tars, megabytes of zeros between": gzip.compress(TRAIN + bytes(5 * MIB) + TEST),
    "two tar.gz": gzip.compress(TRAIN) + gzip.compress(TEST),
    "bzip2 of two tars": bz2.compress(TRAIN + TEST),
    "two tar.bz2": bz2.compress(TRAIN) + bz2.compress(TEST),
    "xz of two tars": lzma.compress(TRAIN + TEST),
    "two tar.xz": lzma.compress(TRAIN) + lzma.compress(TEST),
    "a tar and a tar.gz": TRAIN + gzip.compress(TEST),
    "a tar and a tar.xz": TRAIN + lzma.compress(TEST),
    "a tar.gz and a tar": gzip.compress(TRAIN) + TEST,
    "a tar and a zip": TRAIN + TEST_ZIP,
    "two zips": TRAIN_ZIP + TEST_ZIP,
    "two zips, the first with a comment": make_zip(files_of("train"), b"from 1998") + TEST_ZIP,
    "two zips, zeros between": TRAIN_ZIP + bytes(MIB) + TEST_ZIP,
    "two zips, the first cut short": TRAIN_ZIP[:-40] + TEST_ZIP,
    "a zip and a small tar": TRAIN_ZIP + unpadded(TEST),
    "a zip and a large tar": TRAIN_ZIP + LARGE_TAR,
    "a zip and a tar.gz": TRAIN_ZIP + gzip.compress(TEST),
}
OVER_HTTP = ("two tars", "two tars, megabytes of zeros between", "two tar.gz", "two tar.xz")
OVER_HTTP += ("two zips", "a zip and a small tar")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", MULTIPLE)
def test_archives_one_behind_another_are_read_or_refused(
    what: str,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    path.write_bytes(MULTIPLE[what])
    read_or_refuse(way, str(path), ARRAYS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", OVER_HTTP)
def test_archives_one_behind_another_are_read_or_refused_over_http(
    what: str,
    way: str,
    serve: Serve,
) -> None:
    server = serve({"/set": MULTIPLE[what]})
    read_or_refuse(way, server.url("/set"), ARRAYS)


@pytest.mark.parametrize("way", MODES)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TRAIN + make_tar(OTHER_TRAIN), id="tars"),
        pytest.param(gzip.compress(TRAIN) + gzip.compress(make_tar(OTHER_TRAIN)), id="tar.gz"),
        pytest.param(TRAIN_ZIP + make_zip(OTHER_TRAIN), id="zips"),
    ],
)
def test_a_second_archive_replaces_what_the_first_has_by_the_same_name_or_is_refused(
    content: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    path.write_bytes(content)
    read_or_refuse(way, str(path), {"train": ARRAYS["test"]})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("front", "may_read"),
    [
        pytest.param(b"#!/bin/sh\nexec unzip -q $0\n", True, id="a script that unpacks it"),
        pytest.param(bytes(4096), True, id="zeros"),
        pytest.param(b"PK00", True, id="a mark of several volumes"),
        pytest.param(TRAIN_ZIP[:100], False, id="the start of another zip"),
        pytest.param(to_idx(ARRAYS["train"][0]), False, id="images"),
        pytest.param(gzip.compress(to_idx(ARRAYS["train"][0])), False, id="compressed images"),
    ],
)
def test_a_zip_behind_other_data_is_read_or_refused(
    front: bytes,
    may_read: bool,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    path.write_bytes(front + make_zip(BOTH))
    assert not read_or_refuse(way, str(path), ARRAYS) or may_read


IMAGES, LABELS = (to_idx(array) for array in ARRAYS["train"])
GZIPPED = gzip.compress(IMAGES)


@pytest.mark.parametrize("form", ["folder", "set.tar", "set.tar.xz", "stored.zip", "deflated.zip"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "images",
    [
        pytest.param(IMAGES + IMAGES, id="two files"),
        pytest.param(IMAGES + GZIPPED, id="a file and a compressed one"),
        pytest.param(gzip.compress(IMAGES + IMAGES), id="gzip of two files"),
        pytest.param(GZIPPED + GZIPPED, id="two gzip files"),
        pytest.param(GZIPPED + bytes(600) + GZIPPED, id="two gzip files, zeros between"),
        pytest.param(bz2.compress(IMAGES) * 2, id="two bzip2 files"),
        pytest.param(lzma.compress(IMAGES) * 2, id="two xz files"),
    ],
)
def test_a_file_of_two_idx_files_is_refused(
    images: bytes,
    way: str,
    form: str,
    tmp_path: Path,
) -> None:
    files = {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": LABELS}
    path = write_archive(tmp_path / form, files)
    if way == "verify":
        assert cli.main(["verify", str(path)]) == 1
        return
    with pytest.raises(mnist_idx.IdxError, match="train-images-idx3-ubyte"):
        read_all(way, "idxfolder", splits=("train",), data_dir=str(path))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(IMAGES + TRAIN, id="a tar"),
        pytest.param(IMAGES + TRAIN_ZIP, id="a zip"),
        pytest.param(GZIPPED + gzip.compress(TRAIN), id="a tar.gz, compressed as well"),
    ],
)
def test_an_archive_behind_a_single_idx_file_is_not_left_out(
    content: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    assert not read_or_refuse(way, str(path), {"train": ARRAYS["train"]})


# What looks like several archives, but is one


def appended() -> bytes:
    """What `tar -r` makes of a tar: the new members stand where its end was."""
    buffer = io.BytesIO(TRAIN)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for name, content in files_of("test").items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def updated_zip() -> bytes:
    """What `zip` makes of a zip when it adds members to it."""
    buffer = io.BytesIO(make_zip(files_of("train"), b"of the first"))
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in files_of("test").items():
            archive.writestr(name, content)
    return buffer.getvalue()


WHOLE = make_tar(BOTH)
HALVES = (WHOLE[:700], WHOLE[700:])
INNER = {**BOTH, "old.tar": TEST, "old.zip": TEST_ZIP}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(WHOLE, id="a tar of 10,240 bytes"),
        pytest.param(unpadded(WHOLE), id="a tar with two blocks of zeros"),
        pytest.param(without_end(TRAIN) + TEST, id="members behind members"),
        pytest.param(unpadded(WHOLE).ljust(MIB, b"\0"), id="a tar of 1 MiB"),
        pytest.param(gzip.compress(unpadded(WHOLE).ljust(MIB, b"\0")), id="a tar.gz of 1 MiB"),
        pytest.param(b"".join(map(gzip.compress, HALVES)), id="a tar.gz in two parts"),
        pytest.param(b"".join(map(lzma.compress, HALVES)), id="a tar.xz in two parts"),
        pytest.param(gzip.compress(WHOLE) + bytes(700), id="a tar.gz padded with zeros"),
        pytest.param(appended(), id="a tar to which files were added"),
        pytest.param(updated_zip(), id="a zip to which files were added"),
        pytest.param(make_zip(BOTH, b"from 1998" * 99), id="a zip with a comment"),
        pytest.param(make_tar(INNER), id="archives in a tar"),
        pytest.param(make_zip(INNER), id="archives in a zip"),
    ],
)
def test_an_archive_that_only_looks_like_several_is_read(
    content: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    path.write_bytes(content)
    assert read_or_refuse(way, str(path), ARRAYS)


@pytest.mark.parametrize("way", ["streamed", "arrays", "verify"])
@pytest.mark.parametrize("form", ["set.tar", "set.tar.gz", "deflated.zip"])
def test_a_padded_archive_is_read_over_http(
    form: str,
    way: str,
    tmp_path: Path,
    serve: Serve,
) -> None:
    path = write_archive(tmp_path / form, BOTH)
    padding = b"" if form == "deflated.zip" else bytes(MIB)
    server = serve({"/set": path.read_bytes() + padding})
    assert read_or_refuse(way, server.url("/set"), ARRAYS)
