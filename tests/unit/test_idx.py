"""The IDX format: what is read, what is refused."""

import io
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mnist_idx.errors import IdxError
from mnist_idx.idx import MAX_RECORD_BYTES, Header, IdxFile
from mnist_idx.streams import Stream, read_fully

# From the description of the format, not from the code: the byte for each element type.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def header(code: int, *shape: int) -> bytes:
    return bytes([0, 0, code, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)


@st.composite
def idx_files(draw: st.DrawFn) -> tuple[bytes, np.ndarray]:
    """An IDX file made by hand, and the array that it holds."""
    code = draw(st.sampled_from(sorted(TYPES)))
    shape = tuple(draw(st.integers(min(axis, 1), 5)) for axis in range(draw(st.integers(0, 6))))
    array = draw(hnp.arrays(np.dtype(TYPES[code]), shape))
    return header(code, *shape) + array.tobytes(), array


class Content(Stream):
    """A stream whose size is not known."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read_some(self, size: int) -> bytes:
        return self._file.read(size)

    def go_to(self, position: int) -> None:
        self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


def read(content: bytes, start: int = 0, stop: int | None = None) -> np.ndarray:
    file = IdxFile(Content(content), "file.idx")
    return file.read(start, file.header.num_records if stop is None else stop)


@given(idx_files(), st.data(), st.binary(min_size=1, max_size=9))
def test_files_of_all_types_and_shapes(
    file: tuple[bytes, np.ndarray], data: st.DataObject, more: bytes
) -> None:
    content, array = file
    found = IdxFile(Content(content), "file.idx").header
    assert found == Header(array.dtype.newbyteorder("="), array.shape)
    assert found.dtype.isnative
    assert found.pack() == content[: found.offset_of(0)]
    assert found.offset_of(found.num_records) == len(content)
    records = array if array.ndim else array[None]
    assert (found.num_records, found.record_shape) == (len(records), records.shape[1:])
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(records))] * 2)))
    for part, expected in (
        (read(content), records),
        (read(content, start, stop), records[start:stop]),
    ):
        assert (part.dtype, part.shape) == (found.dtype, expected.shape)
        assert part.tobytes() == expected.astype(found.dtype).tobytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(IdxError, match=r"^file\.idx: .*(zero bytes|the file ends|the data ends)"):
        read(content[:cut])
    with pytest.raises(IdxError, match=rf"announces {len(content):,} bytes, but more data follows"):
        read(content + more)


def test_errors_say_what_was_found() -> None:
    for content, found in (
        (b"", "b''"),
        (b"\0\0\x08", r"b'\\x00\\x00\\x08'"),
        (b"\x89PNG\r\n\x1a\n", r"b'\\x89PNG'.*expected two zero bytes"),
        (b"\0\x01\x08\x01\0\0\0\0", "expected two zero bytes"),
        (header(0x0A, 2), "0x0A, expected .*uint8.*float64"),
        (header(0x08, 2, 3, 4)[:-1], "3 dimensions"),
        (header(0x08, *[1] * 33), "at most 32 dimensions"),
        (header(0x08, 3, 0, 4), r"header .*\(3, 0, 4\)"),
        (
            header(0x0B, 3, 2, 5) + bytes(59),
            r"\(3, 2, 5\) announces 76 bytes, but the data ends after 75",
        ),
        (header(0x08, 1, MAX_RECORD_BYTES + 1), f"at most .*{MAX_RECORD_BYTES:,} bytes per record"),
        (header(0x0C, 1, MAX_RECORD_BYTES // 4), "the data ends"),  # as large as a record may be
    ):
        with pytest.raises(IdxError, match=rf"^file\.idx: .*{found}"):
            read(content)


def test_memory_grows_with_the_bytes_that_arrive() -> None:
    for size, pieces, requests in (
        (7, [b"abc", b"defg"], [7, 4]),
        (1 << 40, [b"abc", b"defg", b""], [1 << 20] * 3),
    ):
        stream = mock.Mock(**{"read.side_effect": pieces})
        assert read_fully(stream, size) == b"abcdefg"
        assert [call.args[0] for call in stream.read.call_args_list] == requests


def test_what_idx_cannot_hold_is_refused() -> None:
    for dtype, shape, message in (
        ("int64", (1,), "int64, expected uint8, .*float64"),
        ("uint8", (2**32,), r"\(4294967296,\)"),
        ("uint8", (-1,), r"\(-1,\)"),
        ("uint8", (1,) * 256, "at most 255 dimensions"),
        ("uint8", (1, MAX_RECORD_BYTES + 1), f"expected at most {MAX_RECORD_BYTES:,}"),
    ):
        with pytest.raises(IdxError, match=message):
            Header(np.dtype(dtype), shape).pack()


def test_bounds() -> None:
    content = header(0x08, 6) + bytes(6) + b"more"
    assert len(read(content, 1, 5)) == 4
    with pytest.raises(IdxError, match="more data follows"):  # verified with the last record
        read(content, 6, 6)
    assert Header(np.dtype("int16"), (2**32 - 1, 7)).pack() == header(0x0B, 2**32 - 1, 7)
    assert Header(np.dtype("uint8"), (1,) * 255).pack() == header(0x08, *[1] * 255)
    assert len(read(header(0x08, *[1] * 32) + b"x")) == 1
    assert len(read(header(0x08, 0, 0))) == 0
    for record_size, size in {0: 1000, 1: 1000, 1049: 999, 1 << 19: 2, 1 << 21: 1}.items():
        assert Header(np.dtype("uint8"), (9, record_size)).batch_size == size
