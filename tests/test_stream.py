"""The unpacked bytes of a member: in any order, from any packing, verified."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx import unpack
from mnist_idx.idx import IdxError, TransferError, read_fully
from mnist_idx.stream import Locator, open_member, verify_member

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def patterned(size: int, seed: int = 0) -> bytes:
    """Bytes that pack to about half, and differ from place to place."""
    return bytes(random.Random(seed).choices(range(16), k=size))


def write(folder: Path, data: bytes, **facts: object) -> Locator:
    path = folder / "member"
    path.write_bytes(data)
    return Locator(str(path), str(path), **facts)  # type: ignore[arg-type]


def read_all(locator: Locator) -> bytes:
    member = open_member(locator)
    try:
        content = b""
        while data := member.read(1 << 16):
            content += data
        return content
    finally:
        member.close()


@pytest.fixture
def close_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "CHECKPOINT_BYTES", 1000)
    monkeypatch.setattr(unpack, "MAX_CHECKPOINTS", 8)


@pytest.mark.usefixtures("close_checkpoints")
@pytest.mark.parametrize("packing", PACKINGS)
def test_any_place_can_be_read_at_any_time(packing: str, tmp_path: Path) -> None:
    content = patterned(50_000)
    member = open_member(write(tmp_path, PACKINGS[packing](content)))
    places = random.Random(1)
    for _ in range(200):
        start, size = places.randrange(60_000), places.randrange(1, 3000)
        member.seek(start)
        assert bytes(read_fully(member, size)) == content[start : start + size]
    member.close()


def test_going_back_does_not_unpack_all_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "CHECKPOINT_BYTES", 1_000_000 // 64)  # the proportions of a file of 64 MiB
    monkeypatch.setattr(unpack, "PIECE_BYTES", 1_000_000 // 256)
    content = patterned(1_000_000)
    member = open_member(write(tmp_path, gzip.compress(content, 1)))
    unpacked = 0
    decompress = unpack.Inflater.decompress

    def counting(self: unpack.Inflater, data: bytes, max_length: int) -> bytes:
        nonlocal unpacked
        piece = decompress(self, data, max_length)
        unpacked += len(piece)
        return piece

    monkeypatch.setattr(unpack.Inflater, "decompress", counting)
    ranges = [(start, start + 15_625) for start in range(0, 1_000_000, 15_625)]
    random.Random(0).shuffle(ranges)
    for start, stop in ranges:
        member.seek(start)
        assert bytes(read_fully(member, stop - start)) == content[start:stop]
    member.close()
    assert unpacked < 3 * len(content)


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz"])
def test_files_of_several_parts(packing: str, tmp_path: Path) -> None:
    pack = PACKINGS[packing]
    assert read_all(write(tmp_path, pack(b"one ") + pack(b"") + pack(b"three"))) == b"one three"


def test_gzip_files_may_be_padded_with_zeros(tmp_path: Path) -> None:
    assert read_all(write(tmp_path, gzip.compress(b"data") + bytes(1000))) == b"data"


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz"])
@given(data=st.data())
def test_damage_is_an_error_of_ours(
    packing: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = patterned(3000)
    packed = bytearray(PACKINGS[packing](content))
    place = data.draw(st.integers(6, len(packed) - 1))
    if data.draw(st.booleans()):
        packed = packed[:place]
    else:
        packed[place] ^= data.draw(st.integers(1, 255))
    try:
        found = read_all(write(tmp_path_factory.getbasetemp(), bytes(packed)))
    except IdxError as error:
        assert "member" in str(error)
    else:  # a byte that means nothing: the time or the file name in a gzip header, padding of bzip2's last bits
        assert found == content


def test_what_follows_a_packed_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match="gzip data is damaged"):
        read_all(write(tmp_path, gzip.compress(b"data") + b"and something else"))


def test_a_bomb_is_unpacked_no_further_than_asked(tmp_path: Path) -> None:
    member = open_member(write(tmp_path, gzip.compress(bytes(100_000_000), 9)))
    assert member.read(10) == bytes(10)
    assert member.tell() == 10
    member.close()


def test_an_xz_file_that_wants_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 512 << 20}]
    with pytest.raises(IdxError, match="xz data is damaged"):
        read_all(write(tmp_path, lzma.compress(b"data", filters=filters)))


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
@pytest.mark.parametrize("known", ["packed", "unpacked"])
def test_digests_are_checked_where_all_is_read(algorithm: str, known: str, tmp_path: Path) -> None:
    content = patterned(2_000_000)
    packed = gzip.compress(content, 1)
    digest = hashlib.new(algorithm, packed if known == "packed" else content).hexdigest()
    facts: dict[str, object] = {known: f"{algorithm}:{digest}"}
    if known == "packed":
        facts["packed_size"] = len(packed)
    good = write(tmp_path, packed, **facts)
    assert read_all(good) == content
    verify_member(good)
    bad = good._replace(**{known: f"{algorithm}:{digest[::-1]}"})  # type: ignore[arg-type]
    with pytest.raises(IdxError, match=f"found {algorithm} {digest}, expected {digest[::-1]}"):
        read_all(bad)
    with pytest.raises(IdxError, match="not the published one"):
        verify_member(bad)
    member = open_member(bad)  # as long as not all is read, nothing can be said
    member.seek(1_000_000)
    assert member.read(100)
    member.close()


def test_a_digest_is_checked_again_in_each_pass(tmp_path: Path) -> None:
    content = patterned(100_000)
    locator = write(tmp_path, content, unpacked="sha256:" + hashlib.sha256(content).hexdigest())
    member = open_member(locator)
    assert bytes(read_fully(member, 200_000)) == content
    Path(locator.path).write_bytes(content[:-1] + b"\xff")
    member.seek(0)
    with pytest.raises(IdxError, match="not the published one"):
        read_fully(member, 200_000)
    member.close()


def test_another_way_of_packing_is_told_from_damage(tmp_path: Path) -> None:
    """A digest of the packed file says nothing about a file that is packed in another way."""
    content = patterned(10_000)
    published = gzip.compress(content, 9)
    facts = {
        "packed_size": len(published),
        "packed": "sha256:" + hashlib.sha256(published).hexdigest(),
        "unpacked": "sha256:" + hashlib.sha256(content).hexdigest(),
    }
    for again in (content, gzip.compress(content, 1), lzma.compress(content)):
        locator = write(tmp_path, again, **facts)
        assert read_all(locator) == content
        verify_member(locator)


def test_a_window_beyond_the_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match="cut short"):
        open_member(write(tmp_path, bytes(100), offset=50, size=51)._replace(name="member"))


def test_a_deflated_member_ends_where_it_ends(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(b"content") + packer.flush()
    assert read_all(write(tmp_path, packed, inflated_size=7)) == b"content"
    with pytest.raises(IdxError, match="deflate data is damaged"):
        read_all(write(tmp_path, packed + b"more", inflated_size=7))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="nowhere"):
        open_member(Locator(str(tmp_path / "nowhere"), "nowhere"))
