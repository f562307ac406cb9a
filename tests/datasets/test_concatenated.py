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
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from loading import MODES, assert_same, read_all

import mnist_idx
from mnist_idx.tools import cli

Arrays = Mapping[str, tuple[np.ndarray, np.ndarray]]
Serve = Callable[..., Server]

MIB = 1 << 20
TRAIN = random_images(5, 4, 3), random_labels(5)
TEST = random_images(3, 4, 3, seed=1), random_labels(3, seed=1)
BOTH: Arrays = {"train": TRAIN, "test": TEST}

each_mode = pytest.mark.parametrize("way", MODES)
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])


def make_zip(files: Mapping[str, bytes], comment: bytes = b"") -> bytes:
    """The content of a zip of files, with a comment at its end."""
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
    """The members of a tar, without the blocks of zeros behind them."""
    return unpadded(tar)[:-1024]


def is_read_whole(way: str, location: str, expected: Arrays) -> bool:
    """Assert that all of the expected records are read, or none. Returns whether they are read."""
    if way == "verify":
        return is_verified_whole(location, expected)
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


def is_verified_whole(location: str, expected: Arrays) -> bool:
    """Assert that `verify` reports both files of each split, or fails. Returns whether it does."""
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


TRAIN_FILES = {TRAIN_IMAGES: to_idx(TRAIN[0]), TRAIN_LABELS: to_idx(TRAIN[1])}
TEST_FILES = {TEST_IMAGES: to_idx(TEST[0]), TEST_LABELS: to_idx(TEST[1])}
BOTH_FILES = {**TRAIN_FILES, **TEST_FILES}
# The records of TEST, by the names of the files of TRAIN.
TRAIN_FILES_OF_TEST = {TRAIN_IMAGES: to_idx(TEST[0]), TRAIN_LABELS: to_idx(TEST[1])}

TRAIN_TAR, TEST_TAR = make_tar(TRAIN_FILES), make_tar(TEST_FILES)
TRAIN_ZIP, TEST_ZIP = make_zip(TRAIN_FILES), make_zip(TEST_FILES)
EMPTY_TAR = make_tar({})
LARGE_TEST_TAR = make_tar({**TEST_FILES, "notes.txt": bytes(MIB)})


@each_way
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TRAIN_TAR + TEST_TAR, id="two-tars"),
        pytest.param(unpadded(TRAIN_TAR) + TEST_TAR, id="two-tars-without-padding"),
        pytest.param(TRAIN_TAR + bytes(5 * MIB) + TEST_TAR, id="two-tars-5-MiB-of-zeros-between"),
        pytest.param(TRAIN_TAR + EMPTY_TAR + TEST_TAR, id="three-tars-the-second-empty"),
        pytest.param(
            TRAIN_TAR + EMPTY_TAR + gzip.compress(TEST_TAR), id="a-tar-an-empty-one-and-a-tar.gz"
        ),
        pytest.param(gzip.compress(TRAIN_TAR + TEST_TAR), id="gzip-of-two-tars"),
        pytest.param(
            gzip.compress(TRAIN_TAR + bytes(5 * MIB) + TEST_TAR),
            id="gzip-of-two-tars-5-MiB-of-zeros-between",
        ),
        pytest.param(gzip.compress(TRAIN_TAR) + gzip.compress(TEST_TAR), id="two-tar.gz"),
        pytest.param(bz2.compress(TRAIN_TAR + TEST_TAR), id="bzip2-of-two-tars"),
        pytest.param(bz2.compress(TRAIN_TAR) + bz2.compress(TEST_TAR), id="two-tar.bz2"),
        pytest.param(lzma.compress(TRAIN_TAR + TEST_TAR), id="xz-of-two-tars"),
        pytest.param(lzma.compress(TRAIN_TAR) + lzma.compress(TEST_TAR), id="two-tar.xz"),
        pytest.param(TRAIN_TAR + gzip.compress(TEST_TAR), id="a-tar-and-a-tar.gz"),
        pytest.param(TRAIN_TAR + lzma.compress(TEST_TAR), id="a-tar-and-a-tar.xz"),
        pytest.param(gzip.compress(TRAIN_TAR) + TEST_TAR, id="a-tar.gz-and-a-tar"),
        pytest.param(TRAIN_TAR + TEST_ZIP, id="a-tar-and-a-zip"),
        pytest.param(TRAIN_ZIP + TEST_ZIP, id="two-zips"),
        pytest.param(
            make_zip(TRAIN_FILES, b"from 1998") + TEST_ZIP, id="two-zips-the-first-with-a-comment"
        ),
        pytest.param(TRAIN_ZIP + bytes(MIB) + TEST_ZIP, id="two-zips-zeros-between"),
        pytest.param(TRAIN_ZIP[:-40] + TEST_ZIP, id="two-zips-the-first-cut-short"),
        pytest.param(TRAIN_ZIP + unpadded(TEST_TAR), id="a-zip-and-a-small-tar"),
        pytest.param(TRAIN_ZIP + LARGE_TEST_TAR, id="a-zip-and-a-large-tar"),
        pytest.param(TRAIN_ZIP + gzip.compress(TEST_TAR), id="a-zip-and-a-tar.gz"),
    ],
)
def test_archives_one_behind_another_are_read_or_refused(
    content: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    path.write_bytes(content)
    is_read_whole(way, str(path), BOTH)


@each_way
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TRAIN_TAR + TEST_TAR, id="two-tars"),
        pytest.param(TRAIN_TAR + bytes(5 * MIB) + TEST_TAR, id="two-tars-5-MiB-of-zeros-between"),
        pytest.param(gzip.compress(TRAIN_TAR) + gzip.compress(TEST_TAR), id="two-tar.gz"),
        pytest.param(lzma.compress(TRAIN_TAR) + lzma.compress(TEST_TAR), id="two-tar.xz"),
        pytest.param(TRAIN_ZIP + TEST_ZIP, id="two-zips"),
        pytest.param(TRAIN_ZIP + unpadded(TEST_TAR), id="a-zip-and-a-small-tar"),
    ],
)
def test_archives_one_behind_another_are_read_or_refused_over_http(
    content: bytes,
    way: str,
    serve: Serve,
) -> None:
    server = serve({"/set": content})
    is_read_whole(way, server.url("/set"), BOTH)


