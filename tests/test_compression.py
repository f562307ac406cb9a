"""Compressed streams in any order, damage and bombs included."""

import bz2
import gzip
import lzma
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import traced_memory

from mnist_idx import compression
from mnist_idx.compression import DecompressedFile, SeekPoints, detect_compression
from mnist_idx.idx import IdxError, read_fully
from mnist_idx.storage import LocalFile


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "deflate": deflate,
}
each_compression = pytest.mark.parametrize("name", COMPRESS)
Opened = Callable[..., DecompressedFile]


def patterned(size: int) -> bytes:
    """Bytes that compress to about half, and differ from place to place."""
    return bytes(random.Random(0).choices(range(16), k=size))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Write compressed bytes to a file and open them."""

    def opened(data: bytes, name: str, seek_points: SeekPoints | None = None) -> DecompressedFile:
        (tmp_path / "file").write_bytes(data)
        return DecompressedFile(LocalFile(str(tmp_path / "file")), name, "the file", seek_points)

    return opened


@pytest.mark.parametrize(
    ("content", "name"),
    [
        *((COMPRESS[name](b"content"), name) for name in ("gzip", "bzip2", "xz")),
        *((content, "") for content in (b"", b"\x1f\x8b", b"\0\0\x08\x03", b"PK\x03\x04", b"\xfd7zXZ")),
    ],
)
def test_content_tells_the_compression(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with LocalFile(str(tmp_path / "file")) as file:
        assert detect_compression(file) == name
        assert file.tell() == 0


@each_compression
def test_any_range_can_be_read_at_any_time(name: str, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "SEEK_POINT_BYTES", 1000)
    monkeypatch.setattr(compression, "MAX_SEEK_POINTS", 8)
    content, seek_points, places = patterned(50_000), SeekPoints(), random.Random(1)
    with opened(COMPRESS[name](content), name, seek_points) as file:
        for _ in range(200):
            start, size = places.randrange(60_000), places.randrange(1, 3000)
            assert file.seek(start) == file.tell() == min(start, len(content))
            assert bytes(read_fully(file, size)) == content[start : start + size]
    assert len(seek_points._points) <= 8


def test_seek_points_are_shared_and_save_decompressing(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "SEEK_POINT_BYTES", 1_000_000 // 64)  # the proportions of a file of 64 MiB
    monkeypatch.setattr(compression, "CHUNK_BYTES", 1_000_000 // 256)
    decompressed: list[int] = []
    decompress = compression.ZlibDecompressor.decompress

    def counting(self: compression.ZlibDecompressor, data: bytes, max_length: int) -> bytes:
        piece = decompress(self, data, max_length)
        decompressed.append(len(piece))
        return piece

    monkeypatch.setattr(compression.ZlibDecompressor, "decompress", counting)
    content, seek_points = patterned(1_000_000), SeekPoints()
    data = gzip.compress(content, 1)
    ranges = [(start, start + 15_625) for start in range(0, 1_000_000, 15_625)]
    random.Random(0).shuffle(ranges)
    with opened(data, "gzip", seek_points) as file, opened(data, "gzip", seek_points) as other:
        for start, stop in ranges:
            file.seek(start)
            assert bytes(read_fully(file, stop - start)) == content[start:stop]
        assert sum(decompressed) < 3 * len(content)
        decompressed.clear()
        other.seek(999_000)
        assert sum(decompressed) < len(content) // 32


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_concatenated_streams_are_one_file(name: str, opened: Opened) -> None:
    compress = COMPRESS[name]
    with opened(compress(b"one ") + compress(b"") + bytes(999) + compress(b"three") + bytes(7), name) as file:
        assert read_fully(file, 100) == b"one three"
        file.seek(2)
        assert read_fully(file, 4) == b"e th"


@each_compression
def test_other_data_that_follows_is_refused(name: str, opened: Opened) -> None:
    rest = deflate(b"more") if name == "deflate" else b"and something else"
    with (
        opened(COMPRESS[name](b"data") + rest, name) as file,
        pytest.raises(IdxError, match=f"^the file: the {name} data is damaged after 4 decompressed bytes"),
    ):
        read_fully(file, 100)


@each_compression
def test_truncated_data_is_refused(name: str, opened: Opened) -> None:
    with opened(COMPRESS[name](b"data")[:-1], name) as file, pytest.raises(IdxError, match="ends too early"):
        read_fully(file, 100)


@each_compression
def test_a_bomb_is_decompressed_no_further_than_requested(name: str, opened: Opened) -> None:
    with opened(COMPRESS[name](bytes(20_000_000)), name) as file, traced_memory(10 << 20):
        assert file.read(10) == bytes(10)
        assert file.tell() == 10


def test_memory_of_xz_is_bounded(opened: Opened) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 << 20}]
    with (
        opened(lzma.compress(b"data", filters=filters), "xz") as file,
        pytest.raises(IdxError, match=r"xz data is damaged .*[Mm]emory"),
    ):
        file.read(10)


def test_the_compressed_end_of_a_range_is_predicted(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    monkeypatch.setattr(compression, "CHUNK_BYTES", 10_000)
    monkeypatch.setattr(LocalFile, "expect_end", lambda self, position: ends.append(position))
    data = gzip.compress(patterned(1_000_000), 1)
    with opened(data, "gzip") as file:
        file.expect_end(10)
        read_fully(file, 100_000)
        assert ends == []
        file.expect_end(500_000)
        read_fully(file, 400_000)
    assert len(ends) > 5
    assert 0.45 * len(data) < min(ends) <= max(ends) < 0.55 * len(data) + compression.SPARE_BYTES
