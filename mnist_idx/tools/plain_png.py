"""Gray PNG files as `png` writes them → pixels, without an image library."""

import struct
from collections.abc import Sequence
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

    def read(self, files: Sequence[bytes]) -> np.ndarray | None:
        """The pixels of files, uint8 (n, rows, columns).

        None if one of them is any other file, or has another size than the first one.
        """
        start = self._known
        if start is None or not files[0].startswith(start.content):
            start = _parse_start(files[0])
            if start is None:
                return None
            self._known = start
        line_bytes = 1 + start.columns  # Each row stands after the number of its filter.
        contents = []
        for file in files:
            content = _inflate(file, start.content, start.rows * line_bytes)
            if content is None:
                return None
            contents.append(content)
        lines = np.frombuffer(b"".join(contents), np.uint8)
        lines = lines.reshape(len(files), start.rows, line_bytes)
        if (lines[:, :, 0] != NO_FILTER).any():
            return None
        return lines[:, :, 1:]


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


def _inflate(file: bytes, start: bytes, size: int) -> bytes | None:
    """What the only chunk of data in a file holds, whose checksum is compared.

    None if the file does not begin with `start`, is anything else, or holds another size.
    """
    data = file[DATA_AT:-BEHIND_DATA]
    head = start + CHUNK.pack(len(data), b"IDAT")
    if not file.startswith(head) or not file.endswith(END):
        return None
    decompressor = zlib_ng.decompressobj()
    try:
        # One byte more: the end of the data is seen, and what is too long is not made.
        content = decompressor.decompress(data, size + 1)
    except ZLIB_ERROR:
        return None
    is_complete = decompressor.eof and not decompressor.unused_data
    return content if is_complete and len(content) == size else None