@each_mode
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TRAIN_TAR + make_tar(TRAIN_FILES_OF_TEST), id="two-tars"),
        pytest.param(
            gzip.compress(TRAIN_TAR) + gzip.compress(make_tar(TRAIN_FILES_OF_TEST)), id="two-tar.gz"
        ),
        pytest.param(TRAIN_ZIP + make_zip(TRAIN_FILES_OF_TEST), id="two-zips"),
    ],
)
def test_a_second_archive_replaces_what_the_first_has_by_the_same_name_or_is_refused(
    content: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    path.write_bytes(content)
    is_read_whole(way, str(path), {"train": TEST})


@each_way
@pytest.mark.parametrize(
    "front",
    [
        pytest.param(b"#!/bin/sh\nexec unzip -q $0\n", id="a-script-that-unpacks-it"),
        pytest.param(bytes(4096), id="zeros"),
        pytest.param(b"PK00", id="a-mark-of-several-volumes"),
    ],
)
def test_a_zip_behind_what_is_no_data_is_read_or_refused(
    front: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    path.write_bytes(front + make_zip(BOTH_FILES))
    is_read_whole(way, str(path), BOTH)


@each_way
@pytest.mark.parametrize(
    "front",
    [
        pytest.param(TRAIN_ZIP[:100], id="the-start-of-another-zip"),
        pytest.param(TRAIN_FILES[TRAIN_IMAGES], id="images"),
        pytest.param(gzip.compress(TRAIN_FILES[TRAIN_IMAGES]), id="gzip-images"),
    ],
)
def test_a_zip_behind_other_data_is_refused(
    front: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    path.write_bytes(front + make_zip(BOTH_FILES))
    assert not is_read_whole(way, str(path), BOTH)


IMAGES = to_idx(TRAIN[0])
GZIP_IMAGES = gzip.compress(IMAGES)


@pytest.mark.parametrize(
    "container", ["folder", "set.tar", "set.tar.xz", "stored.zip", "deflated.zip"]
)
@each_way
@pytest.mark.parametrize(
    "images",
    [
        pytest.param(IMAGES + IMAGES, id="two-files"),
        pytest.param(IMAGES + GZIP_IMAGES, id="a-file-and-a-gzip-file"),
        pytest.param(gzip.compress(IMAGES + IMAGES), id="gzip-of-two-files"),
        pytest.param(GZIP_IMAGES + GZIP_IMAGES, id="two-gzip-files"),
        pytest.param(GZIP_IMAGES + bytes(600) + GZIP_IMAGES, id="two-gzip-files-zeros-between"),
        pytest.param(bz2.compress(IMAGES) * 2, id="two-bzip2-files"),
        pytest.param(lzma.compress(IMAGES) * 2, id="two-xz-files"),
    ],
)
def test_a_file_of_two_idx_files_is_refused(
    images: bytes,
    way: str,
    container: str,
    tmp_path: Path,
) -> None:
    files = {**TRAIN_FILES, TRAIN_IMAGES: images}
    path = write_archive(tmp_path / container, files)
    if way == "verify":
        assert cli.main(["verify", str(path)]) == 1
    else:
        with pytest.raises(mnist_idx.IdxError, match=TRAIN_IMAGES):
            read_all(way, "idxfolder", splits=("train",), data_dir=str(path))


@each_way
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(IMAGES + TRAIN_TAR, id="a-tar"),
        pytest.param(IMAGES + TRAIN_ZIP, id="a-zip"),
        pytest.param(GZIP_IMAGES + gzip.compress(TRAIN_TAR), id="a-tar.gz-behind-gzip-images"),
    ],
)
def test_an_archive_behind_a_single_idx_file_is_refused(
    content: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / TRAIN_IMAGES
    path.write_bytes(content)
    assert not is_read_whole(way, str(path), {"train": TRAIN})


# What looks like several archives, but is one


def tar_with_added_files() -> bytes:
    """What `tar -r` makes of a tar: the new members stand where its end was."""
    buffer = io.BytesIO(TRAIN_TAR)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for name, content in TEST_FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_with_added_files() -> bytes:
    """What `zip` makes of a zip when it adds members to it."""
    buffer = io.BytesIO(make_zip(TRAIN_FILES, b"of the first"))
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in TEST_FILES.items():
            archive.writestr(name, content)
    return buffer.getvalue()


TAR = make_tar(BOTH_FILES)
TAR_START, TAR_REST = TAR[:700], TAR[700:]
TAR_OF_1_MIB = unpadded(TAR).ljust(MIB, b"\0")
FILES_AND_ARCHIVES = {**BOTH_FILES, "old.tar": TEST_TAR, "old.zip": TEST_ZIP}


@each_way
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TAR, id="tar-of-10240-bytes"),
        pytest.param(unpadded(TAR), id="tar-with-two-blocks-of-zeros"),
        pytest.param(without_end(TRAIN_TAR) + TEST_TAR, id="tar-of-members-behind-members"),
        pytest.param(TAR_OF_1_MIB, id="tar-of-1-MiB"),
        pytest.param(gzip.compress(TAR_OF_1_MIB), id="tar.gz-of-1-MiB"),
        pytest.param(
            gzip.compress(TAR_START) + gzip.compress(TAR_REST), id="tar.gz-in-two-gzip-streams"
        ),
        pytest.param(
            lzma.compress(TAR_START) + lzma.compress(TAR_REST), id="tar.xz-in-two-xz-streams"
        ),
        pytest.param(gzip.compress(TAR) + bytes(700), id="tar.gz-padded-with-zeros"),
        pytest.param(tar_with_added_files(), id="tar-to-which-files-were-added"),
        pytest.param(zip_with_added_files(), id="zip-to-which-files-were-added"),
        pytest.param(make_zip(BOTH_FILES, b"from 1998" * 99), id="zip-with-a-comment"),
        pytest.param(make_tar(FILES_AND_ARCHIVES), id="tar-with-archives-in-it"),
        pytest.param(make_zip(FILES_AND_ARCHIVES), id="zip-with-archives-in-it"),
    ],
)
def test_an_archive_that_only_looks_like_several_is_read(
    content: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    path.write_bytes(content)
    assert is_read_whole(way, str(path), BOTH)


@pytest.mark.parametrize("way", ["streamed", "arrays", "verify"])
@pytest.mark.parametrize(
    ("archive", "padding"),
    [
        pytest.param("set.tar", bytes(MIB), id="tar-and-1-MiB-of-zeros"),
        pytest.param("set.tar.gz", bytes(MIB), id="tar.gz-and-1-MiB-of-zeros"),
        pytest.param("deflated.zip", b"", id="zip-without-padding"),
    ],
)
def test_a_padded_archive_is_read_over_http(
    archive: str,
    padding: bytes,
    way: str,
    tmp_path: Path,
    serve: Serve,
) -> None:
    path = write_archive(tmp_path / archive, BOTH_FILES)
    server = serve({"/set": path.read_bytes() + padding})
    assert is_read_whole(way, server.url("/set"), BOTH)
