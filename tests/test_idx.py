"""The IDX format: what it reads, what it refuses."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mnist_idx.idx import MAX_RECORD_BYTES, Header, IdxError, iter_blocks, read_header

# From the format's description, not from the code: the byte for each element type and NumPy's big-endian type.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@st.composite
def idx_files(draw: st.DrawFn) -> tuple[bytes, np.ndarray]:
    """An IDX file made by hand, and the array that it holds."""
    code = draw(st.sampled_from(sorted(TYPES)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=5))
    array = draw(hnp.arrays(np.dtype(TYPES[code]), shape))
    sizes = b"".join(size.to_bytes(4, "big") for size in shape)
    return bytes([0, 0, code, len(shape)]) + sizes + array.tobytes(), array


def read(data: bytes, start: int = 0, stop: int | None = None, block_records: int | None = None) -> list[np.ndarray]:
    stream = io.BytesIO(data)
    header = read_header(stream, "file.idx")
    return list(iter_blocks(stream, header, "file.idx", start, stop, block_records))


@given(idx_files(), st.data())
def test_all_types_and_shapes_are_read(file: tuple[bytes, np.ndarray], data: st.DataObject) -> None:
    content, array = file
    header = read_header(io.BytesIO(content), "file.idx")
    assert header.shape == array.shape
    assert header.dtype == array.dtype.newbyteorder("=")
    assert header.dtype.isnative
    assert header.pack() == content[: header.nbytes]
    assert header.file_size == len(content)
    records = array if array.ndim else array[None]
    start = data.draw(st.integers(0, len(records)))
    stop = data.draw(st.integers(start, len(records)))
    size = data.draw(st.integers(1, 7))
    blocks = read(content, start, stop, size)
    assert all(len(block) <= size for block in blocks)
    assert all(block.dtype == header.dtype and block.shape[1:] == records.shape[1:] for block in blocks)
    assert b"".join(block.tobytes() for block in blocks) == records[start:stop].astype(header.dtype).tobytes()


@given(idx_files(), st.data())
def test_a_file_cut_short_is_an_error(file: tuple[bytes, np.ndarray], data: st.DataObject) -> None:
    content, _ = file
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(IdxError, match=r"file\.idx"):
        read(content[:cut])


@given(idx_files(), st.binary(min_size=1, max_size=9))
def test_a_file_with_more_than_its_header_says_is_an_error(file: tuple[bytes, np.ndarray], more: bytes) -> None:
    with pytest.raises(IdxError, match="more data follows"):
        read(file[0] + more)


@given(st.binary(max_size=40))
def test_whatever_the_bytes_are_the_only_error_is_ours(content: bytes) -> None:
    try:
        blocks = read(content)
    except IdxError as error:
        assert "file.idx" in str(error)
    else:
        assert content[:2] == b"\0\0"
        assert content[2] in TYPES
        assert sum(block.nbytes for block in blocks) == len(content) - 4 - 4 * content[3]


@given(st.integers(0, 255).filter(lambda code: code not in TYPES), st.integers(0, 255))
def test_an_unknown_element_type_is_named(code: int, dimensions: int) -> None:
    with pytest.raises(IdxError, match=f"0x{code:02X}"):
        read(bytes([0, 0, code, dimensions]) + bytes(4 * dimensions))


def test_a_wrong_magic_number_is_shown() -> None:
    with pytest.raises(IdxError, match=r"starts with b'\\x89PNG'"):
        read(b"\x89PNG\r\n\x1a\n")


def test_the_last_block_is_held_back_until_the_end_is_known_to_be_right() -> None:
    stream = io.BytesIO(bytes([0, 0, 8, 1]) + struct.pack(">I", 6) + bytes(6) + b"more")
    blocks = iter_blocks(stream, read_header(stream, "file.idx"), "file.idx", block_records=4)
    assert len(next(blocks)) == 4
    with pytest.raises(IdxError, match="more data follows"):
        next(blocks)


def test_a_promise_of_huge_records_allocates_nothing() -> None:
    class Counting(io.BytesIO):
        asked = 0

        def read(self, size: int = -1, /) -> bytes:
            self.asked = max(self.asked, size)
            return super().read(size)

    stream = Counting(bytes([0, 0, 8, 3]) + struct.pack(">III", 2**32 - 1, 2**16, 2**16) + bytes(100))
    with pytest.raises(IdxError, match="records of"):
        list(iter_blocks(stream, read_header(stream, "file.idx"), "file.idx"))
    stream = Counting(bytes([0, 0, 8, 2]) + struct.pack(">II", 2**32 - 1, MAX_RECORD_BYTES) + bytes(100))
    with pytest.raises(IdxError, match="cut short"):
        list(iter_blocks(stream, read_header(stream, "file.idx"), "file.idx"))
    assert stream.asked <= 1 << 20


@pytest.mark.parametrize("header", [Header(np.dtype("int64"), (1,)), Header(np.dtype("uint8"), (2**32,))])
def test_what_idx_cannot_hold_is_not_packed(header: Header) -> None:
    with pytest.raises(IdxError):
        header.pack()
