"""The files that IDX is written to: plain ones and gzip. Their header is known last."""

import struct
from pathlib import Path
from typing import Protocol

from zlib_ng import zlib_ng

# Level 9 takes ten times as long and makes the images of MNIST 2 % smaller.
GZIP_LEVEL = 6
# Neither flags, name nor time, and an unknown system: equal content gives equal bytes.
GZIP_START = bytes([0x1F, 0x8B, zlib_ng.DEFLATED, 0, 0, 0, 0, 0, 0, 0xFF])
RAW_DEFLATE = -15  # what `compressobj` calls a stream without a header, with the largest window
# What zlib-ng makes of bytes depends on the pieces in which it gets them.
PIECE_BYTES = 1 << 20


class IdxTarget(Protocol):
    """A file that starts with a header, which is written at the start and again at the end."""

    def write(self, content: memoryview) -> None:
        """Append bytes behind the header."""

    def finish(self, header: bytes) -> None:
        """Replace the header by one of the same length, and close the file."""

    def close(self) -> None:
        """Close the file, which may be incomplete."""


def open_target(path: Path, header: bytes, compress: bool) -> IdxTarget:
    """Create a file that starts with a header."""
    return GzipTarget(path, header) if compress else PlainTarget(path, header)


class PlainTarget:
    def __init__(self, path: Path, header: bytes) -> None:
        self._file = open(path, "wb")
        self._file.write(header)

    def write(self, content: memoryview) -> None:
        self._file.write(content)

    def finish(self, header: bytes) -> None:
        self._file.seek(0)
        self._file.write(header)
        self._file.close()

    def close(self) -> None:
        self._file.close()


class GzipTarget:
    """A gzip file whose first bytes can be replaced.

    They are a block of their own, which deflate stores as they are. What follows is compressed
    without a look back at them, so that only they and the checksum of all change.
    """

    def __init__(self, path: Path, header: bytes) -> None:
        self._file = open(path, "wb")
        self._file.write(GZIP_START)
        self._file.write(_stored_block(header))
        self._compressor = zlib_ng.compressobj(GZIP_LEVEL, zlib_ng.DEFLATED, RAW_DEFLATE)
        self._pending = bytearray()  # less than a piece
        self._size = 0  # of the content behind the header
        self._checksum = 0  # of the same

    def write(self, content: memoryview) -> None:
        self._pending += content
        num_whole = len(self._pending) // PIECE_BYTES * PIECE_BYTES
        for start in range(0, num_whole, PIECE_BYTES):
            self._compress(bytes(self._pending[start : start + PIECE_BYTES]))
        del self._pending[:num_whole]

    def finish(self, header: bytes) -> None:
        self._compress(bytes(self._pending))
        self._file.write(self._compressor.flush())
        checksum = zlib_ng.crc32_combine(zlib_ng.crc32(header), self._checksum, self._size)
        size = (len(header) + self._size) % (1 << 32)
        self._file.write(struct.pack("<II", checksum, size))
        self._file.seek(len(GZIP_START))
        self._file.write(_stored_block(header))
        self._file.close()

    def close(self) -> None:
        self._file.close()

    def _compress(self, piece: bytes) -> None:
        self._file.write(self._compressor.compress(piece))
        self._checksum = zlib_ng.crc32(piece, self._checksum)
        self._size += len(piece)


def _stored_block(content: bytes) -> bytes:
    """A block of deflate, not the last one, that is not compressed."""
    length = len(content)
    return struct.pack("<BHH", 0, length, length ^ 0xFFFF) + content
