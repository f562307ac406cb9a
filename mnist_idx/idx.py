"""The IDX format: bytes ↔ arrays. Knows nothing of `datasets`, archives or PNG.

An IDX file is two zero bytes, a byte for the element type, a byte for the number of dimensions, the
size of each dimension as a big-endian 32-bit integer, then the elements, big-endian, the last
dimension varying fastest. The first dimension counts the records.

Source: Yann LeCun's page of the MNIST database, http://yann.lecun.com/exdb/mnist/, "The IDX file
format".
"""

import io
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .errors import DamagedError, IdxError

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
CHUNK_BYTES = 1 << 20


class Stream(io.RawIOBase):
    """Base of the package's seekable, read-only binary streams.

    A subclass implements `read`, which returns at least one byte unless the stream has ended,
    `seek` and `tell`.

    Attributes:
        size: of the stream in bytes; None as long as it is unknown.
        seek_cost: how many bytes can be read in the time that going to another position takes.
        identity: what tells the file from another one that takes its place; "" if unknown.
    """

    size: int | None = None
    seek_cost: int = 256 << 10

    @property
    def identity(self) -> str:
        return ""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def expect_end(self, position: int) -> None:
        """Hint that nothing from `position` on is read soon."""

    def check_unchanged(self) -> None:
        """Raise a `TransferError` if the file is not the one that was opened."""


@contextmanager
def closed_on_error(file: Any) -> Iterator[None]:
    try:
        yield
    except BaseException:
        file.close()
        raise


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
        return max(1, min(BATCH_RECORDS, BATCH_BYTES // max(1, self.record_size)))

    def pack(self) -> bytes:
        if self.dtype not in TYPE_CODES:
            raise IdxError(
                f"IDX has no element type {self.dtype}, expected {KNOWN_TYPES}. Convert the array."
            )
        if len(self.shape) > 255 or any(not 0 <= size < 1 << 32 for size in self.shape):
            raise IdxError(
                f"The shape {self.shape} does not fit IDX: at most 255 dimensions, each at most 2**32 - 1."
            )
        if self.record_size > MAX_RECORD_BYTES:
            raise IdxError(
                f"Records of {self.record_size:,} bytes: expected at most {MAX_RECORD_BYTES:,}. Split them."
            )
        return struct.pack(
            f">BBBB{len(self.shape)}I", 0, 0, TYPE_CODES[self.dtype], len(self.shape), *self.shape
        )


def read_header(stream: Stream, name: str) -> Header:
    """Read the header, and leave the stream positioned after it.

    `name` is used in error messages.
    """
    magic = bytes(read_fully(stream, 4))
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DamagedError(
            f"{name}: found {magic!r} at its start, expected two zero bytes. It is not an IDX file."
        )
    code, dimensions = magic[2:]
    sizes = read_fully(stream, 4 * dimensions)
    if code not in ELEMENT_TYPES:
        raise DamagedError(
            f"{name}: found the element type 0x{code:02X}, expected {KNOWN_TYPES}. Is the file damaged?"
        )
    if len(sizes) < 4 * dimensions:
        raise DamagedError(
            f"{name}: the file ends within its header of {dimensions} dimensions. Fetch it again."
        )
    header = Header(ELEMENT_TYPES[code], struct.unpack(f">{dimensions}I", sizes))
    largest = math.prod(max(1, size) for size in header.record_shape) * header.dtype.itemsize
    is_empty = header.record_size == 0 < header.num_records
    if dimensions > MAX_DIMENSIONS or largest > MAX_RECORD_BYTES or is_empty:
        expected = (
            f"at most {MAX_DIMENSIONS} dimensions and 1 to {MAX_RECORD_BYTES:,} bytes per record"
        )
        raise DamagedError(
            f"{name}: the header announces {header.shape}, expected {expected}. Is the file damaged?"
        )
    return header


class IdxFile:
    """An open IDX file: its header, and any range of its records.

    `title` is used in error messages.
    """

    def __init__(self, stream: Stream, title: str) -> None:
        self.title = title
        self.stream = stream
        with closed_on_error(stream):
            self.header = read_header(stream, title)
            if stream.size is not None:
                self._check_size(stream.size)

    def read(self, start: int, stop: int) -> np.ndarray:
        """The records `start` to `stop`, `(stop - start, *record_shape)`, in native byte order."""
        stream, header = self.stream, self.header
        if start == 0:  # checksums cover the header, too
            stream.seek(0)
            read_header(stream, self.title)
        position = header.offset_of(start)
        if stream.tell() != position:
            stream.seek(position)
        data = read_fully(stream, (stop - start) * header.record_size)
        if len(data) < (stop - start) * header.record_size:
            self._check_size(position + len(data))
        if stop == header.num_records and stream.read(1):
            self._check_size(header.offset_of(stop) + 1)
        big_endian = np.frombuffer(data, header.dtype.newbyteorder(">"))
        return big_endian.astype(header.dtype, copy=False).reshape(
            stop - start, *header.record_shape
        )

    def batches(self) -> Iterator[np.ndarray]:
        """Read all records, in at least one batch."""
        count, size = self.header.num_records, self.header.batch_size
        yield self.read(0, min(size, count))
        for start in range(size, count, size):
            yield self.read(start, min(start + size, count))

    def _check_size(self, size: int) -> None:
        """Compare the size that the header announces with the bytes that are there."""
        expected = self.header.offset_of(self.header.num_records)
        if size != expected:
            announced = f"{self.title}: the header {self.header.shape} announces {expected:,} bytes"
            found = (
                f"the data ends after {size:,}. It is cut short"
                if size < expected
                else "more data follows"
            )
            raise DamagedError(f"{announced}, but {found}. Fetch it again.")


def read_fully(stream: Stream, size: int) -> bytes | bytearray:
    """Read `size` bytes, fewer only where the stream ends.

    Memory grows with the bytes that arrive.
    """
    data = stream.read(min(size, CHUNK_BYTES)) or b""
    if len(data) == size or not data:
        return data
    chunks = bytearray(data)
    while len(chunks) < size and (data := stream.read(min(size - len(chunks), CHUNK_BYTES))):
        chunks += data
    return chunks
