"""The IDX format: bytes ↔ arrays. Knows nothing of `datasets`, archives or PNG.

An IDX file is two zero bytes, a byte for the element type, a byte for the number of dimensions, the
size of each dimension as a big-endian 32-bit integer, then the elements, big-endian, the last
dimension varying fastest. The first dimension counts the records.

Source: Yann LeCun's page of the MNIST database, http://yann.lecun.com/exdb/mnist/, "The IDX file
format".
"""

import math
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .errors import DamagedError, IdxError
from .signatures import HEAD_BYTES, find_foreign
from .streams import CHUNK_BYTES, Stream, closed_on_error, read_fully

TYPE_NAMES = {
    0x08: "uint8",
    0x09: "int8",
    0x0B: "int16",
    0x0C: "int32",
    0x0D: "float32",
    0x0E: "float64",
}
ELEMENT_TYPES: dict[int, np.dtype] = {code: np.dtype(name) for code, name in TYPE_NAMES.items()}
TYPE_CODES = {dtype: code for code, dtype in ELEMENT_TYPES.items()}
KNOWN_TYPES = ", ".join(TYPE_NAMES.values())

# A batch holds at most this many records and bytes.
BATCH_RECORDS = 1000
BATCH_BYTES = 1 << 20
MAX_RECORD_BYTES = 64 << 20  # a header can announce any size
MAX_DIMENSIONS = 32  # what every version of NumPy can hold
MAX_COUNTED_BYTES = 256 << 10  # behind the last record, for an error message
COPY_AGAIN = "Copy or download the file again, or write it again with the sizes that it has"
WRITE_AGAIN = "Write the file again"
TEXT_MODE = 'It was written in text mode: open the file with "wb", and write it again'
MAX_GUESSED_DIMENSIONS = 5  # that a header may have had in mind
LITTLE_ENDIAN_SIZES = (
    "The sizes seem to be little-endian: write the file again, with mnist_idx.write_idx or "
    'struct.pack(">…I", …)'
)


class Header(NamedTuple):
    """An IDX header: the element type, in native byte order, and the size of each dimension."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def num_records(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def record_shape(self) -> tuple[int, ...]:
        return self.shape[1:]

    @property
    def record_size(self) -> int:
        """Bytes per record."""
        return math.prod(self.record_shape) * self.dtype.itemsize

    def offset_of(self, record: int) -> int:
        """Position of a record in the file, in bytes."""
        return 4 + 4 * len(self.shape) + record * self.record_size

    @property
    def batch_size(self) -> int:
        """Records per batch."""
        return max(1, min(BATCH_RECORDS, BATCH_BYTES // max(1, self.record_size)))

    def pack_shape(self) -> bytes:
        """The sizes of the dimensions as bytes."""
        return struct.pack(f">{len(self.shape)}I", *self.shape)

    def pack(self) -> bytes:
        """The header as bytes.

        Raises:
            IdxError: the format has no such elements, or no such sizes.
        """
        if self.dtype not in TYPE_CODES:
            raise IdxError(
                f"IDX has no element type {self.dtype}, expected {KNOWN_TYPES}. Convert the array."
            )
        if len(self.shape) > 255 or any(not 0 <= size < 1 << 32 for size in self.shape):
            expected = "at most 255 dimensions, each at most 2**32 - 1"
            raise IdxError(f"The shape {self.shape} does not fit IDX: {expected}.")
        if self.record_size > MAX_RECORD_BYTES:
            raise IdxError(
                f"Records of {self.record_size:,} bytes: expected at most {MAX_RECORD_BYTES:,}. "
                "Split them."
            )
        magic = bytes([0, 0, TYPE_CODES[self.dtype], len(self.shape)])
        return magic + self.pack_shape()


def read_header(stream: Stream, title: str) -> Header:
    """Read the header, and leave the stream behind it. `title` is what errors call the file.

    Raises:
        DamagedError: there is no header, or one that no file of records has.
    """
    magic = bytes(read_fully(stream, 4))
    if len(magic) < 4 or magic[:2] != b"\0\0" or not any(magic[2:]):
        head = magic + bytes(read_fully(stream, HEAD_BYTES - len(magic)))
        raise DamagedError(find_foreign(head).explain(title))
    code, dimensions = magic[2:]
    sizes = read_fully(stream, 4 * dimensions)
    if code not in ELEMENT_TYPES:
        found = f"found the element type 0x{code:02X}"
        raise DamagedError(f"{title}: {found}, expected {KNOWN_TYPES}. {WRITE_AGAIN}.")
    if len(sizes) < 4 * dimensions:
        found = f"the file ends within its header of {dimensions} dimensions"
        raise DamagedError(f"{title}: {found}. {COPY_AGAIN}.")
    header = Header(ELEMENT_TYPES[code], struct.unpack(f">{dimensions}I", sizes))
    _check_limits(header, title)
    return header


def _check_limits(header: Header, title: str) -> None:
    """Refuse a header whose records could not be held, or would have no bytes."""
    # An empty dimension hides how large the others are.
    largest = math.prod(max(1, size) for size in header.record_shape) * header.dtype.itemsize
    has_empty_records = header.record_size == 0 < header.num_records
    if len(header.shape) > MAX_DIMENSIONS or largest > MAX_RECORD_BYTES or has_empty_records:
        found = f"the header announces {header.shape}"
        expected = f"at most {MAX_DIMENSIONS} dimensions and 1 to {MAX_RECORD_BYTES:,} bytes"
        way_out = WRITE_AGAIN
        if b"\r\n" in header.pack_shape():
            way_out = TEXT_MODE
        elif _swapped(header.shape) != header.shape and _is_plausible(_swapped(header.shape)):
            way_out = LITTLE_ENDIAN_SIZES
        raise DamagedError(f"{title}: {found}, expected {expected} per record. {way_out}.")


def _swapped(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes that a shape has if its bytes are in reverse order."""
    count = len(shape)
    return struct.unpack(f"<{count}I", struct.pack(f">{count}I", *shape))


