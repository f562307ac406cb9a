"""The IDX format: what is read, what is refused."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mnist_idx.errors import DamagedError, IdxError
from mnist_idx.idx import MAX_RECORD_BYTES, Header, IdxFile
from mnist_idx.streams import Stream, read_fully

# From the description of the format, not from the code: the byte for each element type.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def header(code: int, *shape: int) -> bytes:
    """A header made by hand."""
    return bytes([0, 0, code, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)


@st.composite
def idx_files(draw: st.DrawFn) -> tuple[bytes, np.ndarray]:
    """An IDX file made by hand, and the array that it holds."""
    code = draw(st.sampled_from(sorted(TYPES)))
    dimensions = draw(st.integers(0, 6))
    # The first one counts records, of which there may be none; a record has at least one element.
    shape = tuple(draw(st.integers(min(axis, 1), 5)) for axis in range(dimensions))
    array = draw(hnp.arrays(np.dtype(TYPES[code]), shape))
    return header(code, *shape) + array.tobytes(), array


class Content(Stream):
    """A stream whose size is not known. It notes what it is asked for."""

    def __init__(self, content: bytes, most_at_once: int | None = None) -> None:
        self._file = io.BytesIO(content)
        self._most_at_once = most_at_once
        self.asked: list[int] = []

    def read_some(self, size: int) -> bytes:
        self.asked.append(size)
        return self._file.read(min(size, self._most_at_once or size))

    def go_to(self, position: int) -> None:
        self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


def open_idx(content: bytes) -> IdxFile:
    """An open IDX file, which errors call "file.idx"."""
    return IdxFile(Content(content), "file.idx")


def read_all_records(content: bytes) -> np.ndarray:
    """All records of an IDX file, from the first to the last."""
    file = open_idx(content)
    return file.read(0, file.header.num_records)


def assert_same_array(found: np.ndarray, expected: np.ndarray) -> None:
    """The same shape and bytes, in the byte order of this machine."""
    native = expected.astype(expected.dtype.newbyteorder("="))
    assert found.dtype == native.dtype
    assert found.dtype.isnative
    assert found.shape == native.shape
    assert found.tobytes() == native.tobytes()


# What is read


@given(idx_files())
def test_the_header_of_any_file_tells_its_type_and_shape(file: tuple[bytes, np.ndarray]) -> None:
    content, array = file
    found = open_idx(content).header
    assert found == Header(array.dtype.newbyteorder("="), array.shape)
    assert found.pack() == content[: found.offset_of(0)]
    assert found.offset_of(found.num_records) == len(content)


@given(idx_files(), st.data())
def test_any_range_of_any_file_is_read(file: tuple[bytes, np.ndarray], data: st.DataObject) -> None:
    content, array = file
    records = array if array.ndim > 0 else array[None]  # a number alone is one record
    numbers = st.integers(0, len(records))
    start, stop = sorted([data.draw(numbers), data.draw(numbers)])
    assert open_idx(content).header.num_records == len(records)
    assert open_idx(content).header.record_shape == records.shape[1:]
    assert_same_array(read_all_records(content), records)
    assert_same_array(open_idx(content).read(start, stop), records[start:stop])


@given(idx_files(), st.data())
def test_any_file_that_is_cut_short_is_refused(
    file: tuple[bytes, np.ndarray], data: st.DataObject
) -> None:
    content, _ = file
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(
        IdxError, match=r"^file\.idx: .*(expected an IDX file|the file ends|the data ends)"
    ):
        read_all_records(content[:cut])


@given(idx_files(), st.binary(min_size=1, max_size=9))
def test_any_file_with_more_data_is_refused(file: tuple[bytes, np.ndarray], more: bytes) -> None:
    content, _ = file
    with pytest.raises(IdxError, match=rf"announces {len(content):,} bytes, but more data follows"):
        read_all_records(content + more)


def test_more_data_is_noticed_with_the_last_record_and_not_before() -> None:
    content = header(0x08, 6) + bytes(6) + b"more"
    assert len(open_idx(content).read(1, 5)) == 4
    with pytest.raises(IdxError, match="more data follows"):
        open_idx(content).read(6, 6)


def test_more_data_that_is_damaged_is_more_data_all_the_same() -> None:
    class DamagedBehind(Content):
        def read_some(self, size: int) -> bytes:
            data = super().read_some(size)
            if not data:
                raise DamagedError("it ends too early")
            return data

    file = IdxFile(DamagedBehind(header(0x08, 2, 3) + bytes(6) + b"more"), "file.idx")
    with pytest.raises(DamagedError, match=r"announces 18 bytes, but more data follows\. Copy"):
        file.read(0, 2)


def test_a_file_of_as_many_dimensions_as_numpy_has_is_read() -> None:
    assert len(read_all_records(header(0x08, *[1] * 32) + b"x")) == 1


def test_a_file_of_no_records_is_read() -> None:
    assert len(read_all_records(header(0x08, 0, 0))) == 0


# What is refused


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(b"", "found an empty file", id="empty-file"),
        pytest.param(b"\0\0\x08", r"b'\\x00\\x00\\x08'", id="three-bytes"),
        pytest.param(
            b"\x89PNG\r\n\x1a\n", "found a picture, expected an IDX file", id="png-picture"
        ),
        pytest.param(b"\0\x01\x08\x01\0\0\0\0", "expected an IDX file", id="second-byte-one"),
        pytest.param(header(0x0A, 2), "0x0A, expected .*uint8.*float64", id="unknown-type"),
        pytest.param(header(0x08, 2, 3, 4)[:-1], "3 dimensions", id="header-cut-one-byte"),
        pytest.param(header(0x08, *[1] * 33), "at most 32 dimensions", id="33-dimensions"),
        pytest.param(header(0x08, 3, 0, 4), r"header .*\(3, 0, 4\)", id="records-of-no-bytes"),
        pytest.param(
            header(0x0B, 3, 2, 5) + bytes(59),
            r"\(3, 2, 5\) announces 76 bytes, but the data ends after 75",
            id="data-cut-one-byte",
        ),
        pytest.param(
            header(0x08, 1, MAX_RECORD_BYTES + 1),
            f"at most .*{MAX_RECORD_BYTES:,} bytes per record",
            id="record-one-byte-too-large",
        ),
        pytest.param(
            header(0x0C, 1, MAX_RECORD_BYTES // 4),
            "the data ends",
            id="record-as-large-as-allowed-without-data",
        ),
    ],
)
def test_an_error_says_what_was_found(content: bytes, found: str) -> None:
    with pytest.raises(IdxError, match=rf"^file\.idx: .*{found}"):
        read_all_records(content)


@pytest.mark.parametrize(
    ("size", "asked"),
    [
        pytest.param(7, [7, 4, 1], id="what-there-is"),
        pytest.param(1 << 40, [1 << 20] * 4, id="a-terabyte-where-there-are-7-bytes"),
    ],
)
def test_memory_grows_with_the_bytes_that_arrive(size: int, asked: list[int]) -> None:
    stream = Content(b"abcdefg", most_at_once=3)
    assert read_fully(stream, size) == b"abcdefg"
    assert stream.asked == asked


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        pytest.param("int64", (1,), "int64, expected uint8, .*float64", id="unknown-type"),
        pytest.param("uint8", (2**32,), r"\(4294967296,\)", id="size-that-32-bits-do-not-hold"),
        pytest.param("uint8", (-1,), r"\(-1,\)", id="size-below-zero"),
        pytest.param("uint8", (1,) * 256, "at most 255 dimensions", id="256-dimensions"),
        pytest.param(
            "uint8",
            (1, MAX_RECORD_BYTES + 1),
            f"expected at most {MAX_RECORD_BYTES:,}",
            id="record-one-byte-too-large",
        ),
    ],
)
def test_what_idx_cannot_hold_is_not_packed(
    dtype: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(IdxError, match=message):
        Header(np.dtype(dtype), shape).pack()


@pytest.mark.parametrize(
    ("dtype", "shape", "packed"),
    [
        pytest.param("int16", (2**32 - 1, 7), header(0x0B, 2**32 - 1, 7), id="most-records"),
        pytest.param("uint8", (1,) * 255, header(0x08, *[1] * 255), id="255-dimensions"),
    ],
)
def test_the_largest_header_is_packed(dtype: str, shape: tuple[int, ...], packed: bytes) -> None:
    assert Header(np.dtype(dtype), shape).pack() == packed


@pytest.mark.parametrize(
    ("record_size", "batch_size"),
    [
        pytest.param(0, 1000, id="records-of-no-bytes"),
        pytest.param(1, 1000, id="records-of-a-byte"),
        pytest.param(1049, 999, id="records-of-which-1000-exceed-a-mebibyte"),
        pytest.param(1 << 19, 2, id="records-of-half-a-mebibyte"),
        pytest.param(1 << 21, 1, id="records-of-two-mebibytes"),
    ],
)
def test_a_batch_has_at_most_1000_records_and_a_mebibyte(record_size: int, batch_size: int) -> None:
    assert Header(np.dtype("uint8"), (9, record_size)).batch_size == batch_size
