"""The IDX format: header, blocks of records. Knows nothing of `datasets`, of archives or of PNG.

An IDX file is two zero bytes, a byte for the element type, a byte for the number of dimensions, the size of each
dimension as a big-endian 32-bit number, then the elements, big-endian, the last dimension varying fastest. The first
dimension counts the records.

Source: Yann LeCun's page of the MNIST database, http://yann.lecun.com/exdb/mnist/, "The IDX file format".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

ELEMENT_TYPES: dict[int, np.dtype] = {
    0x08: np.dtype("uint8"),
    0x09: np.dtype("int8"),
    0x0B: np.dtype("int16"),
    0x0C: np.dtype("int32"),
    0x0D: np.dtype("float32"),
    0x0E: np.dtype("float64"),
}
TYPE_CODES = {dtype: code for code, dtype in ELEMENT_TYPES.items()}

# A block is what is held in memory at a time: at most so many records, of at most so many bytes together.
BLOCK_RECORDS = 1000
BLOCK_BYTES = 1 << 20
# A header can promise records of any size; one larger than this is refused before anything is allocated for it.
MAX_RECORD_BYTES = 64 << 20
# Memory grows with the bytes that arrive, never with the bytes that a header promises.
PIECE_BYTES = 1 << 20


class IdxError(ValueError):
    """Data that is not what it should be, or that cannot be had. The message says where, what, and the way out.

    It derives from `ValueError`, not from `OSError`: `datasets` rewraps any `OSError` as "Cannot find data file".
    """


class TransferError(IdxError):
    """A file could not be reached, or its transfer broke off and could not be resumed."""


class Stream(Protocol):
    """What is read from: any seekable binary stream."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, position: int, /) -> object: ...

    def tell(self) -> int: ...