def _is_plausible(shape: tuple[int, ...]) -> bool:
    """Whether a shape may be what the writer of a file meant."""
    return all(0 < size < 1 << 24 for size in shape)


class IdxFile:
    """An open IDX file: its header, and any range of its records.

    `title` is what errors call the file.
    """

    def __init__(self, stream: Stream, title: str) -> None:
        self.title = title
        self.stream = stream
        with closed_on_error(stream):
            self.header = read_header(stream, title)
            if stream.size is not None:
                self._check_size(stream.size)

    def read(self, start: int, stop: int) -> np.ndarray:
        """The records `start` to `stop`, `(stop - start, *record_shape)`, in native byte order.

        Raises:
            DamagedError: the file is shorter or longer than its header announces, or its checksum
                is wrong. The end of the file is checked with its last record.
        """
        self._go_to_record(start)
        header, count = self.header, stop - start
        data = read_fully(self.stream, count * header.record_size)
        if len(data) < count * header.record_size:
            self._check_size(header.offset_of(start) + len(data))
        if stop == header.num_records:
            self._finish()
        big_endian = np.frombuffer(data, header.dtype.newbyteorder(">"))
        native = big_endian.astype(header.dtype, copy=False)
        return native.reshape(count, *header.record_shape)

    def read_each(self, numbers: np.ndarray, target: np.ndarray) -> None:
        """Read the records with the given numbers into the rows of `target`, one by one.

        Args:
            target: contiguous `(len(numbers), *record_shape)`, of the element type of the file.

        The stream must be one that `reads_pieces`.
        """
        header = self.header
        first, size = header.offset_of(0), header.record_size
        positions = [first + size * number for number in numbers.tolist()]
        rows = target.view(np.uint8).reshape(len(positions), size)
        self.stream.read_pieces(positions, list(rows))
        if header.dtype.newbyteorder(">") != header.dtype:
            target.byteswap(inplace=True)

    def batches(self) -> Iterator[np.ndarray]:
        """Read all records, in at least one batch."""
        count, size = self.header.num_records, self.header.batch_size
        yield self.read(0, min(size, count))
        for start in range(size, count, size):
            yield self.read(start, min(start + size, count))

    def _go_to_record(self, record: int) -> None:
        if record == 0:  # Checksums cover the header, too.
            self.stream.seek(0)
            read_header(self.stream, self.title)
        position = self.header.offset_of(record)
        if self.stream.tell() != position:
            self.stream.seek(position)

    def _finish(self) -> None:
        """Check the end of the file, behind the last record."""
        if self.stream.read(1):
            raise self._wrong_size(self._measure())
        self.stream.finish()

    def _measure(self) -> int | None:
        """The size of the file, of which one byte behind the last record has been read.

        None if it is much larger than it announces: a small compressed file may hold a lot.
        """
        if self.stream.size is not None:
            return self.stream.size
        announced = self.header.offset_of(self.header.num_records)
        size = announced + 1
        limit = announced + max(MAX_COUNTED_BYTES, 3 * announced)
        try:
            while size < limit:
                data = self.stream.read(CHUNK_BYTES)
                if not data:
                    return size
                size += len(data)
        except DamagedError:
            return None
        return None

    def _check_size(self, size: int) -> None:
        """Compare the size that the header announces with the bytes that are there."""
        if size != self.header.offset_of(self.header.num_records):
            raise self._wrong_size(size)

    def _wrong_size(self, size: int | None) -> DamagedError:
        """The error of a file that has other bytes than announced; None means many more."""
        announced = self.header.offset_of(self.header.num_records)
        title = f"{self.title}: the header {self.header.shape} announces {announced:,} bytes"
        if size is None:
            return DamagedError(f"{title}, but more data follows. {COPY_AGAIN}.")
        found = f"more data follows: the file has {size:,}"
        if size < announced:
            found = f"the data ends after {size:,}. It is cut short, or the header is wrong"
        way_out = self._find_cause(size) or suggest_header(self.header, size)
        return DamagedError(f"{title}, but {found}. {way_out}.")

    def _find_cause(self, size: int) -> str | None:
        """What has gone wrong when the file was written, by its content; None if nothing tells."""
        if size < self.header.offset_of(self.header.num_records):
            return None
        self.stream.seek(4)
        content = bytes(read_fully(self.stream, MAX_COUNTED_BYTES))
        if _is_text_mode(content):
            return TEXT_MODE
        for dimensions in range(len(self.header.shape) + 1, MAX_GUESSED_DIMENSIONS + 1):
            if len(content) < 4 * dimensions:
                return None
            shape = struct.unpack_from(f">{dimensions}I", content)
            if math.prod(shape) * self.header.dtype.itemsize == size - 4 - 4 * dimensions:
                sides = " × ".join(map(str, shape))
                return f"{sides} would fit: write {dimensions} as the fourth byte"
        return None


