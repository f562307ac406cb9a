"""The IDX format: what is read, what is refused."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mnist_idx import idx
from mnist_idx.idx import MAX_RECORD_BYTES, Header, IdxError, iter_batches, read_fully, read_header, read_records

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


def read(content: bytes) -> list[np.ndarray]:
    stream = io.BytesIO(content)
    return list(iter_batches(stream, read_header(stream, "file.idx"), "file.idx"))


def read_range(content: bytes, start: int, stop: int) -> np.ndarray:
    stream = io.BytesIO(content)
    return read_records(stream, read_header(stream, "file.idx"), "file.idx", start, stop)


@given(idx_files(), st.data())
def test_all_types_and_shapes_are_read(file: tuple[bytes, np.ndarray], data: st.DataObject) -> None:
    content, array = file
    found = read_header(io.BytesIO(content), "file.idx")
    assert found == Header(array.dtype.newbyteorder("="), array.shape)
    assert found.dtype.isnative
    assert found.pack() == content[: found.nbytes]
    assert found.file_size == len(content)
    records = array if array.ndim else array[None]
    assert (found.num_records, found.record_shape) == (len(records), records.shape[1:])
    start = data.draw(st.integers(0, len(records)))
    stop = data.draw(st.integers(start, len(records)))
    parts = [(batch, records) for batch in read(content)] + [(read_range(content, start, stop), records[start:stop])]
    for part, expected in parts:
        assert (part.dtype, part.shape) == (found.dtype, expected.shape)
        assert part.tobytes() == expected.astype(found.dtype).tobytes()


@given(idx_files(), st.data(), st.binary(min_size=1, max_size=9))
def test_files_of_another_size_are_refused(file: tuple[bytes, np.ndarray], data: st.DataObject, more: bytes) -> None:
    cut = data.draw(st.integers(0, len(file[0]) - 1))
    with pytest.raises(IdxError, match=r"^file\.idx: .*(not an IDX file|the file ends|cut short)"):
        read(file[0][:cut])
    with pytest.raises(IdxError, match=rf"announces {len(file[0]):,} bytes, but more data follows"):
        read(file[0] + more)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "b''"),
        (b"\0\0\x08", r"b'\\x00\\x00\\x08'"),
        (b"\x89PNG\r\n\x1a\n", r"b'\\x89PNG'.*expected two zero bytes"),
        (b"\0\x01\x08\x01\0\0\0\0", "expected two zero bytes"),
        (header(0x0A, 2), "0x0A, expected .*uint8.*float64"),
        (header(0x08, 2, 3, 4)[:-1], "3 dimensions"),
        (header(0x08, *[1] * 33), "at most 32 dimensions"),
        (header(0x08, 3, 0, 4), r"\(3, 0, 4\) announces records of no bytes"),
        (header(0x0B, 3, 2, 5) + bytes(59), r"\(3, 2, 5\) announces 76 bytes, but the data ends after 75"),
        (header(0x08, 1, MAX_RECORD_BYTES + 1), f"at most .*{MAX_RECORD_BYTES:,} bytes per record"),
        (header(0x0C, 1, MAX_RECORD_BYTES // 4), "cut short"),  # as large as a record may be
    ],
)
def test_errors_say_what_was_found(content: bytes, found: str) -> None:
    with pytest.raises(IdxError, match=rf"^file\.idx: .*{found}"):
        read(content)


@pytest.mark.parametrize("content", [header(0x08, *[1] * 32) + b"x", header(0x08, 0, 0)])
def test_shapes_at_the_bounds_are_read(content: bytes) -> None:
    assert len(read(content)) == content.endswith(b"x")


def test_the_end_is_verified_before_the_last_record_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "BATCH_RECORDS", 4)
    content = header(0x08, 6) + bytes(6) + b"more"
    stream = io.BytesIO(content)
    batches = iter_batches(stream, read_header(stream, "file.idx"), "file.idx")
    assert len(next(batches)) == 4
    with pytest.raises(IdxError, match="more data follows"):
        next(batches)
    assert len(read_range(content, 1, 5)) == 4
    with pytest.raises(IdxError, match="more data follows"):
        read_range(content, 6, 6)


@pytest.mark.parametrize(("record_size", "size"), [(1, 1000), (1049, 999), (1 << 19, 2), (1 << 21, 1), (0, 1000)])
def test_batches_are_bounded(record_size: int, size: int) -> None:
    assert Header(np.dtype("uint8"), (9, record_size)).batch_size == size


def test_memory_grows_with_the_bytes_that_arrive() -> None:
    class Short(io.BytesIO):
        largest = 0

        def read(self, size: int = -1, /) -> bytes:
            self.largest = max(self.largest, size)
            return super().read(min(size, 3))

    assert read_fully(Short(b"abcdefgh"), 7) == b"abcdefg"
    stream = Short(b"abcdefgh")
    assert read_fully(stream, 1 << 40) == b"abcdefgh"
    assert stream.largest <= 1 << 20


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("int64", (1,), "int64, expected uint8, .*float64"),
        ("uint8", (2**32,), r"at most 255 dimensions, each at most 2\*\*32 - 1"),
        ("uint8", (-1,), "does not fit IDX"),
        ("uint8", (1,) * 256, "does not fit IDX"),
        ("uint8", (1, MAX_RECORD_BYTES + 1), "expected at most"),
    ],
)
def test_what_idx_cannot_hold_is_refused(dtype: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(IdxError, match=message):
        Header(np.dtype(dtype), shape).pack()


def test_the_largest_headers_are_packed() -> None:
    assert Header(np.dtype("int16"), (2**32 - 1, 7)).pack() == header(0x0B, 2**32 - 1, 7)
    assert len(Header(np.dtype("uint8"), (1,) * 255).pack()) == 4 + 4 * 255
