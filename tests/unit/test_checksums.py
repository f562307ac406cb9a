"""Checksums are checked at the end of what they cover, by `finish`: not earlier, and not never."""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from damage import falsify_crc32, flip_bits
from idx_files import random_images, to_idx, write_archive
from packers import PACKERS, deflate

from mnist_idx.archive import Location, list_members
from mnist_idx.compressions import COMPRESSIONS, DEFLATE
from mnist_idx.errors import DamagedError
from mnist_idx.idx import IdxFile
from mnist_idx.members import (
    Access,
    Member,
    open_member,
    open_stored,
    read_to_end,
    verify_member,
)
from mnist_idx.streams import (
    DecompressedFile,
    FileSlice,
    HashedFile,
    LocalFile,
    Stream,
    WrappedFile,
    read_fully,
)

CONTENT = bytes(range(256)) * 40
GZIP = PACKERS["gzip"].pack(CONTENT)
CRC32_OF_NOTHING = f"{zlib.crc32(b''):08x}"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG_SHA256 = "0" * 64


@pytest.fixture
def write_and_open(tmp_path: Path) -> Callable[[bytes], LocalFile]:
    """Writes a local file, and opens it."""

    def write_and_open(data: bytes) -> LocalFile:
        path = tmp_path / "file"
        path.write_bytes(data)
        return LocalFile(str(path))

    return write_and_open


def wrong_sha256(file: Stream) -> Stream:
    return HashedFile(file, "sha256", WRONG_SHA256, "file")


def wrong_crc32(file: Stream) -> Stream:
    return HashedFile(file, "crc32", CRC32_OF_NOTHING, "file")


def gunzip(file: Stream) -> Stream:
    return DecompressedFile(file, COMPRESSIONS["gzip"], "file")


def inflate(file: Stream) -> Stream:
    return DecompressedFile(file, DEFLATE, "file")


def right_sha256_of_gunzip(file: Stream) -> Stream:
    return HashedFile(gunzip(file), "sha256", SHA256, "file")


def right_sha256_of_wrong_crc32(file: Stream) -> Stream:
    return HashedFile(wrong_crc32(file), "sha256", SHA256, "file")


def gunzip_of_wrong_sha256(file: Stream) -> Stream:
    return gunzip(wrong_sha256(file))


def wrapper_of_wrong_sha256(file: Stream) -> Stream:
    return WrappedFile(wrong_sha256(file))


# What a file holds, the layers that find it to be wrong, and what they say.
WRONG_AT_THE_END = [
    pytest.param(CONTENT, wrong_sha256, "sha256", id="sha256-of-another-file"),
    pytest.param(CONTENT, wrong_crc32, "crc32", id="crc32-of-another-file"),
    pytest.param(
        flip_bits(GZIP, -5), gunzip, "incorrect data check", id="flipped-checksum-of-gzip"
    ),
    pytest.param(flip_bits(GZIP, -1), gunzip, "incorrect length check", id="flipped-gzip-length"),
    pytest.param(GZIP[:-1], gunzip, "too early", id="last-byte-of-gzip-cut-off"),
    pytest.param(
        GZIP + b"more", gunzip, "after 10,240 decompressed bytes", id="something-behind-gzip"
    ),
    pytest.param(deflate(CONTENT) + b"more", inflate, "more data", id="something-behind-deflate"),
    pytest.param(
        flip_bits(GZIP, -5), right_sha256_of_gunzip, "gzip", id="flipped-gzip-below-a-digest"
    ),
    pytest.param(CONTENT, right_sha256_of_wrong_crc32, "crc32", id="wrong-crc32-below-a-digest"),
    pytest.param(GZIP, gunzip_of_wrong_sha256, "sha256", id="wrong-sha256-below-gzip"),
    pytest.param(CONTENT, wrapper_of_wrong_sha256, "sha256", id="wrong-sha256-below-a-wrapper"),
]


@pytest.mark.parametrize(("data", "add_layers", "message"), WRONG_AT_THE_END)
def test_finish_finds_what_is_wrong_and_no_read_before_it(
    data: bytes,
    add_layers: Callable[[Stream], Stream],
    message: str,
    write_and_open: Callable[[bytes], LocalFile],
) -> None:
    with add_layers(write_and_open(data)) as stream:
        assert read_fully(stream, len(CONTENT) - 1) == CONTENT[:-1]
        with pytest.raises(DamagedError, match=f"^file: .*{message}"):
            read_last_byte_and_finish(stream)


