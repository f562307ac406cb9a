"""Compressed streams in any order, damage and bombs included."""

import gzip
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import traced_memory
from packers import PACKERS, deflate

from mnist_idx import streams
from mnist_idx.compressions import COMPRESSIONS, DEFLATE
from mnist_idx.errors import IdxError
from mnist_idx.streams import DecompressedFile, LocalFile, SeekPoints, read_fully

COMPRESS = {name: packer.pack for name, packer in PACKERS.items()}
COMPRESS["deflate"] = deflate
each_compression = pytest.mark.parametrize("name", COMPRESS)
Opened = Callable[..., DecompressedFile]
Patch = pytest.MonkeyPatch


def patterned(size: int) -> bytes:
    """Bytes that compress to about half, and differ from place to place."""
    return bytes(random.Random(0).choices(range(16), k=size))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Write compressed bytes to a file and open them."""

    def opened(data: bytes, name: str, seek_points: SeekPoints | None = None) -> DecompressedFile:
        (tmp_path / "file").write_bytes(data)
        compression = DEFLATE if name == "deflate" else COMPRESSIONS[name]
        file = LocalFile(str(tmp_path / "file"))
        return DecompressedFile(file, compression, "the file", seek_points)

    return opened


@each_compression
def test_any_range_can_be_read_at_any_time(name: str, opened: Opened, monkeypatch: Patch) -> None:
    for constant, value in {
        "SEEK_POINT_BYTES": 1000,
        "CHUNK_BYTES": 500,
        "MAX_SEEK_POINTS": 8,
    }.items():
        monkeypatch.setattr(streams, constant, value)
    content, seek_points, places = patterned(50_000), SeekPoints(), random.Random(1)
    with opened(COMPRESS[name](content), name, seek_points) as file:
        for _ in range(200):
            start, size = places.randrange(60_000), places.randrange(1, 3000)
            assert file.seek(start) == file.tell() == min(start, len(content))
            assert bytes(read_fully(file, size)) == content[start : start + size]
    points = {seek_points.before(start)[0] for start in range(50_001)} - {0}
    assert len(points) in ({0} if name in ("bzip2", "xz") else range(4, 9))


def test_seek_points_are_shared_and_save_decompressing(opened: Opened, monkeypatch: Patch) -> None:
    monkeypatch.setattr(
        streams, "SEEK_POINT_BYTES", 1_000_000 // 64
    )  # the proportions of a file of 64 MiB
    monkeypatch.setattr(streams, "CHUNK_BYTES", 1_000_000 // 256)
    sizes: list[int] = []  # of what is read in order to decompress it
    read = LocalFile.read
    monkeypatch.setattr(
        LocalFile, "read", lambda self, size=-1: [sizes.append(size), read(self, size)][1]
    )
    content, seek_points, size = patterned(1_000_000), SeekPoints(), 15_625
    data = gzip.compress(content, 1)
    with opened(data, "gzip", seek_points) as file, opened(data, "gzip", seek_points) as other:
        for start in random.Random(0).sample(range(0, 1_000_000, size), 64):
            file.seek(start)
            assert bytes(read_fully(file, size)) == content[start : start + size]
        assert sum(sizes) < 3 * len(data)
        sizes.clear()
        other.seek(999_000)
        assert sum(sizes) < len(data) // 32


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_concatenated_streams_are_one_file(name: str, opened: Opened) -> None:
    one, empty, three = map(COMPRESS[name], (b"one ", b"", b"three"))
    with opened(one + empty + bytes(999) + three + bytes(7), name) as file:
        assert read_fully(file, 100) == b"one three"
        file.seek(2)
        assert read_fully(file, 4) == b"e th"


@each_compression
def test_damage_is_refused(name: str, opened: Opened) -> None:
    data, more = (
        COMPRESS[name](b"data"),
        deflate(b"more") if name == "deflate" else b"and something else",
    )
    late = f"{name} data is damaged after 4 decompressed bytes"
    for damaged, message in ((data + more, late), (data[:-1], "too early")):
        with (
            opened(damaged, name) as file,
            pytest.raises(IdxError, match=f"^the file: .*{message}"),
        ):
            read_fully(file, 100)


@each_compression
def test_a_bomb_is_decompressed_no_further_than_requested(name: str, opened: Opened) -> None:
    with opened(COMPRESS[name](bytes(20_000_000)), name) as file, traced_memory(10 << 20):
        assert (file.read(10), file.tell()) == (bytes(10), 10)


def test_memory_of_xz_is_bounded(opened: Opened) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 << 20}]
    data = lzma.compress(b"data", filters=filters)
    with (
        opened(data, "xz") as file,
        pytest.raises(IdxError, match=r"xz data is damaged .*[Mm]emory"),
    ):
        file.read(10)


def test_the_compressed_end_of_a_range_is_predicted(opened: Opened, monkeypatch: Patch) -> None:
    ends: list[int] = []
    monkeypatch.setattr(streams, "CHUNK_BYTES", 10_000)
    monkeypatch.setattr(LocalFile, "expect_end", lambda self, position: ends.append(position))
    data = gzip.compress(patterned(1_000_000), 1)
    with opened(data, "gzip") as file:
        file.expect_end(10)
        read_fully(file, 100_000)
        assert ends == []
        file.expect_end(500_000)
        read_fully(file, 400_000)
    assert len(ends) > 5
    assert 0.45 * len(data) < min(ends) <= max(ends) < 0.55 * len(data) + streams.SPARE_BYTES
