"""Compressed streams in any order, damage and bombs included."""

import functools
import gzip
import lzma
import random
from pathlib import Path

import pytest
from clients import traced_memory
from packers import PACKERS, Pack, deflate

from mnist_idx import streams
from mnist_idx.compressions import COMPRESSIONS, DEFLATE, Compression
from mnist_idx.errors import IdxError
from mnist_idx.streams import (
    SPARE_BYTES,
    DecompressedFile,
    LocalFile,
    SeekPoints,
    WrappedFile,
    read_fully,
)

Patch = pytest.MonkeyPatch
each_compression = pytest.mark.parametrize(
    ("compression", "pack"),
    [
        pytest.param(COMPRESSIONS["gzip"], PACKERS["gzip"].pack, id="gzip"),
        pytest.param(COMPRESSIONS["bzip2"], PACKERS["bzip2"].pack, id="bzip2"),
        pytest.param(COMPRESSIONS["xz"], PACKERS["xz"].pack, id="xz"),
        pytest.param(DEFLATE, deflate, id="deflate"),
    ],
)


@functools.cache
def patterned(size: int) -> bytes:
    """Bytes that compress to about half, and differ from place to place."""
    return bytes(random.Random(0).choices(range(16), k=size))


class Watched(WrappedFile):
    """A compressed file that knows what is read of it, and which ends are announced."""

    def __init__(self, path: Path) -> None:
        super().__init__(LocalFile(str(path)))
        self.read_bytes = 0
        self.announced_ends: list[int] = []

    def read_some(self, size: int) -> bytes:
        data = super().read_some(size)
        self.read_bytes += len(data)
        return data

    def expect_end(self, position: int) -> None:
        self.announced_ends.append(position)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Where a test writes a compressed file."""
    return tmp_path / "packed"


def decompressed(
    path: Path, compression: Compression, seek_points: SeekPoints | None = None
) -> DecompressedFile:
    """The content of a compressed file, which errors call "the file"."""
    return DecompressedFile(LocalFile(str(path)), compression, "the file", seek_points)


@pytest.fixture
def steps_of_a_file_of_megabytes(monkeypatch: Patch) -> None:
    """The steps that a file of 16 MiB takes, in one of 50 kB: less to compress."""
    monkeypatch.setattr(streams, "SEEK_POINT_BYTES", 1000)
    monkeypatch.setattr(streams, "CHUNK_BYTES", 500)
    monkeypatch.setattr(streams, "MAX_SEEK_POINTS", 8)


@pytest.mark.usefixtures("steps_of_a_file_of_megabytes")
@each_compression
def test_any_range_can_be_read_at_any_time(
    compression: Compression, pack: Pack, packed: Path
) -> None:
    content = patterned(50_000)
    packed.write_bytes(pack(content))
    places = random.Random(1)
    with decompressed(packed, compression) as file:
        for _ in range(200):
            start, size = places.randrange(60_000), places.randrange(1, 3000)
            assert file.seek(start) == file.tell() == min(start, len(content))
            assert bytes(read_fully(file, size)) == content[start : start + size]


@pytest.mark.usefixtures("steps_of_a_file_of_megabytes")
@pytest.mark.parametrize(
    ("compression", "pack", "counts"),
    [
        pytest.param(COMPRESSIONS["gzip"], gzip.compress, range(4, 9), id="some-in-gzip"),
        pytest.param(DEFLATE, deflate, range(4, 9), id="some-in-deflate"),
        pytest.param(COMPRESSIONS["bzip2"], PACKERS["bzip2"].pack, range(1), id="none-in-bzip2"),
        pytest.param(COMPRESSIONS["xz"], PACKERS["xz"].pack, range(1), id="none-in-xz"),
    ],
)
def test_few_seek_points_are_kept_where_a_compression_has_them(
    compression: Compression, pack: Pack, counts: range, packed: Path
) -> None:
    packed.write_bytes(pack(patterned(50_000)))
    seek_points = SeekPoints()
    with decompressed(packed, compression, seek_points) as file:
        file.readall()
    found = {seek_points.before(position).position for position in range(50_001)}
    assert len(found - {0}) in counts


@pytest.fixture
def gzip_of_a_megabyte(packed: Path, monkeypatch: Patch) -> bytes:
    """The content of `packed`, to which the steps are as for a file of 64 MiB."""
    monkeypatch.setattr(streams, "SEEK_POINT_BYTES", 1_000_000 // 64)
    monkeypatch.setattr(streams, "CHUNK_BYTES", 1_000_000 // 256)
    content = patterned(1_000_000)
    packed.write_bytes(gzip.compress(content, 1))
    return content


def test_ranges_in_random_order_cost_three_passes_at_most(
    gzip_of_a_megabyte: bytes, packed: Path
) -> None:
    watched, size = Watched(packed), 15_625
    with DecompressedFile(watched, COMPRESSIONS["gzip"], "file", SeekPoints()) as file:
        for start in random.Random(0).sample(range(0, 1_000_000, size), 64):
            file.seek(start)
            assert bytes(read_fully(file, size)) == gzip_of_a_megabyte[start : start + size]
    assert watched.read_bytes < 3 * packed.stat().st_size


@pytest.mark.usefixtures("gzip_of_a_megabyte")
def test_readers_share_seek_points(packed: Path) -> None:
    seek_points, second = SeekPoints(), Watched(packed)
    with decompressed(packed, COMPRESSIONS["gzip"], seek_points) as file:
        file.readall()
    with DecompressedFile(second, COMPRESSIONS["gzip"], "file", seek_points) as file:
        file.seek(999_000)
    assert second.read_bytes < packed.stat().st_size // 32


@each_compression
def test_no_data_is_asked_for_while_content_waits(compression: Compression, pack: Pack) -> None:
    """Behind the last data there is no more, however much of the content is left."""
    content = bytes(2293)  # Its last data is taken when some 200 bytes are left.
    decompressor = compression.new_decompressor()
    found = decompressor.decompress(pack(content), 10)
    while len(found) < len(content):
        assert not decompressor.needs_input
        found += decompressor.decompress(b"", 10)
    assert found == content


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_concatenated_streams_are_one_file(name: str, packed: Path) -> None:
    pack = PACKERS[name].pack
    packed.write_bytes(pack(b"one ") + pack(b"") + bytes(999) + pack(b"three") + bytes(7))
    with decompressed(packed, COMPRESSIONS[name]) as file:
        assert read_fully(file, 100) == b"one three"
        file.seek(2)
        assert read_fully(file, 4) == b"e th"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        pytest.param("gzip", b"and something else", id="text-behind-gzip"),
        pytest.param("bzip2", b"and something else", id="text-behind-bzip2"),
        pytest.param("xz", b"and something else", id="text-behind-xz"),
        pytest.param("deflate", deflate(b"more"), id="a-second-stream-behind-deflate"),
    ],
)
def test_what_follows_compressed_data_is_refused(name: str, more: bytes, packed: Path) -> None:
    if name == "deflate":
        compression, pack = DEFLATE, deflate
    else:
        compression, pack = COMPRESSIONS[name], PACKERS[name].pack
    packed.write_bytes(pack(b"data") + more)
    message = f"^the file: .*{name} data is damaged after 4 decompressed bytes"
    with decompressed(packed, compression) as file, pytest.raises(IdxError, match=message):
        read_fully(file, 100)


@each_compression
def test_data_that_is_cut_short_is_refused(
    compression: Compression, pack: Pack, packed: Path
) -> None:
    packed.write_bytes(pack(b"data")[:-1])
    with (
        decompressed(packed, compression) as file,
        pytest.raises(IdxError, match=r"^the file: .*too early"),
    ):
        read_fully(file, 100)


@each_compression
def test_a_bomb_is_decompressed_no_further_than_requested(
    compression: Compression, pack: Pack, packed: Path
) -> None:
    packed.write_bytes(pack(bytes(20_000_000)))
    with decompressed(packed, compression) as file, traced_memory(10 << 20):
        assert file.read(10) == bytes(10)
        assert file.tell() == 10


def test_xz_data_that_asks_for_half_a_gigabyte_is_refused(packed: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 << 20}]
    packed.write_bytes(lzma.compress(b"data", filters=filters))
    with (
        decompressed(packed, COMPRESSIONS["xz"]) as file,
        pytest.raises(IdxError, match=r"takes more memory .* than the limit of 128 MiB. .*unxz"),
    ):
        file.read(10)


def test_no_end_is_announced_where_the_end_has_been_passed(packed: Path) -> None:
    packed.write_bytes(gzip.compress(patterned(1_000_000), 1))
    watched = Watched(packed)
    with DecompressedFile(watched, COMPRESSIONS["gzip"], "file") as file:
        file.expect_end(10)
        read_fully(file, 100_000)
    assert watched.announced_ends == []


def test_the_compressed_end_of_a_range_is_predicted(packed: Path) -> None:
    size = packed.write_bytes(gzip.compress(patterned(1_000_000) * 4, 1))
    watched = Watched(packed)
    with DecompressedFile(watched, COMPRESSIONS["gzip"], "file") as file:
        read_fully(file, 500_000)
        file.expect_end(2_000_000)
        read_fully(file, 1_500_000)
    assert len(watched.announced_ends) > 2
    assert 0.45 * size < min(watched.announced_ends)
    assert max(watched.announced_ends) < 0.55 * size + SPARE_BYTES