class Header(NamedTuple):
    """What an IDX header says: the element type, in native byte order, and the size of each dimension."""

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
        """Bytes of one record."""
        return math.prod(self.record_shape) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the header itself."""
        return 4 + 4 * len(self.shape)

    @property
    def file_size(self) -> int:
        """Bytes of the whole file, the header included."""
        return self.nbytes + self.num_records * self.record_size

    def offset_of(self, record: int) -> int:
        """Where a record starts in the file."""
        return self.nbytes + record * self.record_size

    @property
    def block_records(self) -> int:
        """How many records make a block; all of them if they are of no bytes."""
        if self.record_size == 0:
            return max(1, self.num_records)
        return max(1, min(BLOCK_RECORDS, BLOCK_BYTES // max(1, self.record_size)))

    def pack(self) -> bytes:
        """The header as it stands in a file.

        Raises:
            IdxError: IDX has no such element type, or not that many dimensions or records.
        """
        code = TYPE_CODES.get(np.dtype(self.dtype))
        if code is None:
            known = ", ".join(str(dtype) for dtype in TYPE_CODES)
            raise IdxError(f"IDX has no element type {self.dtype}; it has {known}. Convert the array to one of them.")
        if len(self.shape) > 255 or any(not 0 <= size < 1 << 32 for size in self.shape):
            raise IdxError(
                f"The shape {self.shape} does not fit IDX: at most 255 dimensions of at most 2**32 - 1 each."
            )
        return struct.pack(f">BBBB{len(self.shape)}I", 0, 0, code, len(self.shape), *self.shape)


def read_header(stream: Stream, name: str) -> Header:
    """Read the header at the start of `stream`, and leave the stream behind it.

    Args:
        stream: a binary stream that stands at the start of an IDX file.
        name: what messages call the file.

    Raises:
        IdxError: the stream does not start with an IDX header.
    """
    magic = read_fully(stream, 4)
    if len(magic) < 4:
        raise IdxError(
            f"{name}: an IDX file starts with 4 bytes of magic number, but this one ends after {len(magic)}."
        )
    zeros, code, dimensions = magic[:2], magic[2], magic[3]
    if zeros != b"\0\0":
        raise IdxError(
            f"{name}: not an IDX file: it starts with {bytes(magic)!r}, expected two zero bytes, the element type and "
            "the number of dimensions (0x00000803 for images, 0x00000801 for labels)."
        )
    if code not in ELEMENT_TYPES:
        known = ", ".join(f"0x{known:02X} {dtype}" for known, dtype in ELEMENT_TYPES.items())
        raise IdxError(f"{name}: unknown IDX element type 0x{code:02X}, expected one of {known}. Is the file damaged?")
    sizes = read_fully(stream, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise IdxError(
            f"{name}: the header announces {dimensions} dimensions, but the file ends after {len(sizes) // 4} of them. "
            "The file is cut short: fetch it again."
        )
    return Header(ELEMENT_TYPES[code], struct.unpack(f">{dimensions}I", sizes))


def iter_blocks(
    stream: Stream, header: Header, name: str, start: int = 0, stop: int | None = None, block_records: int | None = None
) -> Iterator[np.ndarray]:
    """Read the records `start` to `stop` a block at a time.

    Whoever reads up to the last record has the end of the file checked before the last block is handed out.

    Args:
        stream: a binary stream over the whole IDX file.
        header: what `read_header` found in it.
        name: what messages call the file.
        start: number of the first record to read, from 0.
        stop: number of the record to stop before; all that the header announces when not given.
        block_records: records in a block; `header.block_records` when not given.

    Yields:
        Arrays of the header's element type, native byte order, shape `(k, *header.record_shape)`.

    Raises:
        IdxError: the data is shorter or longer than the header says, or a record is too large to be held in memory.
    """
    if header.record_size > MAX_RECORD_BYTES:
        raise IdxError(
            f"{name}: the header {header.shape} announces records of {header.record_size:,} bytes; at most "
            f"{MAX_RECORD_BYTES:,} are read at a time. Is the file damaged?"
        )
    stop = header.num_records if stop is None else stop
    block_records = block_records or header.block_records
    if stop <= start == header.num_records:
        _check_end(stream, header, name)
    for first in range(start, stop, block_records):
        count = min(block_records, stop - first)
        position = header.offset_of(first)
        if stream.tell() != position:
            stream.seek(position)
        data = read_fully(stream, count * header.record_size)
        if len(data) < count * header.record_size:
            raise IdxError(
                f"{name}: the header {header.shape} announces {header.file_size:,} bytes, but the data ends after "
                f"{position + len(data):,}, within record {first + len(data) // max(1, header.record_size):,}. "
                "The file is cut short: fetch it again."
            )
        if first + count == header.num_records:
            _check_end(stream, header, name)
        yield _to_array(data, header, name, count)


def read_fully(stream: Stream, size: int) -> bytes | bytearray:
    """Read `size` bytes, fewer only where the stream ends."""
    data = stream.read(min(size, PIECE_BYTES))
    if len(data) == size or not data:
        return data
    pieces = bytearray(data)
    while len(pieces) < size:
        data = stream.read(min(size - len(pieces), PIECE_BYTES))
        if not data:
            break
        pieces += data
    return pieces


def _check_end(stream: Stream, header: Header, name: str) -> None:
    if stream.tell() != header.file_size:
        stream.seek(header.file_size)
    if stream.read(1):
        raise IdxError(
            f"{name}: the header {header.shape} announces {header.file_size:,} bytes, but more data follows. "
            "Header and data do not belong together: fetch the file again."
        )


def _to_array(data: bytes | bytearray, header: Header, name: str, count: int) -> np.ndarray:
    big_endian = np.frombuffer(data, header.dtype.newbyteorder(">"))
    try:
        return big_endian.astype(header.dtype, copy=False).reshape(count, *header.record_shape)
    except ValueError as error:  # more dimensions than NumPy has
        raise IdxError(f"{name}: NumPy cannot hold records of shape {header.record_shape}: {error}.") from error
