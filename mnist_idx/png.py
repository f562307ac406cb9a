"""Arrays → PNG files: compressed to keep them, uncompressed to read them at once."""

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from zlib_ng import zlib_ng

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVEL = 1  # costs a third of the time of level 2 for 5 % more bytes
SMALL_WINDOW = 10
LARGE_WINDOW = 15
STORED_BYTES = (1 << 16) - 1  # most that deflate stores in one block


def encode_png(images: np.ndarray) -> list[bytes]:
    """Encode images, uint8 `(k, rows, columns)` or `(k, rows, columns, 3)` without empty dimensions, as PNG files."""
    start, lines, end = _start(images), _lines(images), _chunk(b"IEND", b"")
    # Setting up a window costs more than filling it with a small image.
    window = SMALL_WINDOW if lines.shape[1] <= 1 << SMALL_WINDOW else LARGE_WINDOW
    compress, crc32, pack = zlib_ng.compress, zlib_ng.crc32, struct.Struct(">I").pack
    files = []
    for line in lines:
        data = b"IDAT" + compress(line, LEVEL, window)
        files.append(b"".join((start, pack(len(data) - 4), data, pack(crc32(data)), end)))
    return files


def store_png(images: np.ndarray) -> np.ndarray:
    """Encode images as PNG files without compression, uint8 `(k, length)`. It takes a seventh of the time."""
    start, lines, end = _start(images), _lines(images), _chunk(b"IEND", b"")
    count, size = lines.shape
    num_blocks = math.ceil(size / STORED_BYTES)
    head = start + struct.pack(">I4s2s", 2 + 5 * num_blocks + size + 4, b"IDAT", b"\x78\x01")
    columns = [_repeat(head, count)]
    for first in range(0, size, STORED_BYTES):
        block = lines[:, first : first + STORED_BYTES]
        length = block.shape[1]
        columns += [_repeat(struct.pack("<BHH", first + length == size, length, length ^ 0xFFFF), count), block]
    columns += [_checksums(zlib_ng.adler32, lines), _repeat(bytes(4) + end, count)]
    files = np.hstack(columns)
    files[:, -16:-12] = _checksums(zlib_ng.crc32, files[:, len(start) + 4 : -16])
    return files


def _repeat(content: bytes, count: int) -> np.ndarray:
    return np.broadcast_to(np.frombuffer(content, np.uint8), (count, len(content)))


def _checksums(function: Callable[[Any], int], rows: np.ndarray) -> np.ndarray:
    """The checksum of each row, big-endian, uint8 `(k, 4)`."""
    return np.array([function(row) for row in rows], ">u4").view(np.uint8).reshape(len(rows), 4)


def _start(images: np.ndarray) -> bytes:
    """What comes before the pixels."""
    rows, columns = images.shape[1:3]
    color_type = 0 if images.ndim == 3 else 2  # gray or RGB
    return SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, color_type, 0, 0, 0))


def _lines(images: np.ndarray) -> np.ndarray:
    """The pixels as PNG has them, `(k, bytes of an image)`: each row after a byte that names its filter, 0 for none."""
    count, rows, *rest = images.shape
    lines = np.pad(images.reshape(count, rows, math.prod(rest)), ((0, 0), (0, 0), (1, 0)))
    return lines.reshape(count, rows * lines.shape[2])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib_ng.crc32(kind + content))