def read_last_byte_and_finish(stream: Stream) -> None:
    """Read what is left, and nothing behind it: where the data ends, only `finish` looks."""
    assert stream.read(1) == CONTENT[-1:]
    stream.finish()


@pytest.mark.parametrize(("data", "add_layers", "message"), WRONG_AT_THE_END)
def test_reading_to_the_end_finds_what_is_wrong(
    data: bytes,
    add_layers: Callable[[Stream], Stream],
    message: str,
    write_and_open: Callable[[bytes], LocalFile],
) -> None:
    with add_layers(write_and_open(data)) as stream, pytest.raises(DamagedError, match=message):
        read_to_end(stream)


@pytest.mark.parametrize("algorithm", ["sha256", "crc32"])
def test_a_digest_says_nothing_of_a_read_that_begins_behind_the_start(
    algorithm: str, write_and_open: Callable[[bytes], LocalFile]
) -> None:
    with HashedFile(write_and_open(CONTENT), algorithm, "0", "file") as stream:
        stream.seek(1)
        read_to_end(stream)
        stream.seek(0)
        with pytest.raises(DamagedError):
            read_to_end(stream)


def test_a_slice_says_nothing_of_the_file_that_it_is_in(
    write_and_open: Callable[[bytes], LocalFile],
) -> None:
    content = wrong_sha256(write_and_open(CONTENT))
    with FileSlice(content, 0, len(CONTENT), "part") as part:
        read_to_end(part)


# An IDX file


class WrongAtTheEnd(WrappedFile):
    """A stream that is found to be wrong whenever it is finished."""

    def finish(self) -> None:
        raise DamagedError("wrong at the end")


@pytest.fixture
def six_records(write_and_open: Callable[[bytes], LocalFile]) -> Iterator[IdxFile]:
    """An IDX file of six records, whose end is wrong."""
    content = to_idx(random_images(6, 5, 4))
    with WrongAtTheEnd(write_and_open(content)) as stream:
        yield IdxFile(stream, "file")


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        pytest.param(0, 2, id="the-first-two"),
        pytest.param(0, 5, id="all-but-the-last"),
        pytest.param(2, 5, id="some-in-the-middle"),
    ],
)
def test_records_before_the_last_do_not_finish_a_file(
    start: int, stop: int, six_records: IdxFile
) -> None:
    assert len(six_records.read(start, stop)) == stop - start


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        pytest.param(5, 6, id="the-last"),
        pytest.param(0, 6, id="all"),
        pytest.param(6, 6, id="none-at-the-end"),
    ],
)
def test_the_last_record_finishes_a_file(start: int, stop: int, six_records: IdxFile) -> None:
    with pytest.raises(DamagedError, match="wrong at the end"):
        six_records.read(start, stop)


def test_the_last_batch_finishes_a_file(six_records: IdxFile) -> None:
    with pytest.raises(DamagedError, match="wrong at the end"):
        list(six_records.batches())


# A member of a zip


@pytest.fixture
def member_with_wrong_crc32(tmp_path: Path) -> Member:
    """A member whose checksum in the zip is wrong."""
    path = write_archive(tmp_path / "deflated.zip", {"images": to_idx(random_images(6, 5, 4))})
    falsify_crc32(path, "images")
    (member,) = list_members(Location(str(path)), Access())
    return member


def test_verifying_a_member_checks_its_end(member_with_wrong_crc32: Member) -> None:
    with pytest.raises(DamagedError, match="crc32"):
        verify_member(member_with_wrong_crc32, Access())


@pytest.mark.parametrize("open_it", [open_member, open_stored])
def test_reading_a_member_to_its_end_checks_it(
    open_it: Callable[[Member, Access], Stream], member_with_wrong_crc32: Member
) -> None:
    stream = open_it(member_with_wrong_crc32, Access())
    with stream, pytest.raises(DamagedError, match="crc32"):
        read_to_end(stream)
