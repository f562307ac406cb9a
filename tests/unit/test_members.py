"""The bytes of a member: sliced, decompressed, verified."""

import gzip
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packers import PACKERS, Pack, deflate

from mnist_idx.errors import IdxError, TransferError
from mnist_idx.members import Access, Member, open_member, open_stored, verify_member
from mnist_idx.streams import HashedFile, LocalFile, Stream, read_fully

CONTENT = bytes(range(256)) * 400
PACKED = gzip.compress(CONTENT, 1)
PACK: dict[str | None, Pack] = {None: bytes}
for name, packer in PACKERS.items():
    PACK[name] = packer.pack
each_packing = pytest.mark.parametrize("packing", PACK)
Make = Callable[..., Member]


@pytest.fixture
def member(tmp_path: Path) -> Make:
    """Write a file and describe it."""

    def member(data: bytes, **facts: Any) -> Member:
        path = tmp_path / "file"
        path.write_bytes(data)
        return Member(str(path), facts.pop("name", str(path)), **facts)

    return member


def read(stream: Stream) -> bytes:
    with stream:
        content = bytes(read_fully(stream, len(CONTENT)) + stream.read(1))
        stream.finish()
        return content


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def assert_valid(member: Member) -> None:
    assert read(open_member(member, Access())) == CONTENT
    verify_member(member, Access())


def assert_refused(member: Member, message: str) -> None:
    for attempt in (
        lambda: read(open_member(member, Access())),
        lambda: verify_member(member, Access()),
    ):
        with pytest.raises(IdxError, match=message) as caught:
            attempt()
        assert isinstance(caught.value, TransferError) == ("cannot be read" in message)


@pytest.mark.parametrize("container", PACK)
@each_packing
def test_a_member_is_a_slice_of_its_container(packing: str, container: str, member: Make) -> None:
    stored = PACK[packing](CONTENT)
    archive = PACK[container](b"before" + stored + b"after")
    found = member(archive, name="images", offset=6, size=len(stored), compression=container)
    assert read(open_stored(found, Access())) == stored
    assert_valid(found)
    with open_member(found, Access()) as stream:
        for start in (100_000, 5, 50_000):
            assert stream.seek(start) == stream.tell() == start
            assert stream.read(10) == CONTENT[start : start + 10]


def test_sizes_are_checked_and_members_named(member: Make) -> None:
    assert_refused(member(bytes(100), size=99), "file: found a file of 100 bytes, expected 99")
    assert_refused(member(bytes(100), size=101), "100 bytes, expected 101")
    assert_refused(
        member(bytes(100), name="images", offset=50, size=51),
        "images in .*file: .*100 .*expected 101",
    )
    assert_refused(
        Member("set.tar", "images", problem="found a link"), r"images in set\.tar: found a link"
    )
    assert_refused(Member("/nowhere", "/nowhere"), "/nowhere: cannot be read: No such file")
    with open_member(member(bytes(100), offset=50, size=49), Access()) as stream:
        assert (stream.size, len(read_fully(stream, 100))) == (49, 49)
        assert (stream.seek(60), stream.read(10)) == (60, b"")


def test_deflated_members_and_their_checksums(member: Make) -> None:
    data, crc32 = deflate(PACKED), zlib.crc32(PACKED)
    good = member(data, inflated_size=len(PACKED), crc32=crc32)
    assert read(open_stored(good, Access())) == PACKED
    assert_valid(good)
    assert_refused(good._replace(crc32=1), f"crc32 {crc32:08x}, expected 00000001.*damaged")
    assert_refused(member(data + b"more", inflated_size=len(PACKED)), "deflate data is damaged")


STORED = {"published_size": len(PACKED), "sha256": sha256(PACKED)}
KNOWN = {"stored": STORED, "content": {"content_sha256": sha256(CONTENT)}}
KNOWN["stored, whatever the content"] = STORED | {"content_sha256": "0" * 64}


@pytest.mark.parametrize("known", KNOWN)
def test_digests_are_checked_where_all_is_read(
    known: str, member: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_idx.streams.CHUNK_BYTES", 100)
    good = member(PACKED, **KNOWN[known])
    assert_valid(good)
    field = "content_sha256" if known == "content" else "sha256"
    right = getattr(good, field)
    bad = good._replace(**{field: right[::-1]})
    assert_refused(
        bad, f"file: found sha256 {right}, expected {right[::-1]}.* not the published file"
    )
    with open_member(bad, Access()) as stream:  # reading a part proves nothing
        stream.seek(1000)
        assert read_fully(stream, 50_000) == CONTENT[1000:51_000]


@each_packing
def test_another_compression_is_told_from_damage(packing: str, member: Make) -> None:
    """The digest of the stored file says nothing about a file that is compressed in another way."""
    known = STORED | KNOWN["content"]
    assert_valid(member(PACK[packing](CONTENT), **known))
    assert_refused(member(PACK[packing](CONTENT[:-1] + b"x"), **known), "not the published file")


def test_hashes_cover_what_is_read_without_a_gap(member: Make) -> None:
    with HashedFile(LocalFile(member(CONTENT).path), "sha256") as stream:
        for start, hashed in ((0, 100), (50, 150), (200, 150)):  # overlaps, then leaves a gap
            stream.seek(start)
            stream.read(100)
            assert stream.hexdigest() == sha256(CONTENT[:hashed])
        stream.seek(0)  # the next pass
        assert stream.hexdigest() == sha256(b"")
