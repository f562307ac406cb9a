"""The bytes of a member: sliced, decompressed, verified."""

import gzip
import hashlib
import random
import zlib
from pathlib import Path

import pytest
from packers import PACKERS, Pack, deflate

from mnist_idx.errors import IdxError, TransferError
from mnist_idx.members import Access, Member, open_member, open_stored, verify_member
from mnist_idx.streams import HashedFile, LocalFile, Stream, read_fully

CONTENT = bytes(random.Random(0).choices(range(16), k=300_000))
PACKED = gzip.compress(CONTENT, 0)  # no smaller, so that it is not read at once
CONTENT_SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACKED_SHA256 = hashlib.sha256(PACKED).hexdigest()
# The digests backwards are those of no file.
WRONG_CONTENT_SHA256, WRONG_PACKED_SHA256 = CONTENT_SHA256[::-1], PACKED_SHA256[::-1]

each_packing = pytest.mark.parametrize(
    "pack",
    [
        pytest.param(bytes, id="plain"),
        pytest.param(PACKERS["gzip"].pack, id="gzip"),
        pytest.param(PACKERS["bzip2"].pack, id="bzip2"),
        pytest.param(PACKERS["xz"].pack, id="xz"),
    ],
)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Where a test writes a file that holds a member."""
    return tmp_path / "file"


def member_of(path: Path) -> Member:
    """A file as a member of its own, of which nothing is known."""
    return Member(str(path), str(path))


def read_to_end(stream: Stream) -> bytes:
    """The content of a stream, checked at its end, and closed."""
    with stream:
        content = stream.readall()
        stream.finish()
        return content


def assert_valid(member: Member) -> None:
    """A member is `CONTENT`, and verified."""
    assert read_to_end(open_member(member, Access())) == CONTENT
    verify_member(member, Access())


def assert_refused(member: Member, message: str) -> IdxError:
    """Neither reading a member nor verifying it succeeds. Returns the error of reading."""
    with pytest.raises(IdxError, match=message) as caught:
        read_to_end(open_member(member, Access()))
    with pytest.raises(IdxError, match=message):
        verify_member(member, Access())
    return caught.value


# Slices


@pytest.mark.parametrize(
    ("compression", "pack_container"),
    [
        pytest.param(None, bytes, id="in-a-plain-container"),
        pytest.param("gzip", PACKERS["gzip"].pack, id="in-a-gzip-container"),
        pytest.param("bzip2", PACKERS["bzip2"].pack, id="in-a-bzip2-container"),
        pytest.param("xz", PACKERS["xz"].pack, id="in-a-xz-container"),
    ],
)
@each_packing
def test_a_member_is_a_slice_of_its_container(
    pack: Pack, compression: str | None, pack_container: Pack, stored: Path
) -> None:
    packed = pack(CONTENT)
    stored.write_bytes(pack_container(b"before" + packed + b"after"))
    member = Member(str(stored), "images", 6, len(packed), compression=compression)
    assert read_to_end(open_stored(member, Access())) == packed
    assert_valid(member)
    with open_member(member, Access()) as stream:
        for start in (100_000, 5, 50_000):
            assert stream.seek(start) == stream.tell() == start
            assert stream.read(10) == CONTENT[start : start + 10]


@pytest.mark.parametrize(
    ("offset", "size", "message"),
    [
        pytest.param(0, 99, "file: found a file of 100 bytes, expected 99", id="file-is-longer"),
        pytest.param(0, 101, "file: found a file of 100 bytes, expected 101", id="file-is-shorter"),
        pytest.param(
            50, 51, "file: found a file of 100 bytes, expected 101", id="member-goes-past-the-end"
        ),
    ],
)
def test_a_container_of_another_size_is_refused(
    offset: int, size: int, message: str, stored: Path
) -> None:
    stored.write_bytes(bytes(100))
    error = assert_refused(Member(str(stored), "images", offset, size), f"^images in .*{message}")
    assert not isinstance(error, TransferError)


def test_nothing_is_read_behind_the_end_of_a_member(stored: Path) -> None:
    stored.write_bytes(bytes(100))
    with open_member(Member(str(stored), "images", offset=50, size=49), Access()) as stream:
        assert stream.size == 49
        assert len(read_fully(stream, 100)) == 49
        assert stream.seek(60) == 60
        assert stream.read(10) == b""


def test_a_file_of_its_own_is_called_by_its_path_alone(stored: Path) -> None:
    stored.write_bytes(bytes(100))
    assert_refused(member_of(stored)._replace(size=99), f"^{stored}: found")


def test_a_member_that_cannot_be_used_is_named_with_its_problem() -> None:
    member = Member("set.tar", "images", problem="found a link")
    error = assert_refused(member, r"^images in set\.tar: found a link")
    assert not isinstance(error, TransferError)


def test_a_missing_file_is_a_failed_transfer() -> None:
    error = assert_refused(Member("/nowhere", "/nowhere"), "/nowhere: cannot be read: No such file")
    assert isinstance(error, TransferError)


# Members of zips


def test_a_deflated_member_is_inflated(stored: Path) -> None:
    stored.write_bytes(deflate(PACKED))
    crc32 = zlib.crc32(PACKED)
    member = member_of(stored)._replace(inflated_size=len(PACKED), crc32=crc32)
    assert read_to_end(open_stored(member, Access())) == PACKED
    assert_valid(member)


def test_a_member_with_another_checksum_is_refused(stored: Path) -> None:
    stored.write_bytes(deflate(PACKED))
    member = member_of(stored)._replace(inflated_size=len(PACKED), crc32=1)
    found = f"{zlib.crc32(PACKED):08x}"
    assert_refused(member, f"found crc32 {found}, expected 00000001.*damaged")


def test_more_data_behind_a_deflated_member_is_refused(stored: Path) -> None:
    stored.write_bytes(deflate(PACKED) + b"more")
    member = member_of(stored)._replace(inflated_size=len(PACKED))
    assert_refused(member, "deflate data is damaged")


# Digests

OF_STORED = {"published_size": len(PACKED), "sha256": PACKED_SHA256}


@pytest.mark.parametrize(
    "digests",
    [
        pytest.param(OF_STORED, id="of-the-stored-file"),
        pytest.param({"content_sha256": CONTENT_SHA256}, id="of-the-content"),
        pytest.param(
            {**OF_STORED, "content_sha256": WRONG_CONTENT_SHA256},
            id="of-the-stored-file-whatever-that-of-the-content",
        ),
    ],
)
def test_the_published_file_has_the_published_digest(
    digests: dict[str, object], stored: Path
) -> None:
    stored.write_bytes(PACKED)
    assert_valid(member_of(stored)._replace(**digests))


@pytest.mark.parametrize(
    ("digests", "found", "expected"),
    [
        pytest.param(
            {"published_size": len(PACKED), "sha256": WRONG_PACKED_SHA256},
            PACKED_SHA256,
            WRONG_PACKED_SHA256,
            id="of-the-stored-file",
        ),
        pytest.param(
            {"content_sha256": WRONG_CONTENT_SHA256},
            CONTENT_SHA256,
            WRONG_CONTENT_SHA256,
            id="of-the-content",
        ),
        pytest.param(
            {
                "published_size": len(PACKED),
                "sha256": WRONG_PACKED_SHA256,
                "content_sha256": CONTENT_SHA256,
            },
            PACKED_SHA256,
            WRONG_PACKED_SHA256,
            id="of-the-stored-file-whatever-that-of-the-content",
        ),
    ],
)
def test_another_digest_is_refused_where_all_is_read_and_only_there(
    digests: dict[str, object], found: str, expected: str, stored: Path
) -> None:
    stored.write_bytes(PACKED)
    member = member_of(stored)._replace(**digests)
    message = f"file: found sha256 {found}, expected {expected}.* not the published file"
    assert_refused(member, message)
    with open_member(member, Access()) as stream:  # reading a part proves nothing
        stream.seek(1000)
        assert read_fully(stream, 50_000) == CONTENT[1000:51_000]


@each_packing
def test_the_published_content_is_valid_however_it_is_compressed(pack: Pack, stored: Path) -> None:
    """The digest of the stored file says nothing about a file that is compressed in another way."""
    stored.write_bytes(pack(CONTENT))
    assert_valid(member_of(stored)._replace(**OF_STORED, content_sha256=CONTENT_SHA256))


@each_packing
def test_other_content_is_refused_however_it_is_compressed(pack: Pack, stored: Path) -> None:
    stored.write_bytes(pack(CONTENT[:-1] + b"x"))
    member = member_of(stored)._replace(**OF_STORED, content_sha256=CONTENT_SHA256)
    assert_refused(member, "not the published file")


def test_a_hash_covers_what_is_read_without_a_gap(stored: Path) -> None:
    stored.write_bytes(CONTENT)
    with HashedFile(LocalFile(str(stored)), "sha256") as stream:
        stream.read(100)
        assert stream.hexdigest() == hashlib.sha256(CONTENT[:100]).hexdigest()
        stream.seek(50)
        stream.read(100)
        assert stream.hexdigest() == hashlib.sha256(CONTENT[:150]).hexdigest(), "an overlap"
        stream.seek(200)
        stream.read(100)
        assert stream.hexdigest() == hashlib.sha256(CONTENT[:150]).hexdigest(), "a gap"
        stream.seek(0)
        assert stream.hexdigest() == hashlib.sha256(b"").hexdigest(), "the next pass"