def _is_text_mode(content: bytes) -> bool:
    """Whether each line break has become two bytes, as Windows does in text mode."""
    num_breaks = content.count(b"\n")
    return num_breaks > 0 and content.count(b"\r\n") == num_breaks


def suggest_header(header: Header, size: int) -> str:
    """What to do about a file whose size its header does not announce.

    >>> suggest_header(Header(np.dtype("uint8"), (240, 56, 56)), 16 + 240 * 112 * 112)
    'Records of 112 × 112 would fit, or 960 records of 56 × 56. Write the file again'

    Args:
        size: of the decompressed file, in bytes.
    """
    content = size - header.offset_of(0)
    excess = content - header.num_records * header.record_size
    swapped = Header(header.dtype, _swapped(header.shape))
    if swapped != header and swapped.num_records * swapped.record_size == content:
        return LITTLE_ENDIAN_SIZES
    fitting = _fitting_sizes(header, content)
    if fitting:
        return f"{', or '.join(fitting)}. {WRITE_AGAIN}"
    if 0 < excess < header.record_size:
        if excess == 1:
            return "1 byte follows the last record: write the file again without it"
        return f"{excess:,} bytes follow the last record: write the file again without them"
    return COPY_AGAIN


def _fitting_sizes(header: Header, content: int) -> list[str]:
    """Which records the content may be, as the start of a sentence and its continuation."""
    if content <= 0:
        return []
    fitting = []
    may_be_square = len(header.record_shape) == 2 and header.num_records > 0
    if may_be_square and content % header.num_records == 0:
        record_size = content // header.num_records
        side = math.isqrt(record_size // header.dtype.itemsize)
        if side * side * header.dtype.itemsize == record_size:
            fitting.append(f"Records of {side} × {side} would fit")
    if header.record_size > 0 and content % header.record_size == 0:
        count = content // header.record_size
        sides = " × ".join(map(str, header.record_shape))
        noun = f"{count:,} records"
        if sides:
            noun += f" of {sides}"
        fitting.append(noun if fitting else f"{noun} would fit")
    return fitting
