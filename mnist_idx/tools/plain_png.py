"""Gray PNG files as `png` writes them → pixels, without an image library."""

import struct
from typing import NamedTuple

import numpy as np
from zlib_ng import zlib_ng

from ..compressions import ZLIB_ERROR
from ..png import SIGNATURE, chunk

SIZES = struct.Struct(">II")  # columns and rows
GRAY_OF_8_BITS = bytes([8, 0, 0, 0, 0])  # and neither interlaced nor with another method
CHUNK = struct.Struct(">I4s")  # the size of the content, and the kind
CHECKSUM = struct.Struct(">I")
SIZES_AT = len(SIGNATURE) + CHUNK.size
# Where the parts of such a file begin: the only chunk of data, and the data in it.
CHUNK_AT = SIZES_AT + SIZES.size + len(GRAY_OF_8_BITS) + CHECKSUM.size
DATA_AT = CHUNK_AT + CHUNK.size
END = chunk(b"IEND", b"")
BEHIND_DATA = CHECKSUM.size + len(END)
NO_FILTER = 0
# Others take their time to decode in any case.
MAX_PIXELS = 1 << 16


class PlainPngReader:
    """Reads gray PNG files that are nothing but a header, one chunk of unfiltered rows and an end.

    What is checked of one header is remembered for the files that follow.
    """

    def __init__(self) -> None:
        self._known: _Start | None = None

    def read(self, file: bytes) -> np.ndarray | None:
        """The pixels of a file, uint8 (rows, columns); None if it is any other file."""
        start = self._known
        if start is None or not file.startswith(start.content):
            start = _parse_start(file)
            if start is None:
                return None
            self._known = start
        data = file[DATA_AT:-BEHIND_DATA]
        if file[CHUNK_AT:DATA_AT] != CHUNK.pack(len(data), b"IDAT") or not file.endswith(END):
            return None
        line_bytes = 1 + start.columns  # Each row stands after the number of its filter.
        lines = _inflate(data, start.rows * line_bytes)
        if lines is None or lines[::line_bytes].count(NO_FILTER) != start.rows:
            return None
        return np.frombuffer(lines, np.uint8).reshape(start.rows, line_bytes)[:, 1:]


class _Start(NamedTuple):
    """What a file starts with, up to the end of its header."""

    content: bytes
    rows: int
    columns: int


def _parse_start(file: bytes) -> _Start | None:
    """The start of a file of 8-bit gray pixels; None if it is any other file."""
    if len(file) < SIZES_AT + SIZES.size:
        return None
    columns, rows = SIZES.unpack_from(file, SIZES_AT)
    if not 0 < rows * columns <= MAX_PIXELS:
        return None
    header = SIZES.pack(columns, rows) + GRAY_OF_8_BITS
    content = SIGNATURE + chunk(b"IHDR", header)
    return _Start(content, rows, columns) if file.startswith(content) else None


def _inflate(data: bytes, size: int) -> bytes | None:
    """The content of zlib data, whose checksum is compared; None if it has not this size."""
    decompressor = zlib_ng.decompressobj()
    try:
        # One byte more: the end of the data is seen, and what is too long is not made.
        content = decompressor.decompress(data, size + 1)
    except ZLIB_ERROR:
        return None
    is_complete = decompressor.eof and not decompressor.unused_data
    return content if is_complete and len(content) == size else None
