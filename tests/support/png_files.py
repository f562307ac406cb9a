"""PNG files, put together chunk by chunk."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = (b"IEND", b"")


def header(rows: int, columns: int, depth: int = 8, color: int = 0, interlace: int = 0) -> bytes:
    return struct.pack(">IIBBBBB", columns, rows, depth, color, 0, 0, interlace)


def png_file(*chunks: tuple[bytes, bytes]) -> bytes:
    """A file of chunks, each of them its kind and its content."""
    file = SIGNATURE
    for kind, content in chunks:
        checksum = zlib.crc32(kind + content)
        file += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    return file


def lines(pixels: np.ndarray, kind_of_filter: int = 0) -> bytes:
    """Rows of bytes, each behind the number of a filter, which is not applied."""
    rows = pixels.reshape(len(pixels), -1)
    return np.pad(rows, ((0, 0), (1, 0)), constant_values=kind_of_filter).tobytes()


def gray_file(pixels: np.ndarray) -> bytes:
    """The plainest file of gray pixels."""
    data = zlib.compress(lines(pixels))
    return png_file((b"IHDR", header(*pixels.shape)), (b"IDAT", data), END)
