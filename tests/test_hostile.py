"""Crafted files end in an `IdxError`, soon and with little memory, or are read as they are."""

from __future__ import annotations

import gzip
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crafted
import pytest
from clients import traced_memory
from hypothesis import given
from hypothesis import strategies as st
from idx_files import make_tar, random_images, to_idx, write_archive
from loading import MODES, refusal

import mnist_idx
from mnist_idx import archive, idx, records, storage

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
# A hostile file must not take more than an ordinary one, and a margin.
MEMORY = 30 << 20
MOST = (1 << 32) - 1
each_mode = pytest.mark.parametrize("mode", MODES)
Write = Callable[[bytes, bytes], str]


def header(*shape: int) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


GOOD = to_idx(random_images(3, 4, 5)), to_idx(random_images(3) % 3)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(images: bytes, labels: bytes) -> str:
        return str(write_archive(tmp_path / "data", {IMAGES: images, LABELS: labels}))

    return write


HUGE = {
    "records": (header(MOST, 1 << 16, 1 << 16), header(MOST)),
    "many images": (header(MOST, 28, 28), header(MOST)),
    "many pixels": (header(MOST, 1, 1), header(MOST)),
    "rows": (header(3, MOST, MOST), header(3)),
    "one image": (header(1, 1 << 16, 1 << 10), header(1)),
    "dimensions": (header(*[1 << 31] * 255), header(1 << 31)),
    "labels": (GOOD[0], header(MOST)),
    "empty": (header(0, 1 << 31, 1 << 31), header(0)),
}


@each_mode
@pytest.mark.parametrize("num_samples", [None, 1])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("kind", HUGE)
def test_announced_sizes_take_no_memory(
    kind: str, compress: Callable[[bytes], bytes], num_samples: int | None, mode: str, write: Write
) -> None:
    path = write(*(compress(content + bytes(100)) for content in HUGE[kind]))
    with traced_memory(MEMORY):
        assert path in refusal(mode, "idxfolder", data_dir=path, num_samples=num_samples)


@each_mode
@pytest.mark.parametrize("role", ["images", "labels"])
def test_bombs_behind_the_last_record_are_not_decompressed(
    role: str, mode: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    decompressed = 0
    read = storage.DecompressedFile.read

    def counting(self: Any, size: int = -1, /) -> bytes:
        nonlocal decompressed
        data = read(self, size)
        decompressed += len(data)
        return data

    monkeypatch.setattr(storage.DecompressedFile, "read", counting)
    files = [gzip.compress(content) for content in GOOD]
    files[role == "labels"] = gzip.compress(GOOD[role == "labels"] + bytes(100 << 20), 1)
    with traced_memory(MEMORY):
        assert "more data follows" in refusal(mode, "idxfolder", data_dir=write(*files))
    assert decompressed < 1 << 20


@each_mode
def test_bombs_that_hold_what_the_header_announces(mode: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many records that nobody has the memory for them, and data for very many of them."""
    monkeypatch.setattr(records, "MAX_UNPROVEN_RECORDS", 1000)
    content = [gzip.compress(header(MOST, *shape) + bytes(20 << 20), 1) for shape in ([28, 28], [])]
    with traced_memory(MEMORY):
        message = refusal(mode, "idxfolder", data_dir=write(*content), num_samples=100_000)
    assert "announces" in message or "memory" in message


def xz_of_large_dictionary(data: bytes) -> bytes:
    """The header of the xz data asks for a dictionary of 4 GiB."""
    packed = bytearray(lzma.compress(data, lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
    size = (packed[12] + 1) * 4
    assert packed[14:16] == b"\x21\x01"
    packed[16] = 40
    packed[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(packed[12 : 12 + size - 4]))
    return bytes(packed)


@each_mode
def test_compressed_data_that_asks_for_memory(mode: str, write: Write) -> None:
    with traced_memory(MEMORY):
        path = write(xz_of_large_dictionary(GOOD[0]), GOOD[1])
        assert "emory" in refusal(mode, "idxfolder", data_dir=path)


# Properties


class Drawn:
    """Lets `crafted` draw from hypothesis."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def number(self, low: int, high: int) -> int:
        return self._data.draw(st.integers(low, high))

    def bytes(self, most: int) -> bytes:
        return self._data.draw(st.binary(max_size=min(most, 200)))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "file.tar"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(data=st.data())
def test_any_file_is_read_or_refused(scratch: Path, data: st.DataObject) -> None:
    scratch.write_bytes(crafted.file(Drawn(data)))
    try:
        members = archive.list_members(str(scratch))
    except mnist_idx.IdxError as error:
        assert str(scratch) in str(error)
        return
    for member in members:
        try:
            with storage.open_member(member) as stream:
                for _ in idx.iter_batches(stream, idx.read_header(stream, member.title), member.title):
                    pass
        except mnist_idx.IdxError as error:
            assert str(scratch) in str(error)


@given(data=st.data())
def test_any_pair_of_members_is_read_or_refused(scratch: Path, data: st.DataObject) -> None:
    source = Drawn(data)
    scratch.write_bytes(make_tar({IMAGES: crafted.member(source), LABELS: crafted.member(source)}))
    try:
        images, labels = mnist_idx.load_arrays("idxfolder", data_dir=str(scratch))
        assert labels is not None
        assert len(images) == len(labels)
    except mnist_idx.IdxError as error:
        assert str(scratch) in str(error)
