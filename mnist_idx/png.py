"""Arrays → PNG files: many images of one size, in blocks."""

import enum
import math
import struct
from collections.abc import Callable, Iterator

import numpy as np
from zlib_ng import zlib_ng

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVEL = 1  # costs a third of the time of level 2 for 5 % more bytes
SMALL_WINDOW = 10
LARGE_WINDOW = 15
MEMORY_LEVEL = 8  # the default of zlib
# Building codes for images of fewer bytes takes longer than their smaller size is worth.
LEAST_CODED_BYTES = 16 << 10
# What is compressed in each way, of a batch, to see how it becomes smaller.
SAMPLED_IMAGES = 4
SAMPLED_BYTES = 16 << 10
# Where all of these grow, the others are not tried.
PROBED_IMAGES = 16
WORTHWHILE = 0.9  # the most that the other way leaves of the size, to be chosen
STORED_BYTES = (1 << 16) - 1  # most that deflate stores in one block
SUB_FILTER = 1  # its number in PNG
NO_COMPRESSION = b"\x78\x01"  # the header of zlib
DATA_END_SIZE = 4 + 12  # bytes of the checksum of the data, and of the chunk behind it


class Encoding(enum.Enum):
    """How the pixels of an image become fewer bytes."""

    REPEATS = enum.auto()  # what repeats is found: drawings, with even areas
    DIFFERENCES = enum.auto()  # to the pixel on the left, the usual ones in few bits: photographs


def encode_png(images: np.ndarray) -> list[bytes]:
    """Encode images as PNG files, none of them larger than without compression.

    Args:
        images: uint8 `(k, rows, columns)` or `(k, rows, columns, 3)`, without empty dimensions.
    """
    encoding = choose_encoding(images)
    limit = _stored_size(images)
    first = _encode(images[:PROBED_IMAGES], encoding)
    if first and min(map(len, first)) > limit:
        return [file.tobytes() for file in store_png(images)]
    files = first + _encode(images[PROBED_IMAGES:], encoding)
    return _store_grown(files, images, limit)


def _encode(images: np.ndarray, encoding: Encoding) -> list[bytes]:
    start, end = _start(images), chunk(b"IEND", b"")
    # Looked up once: the loop takes 6 µs an image.
    crc32, pack = zlib_ng.crc32, struct.Struct(">I").pack
    files = []
    for compressed in _compress(images, encoding):
        data = b"IDAT" + compressed
        files.append(b"".join((start, pack(len(data) - 4), data, pack(crc32(data)), end)))
    return files


def choose_encoding(images: np.ndarray) -> Encoding:
    """The encoding that suits images of `encode_png`, judged by rows of the first ones."""
    if _line_bytes(images) < LEAST_CODED_BYTES:
        return Encoding.REPEATS
    sample = _sample(images)
    sizes = {}
    for encoding in Encoding:
        sizes[encoding] = sum(len(data) for data in _compress(sample, encoding))
    if sizes[Encoding.DIFFERENCES] < WORTHWHILE * sizes[Encoding.REPEATS]:
        return Encoding.DIFFERENCES
    return Encoding.REPEATS


def _sample(images: np.ndarray) -> np.ndarray:
    """Rows from the middle of the first images."""
    first = images[:SAMPLED_IMAGES]
    bytes_each = SAMPLED_BYTES // max(1, len(first))
    rows = images.shape[1]
    count = min(rows, max(1, bytes_each // _row_bytes(images)))
    top = (rows - count) // 2
    return first[:, top : top + count]


def _compress(images: np.ndarray, encoding: Encoding) -> Iterator[bytes]:
    """The pixels of each image, compressed."""
    if encoding is Encoding.REPEATS:
        # Setting up a window costs more than filling it with a small image.
        is_small = _line_bytes(images) <= 1 << SMALL_WINDOW
        window = SMALL_WINDOW if is_small else LARGE_WINDOW
        compress = zlib_ng.compress
        for line in _lines(images):
            yield compress(line, LEVEL, window)
        return
    for line in _difference_lines(images):
        coder = zlib_ng.compressobj(
            LEVEL, zlib_ng.DEFLATED, LARGE_WINDOW, MEMORY_LEVEL, zlib_ng.Z_HUFFMAN_ONLY
        )
        yield coder.compress(line) + coder.flush()


def _store_grown(files: list[bytes], images: np.ndarray, limit: int) -> list[bytes]:
    """The same PNG files, without compression where it has made them larger: noise."""
    if max(map(len, files), default=0) <= limit:
        return files
    grown = [number for number, file in enumerate(files) if len(file) > limit]
    kept = list(files)
    for number, stored in zip(grown, store_png(images[grown]), strict=True):
        kept[number] = stored.tobytes()
    return kept


def _stored_size(images: np.ndarray) -> int:
    """The bytes of a file of `store_png`."""
    around = len(_start(images)) + len(chunk(b"IDAT", b"")) + len(chunk(b"IEND", b""))
    return around + _stored_data_size(_line_bytes(images))


def _stored_data_size(size: int) -> int:
    """How many bytes zlib makes of `size` bytes that it stores."""
    num_blocks = math.ceil(size / STORED_BYTES)
    return len(NO_COMPRESSION) + 5 * num_blocks + size + 4


def store_png(images: np.ndarray) -> np.ndarray:
    """Encode images, as those of `encode_png`, without compression. Takes a seventh of the time.

    Returns:
        A file in each row, uint8 `(k, length)`.
    """
    start, end = _start(images), chunk(b"IEND", b"")
    lines = _lines(images)
    count, size = lines.shape
    head = start + struct.pack(">I", _stored_data_size(size)) + b"IDAT" + NO_COMPRESSION
    columns = [_repeat(head, count)]
    for first in range(0, size, STORED_BYTES):
        block = lines[:, first : first + STORED_BYTES]
        length = block.shape[1]
        is_last = first + length == size
        columns.append(_repeat(struct.pack("<BHH", is_last, length, length ^ 0xFFFF), count))
        columns.append(block)
    columns.append(_checksums(zlib_ng.adler32, lines))
    columns.append(_repeat(bytes(4) + end, count))
    files = np.hstack(columns)
    checked = files[:, len(start) + 4 : -DATA_END_SIZE]
    files[:, -DATA_END_SIZE : -len(end)] = _checksums(zlib_ng.crc32, checked)
    return files


def _repeat(content: bytes, count: int) -> np.ndarray:
    return np.broadcast_to(np.frombuffer(content, np.uint8), (count, len(content)))


def _checksums(function: Callable[[np.ndarray], int], rows: np.ndarray) -> np.ndarray:
    """The checksum of each row, big-endian, uint8 `(k, 4)`."""
    return np.array([function(row) for row in rows], ">u4").view(np.uint8).reshape(len(rows), 4)


def _start(images: np.ndarray) -> bytes:
    """What comes before the pixels."""
    rows, columns = images.shape[1:3]
    color_type = 0 if images.ndim == 3 else 2  # gray or RGB
    header = struct.pack(">IIBBBBB", columns, rows, 8, color_type, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header)


def _row_bytes(images: np.ndarray) -> int:
    return math.prod(images.shape[2:])


def _line_bytes(images: np.ndarray) -> int:
    """The bytes of an image, with those that name filters."""
    rows: int = images.shape[1]
    return rows * (1 + _row_bytes(images))


def _lines(images: np.ndarray) -> np.ndarray:
    """The pixels as PNG has them, `(k, bytes of an image)`.

    Each row stands after a byte that names its filter, 0 for none.
    """
    count, rows = images.shape[:2]
    pixels = images.reshape(count, rows, _row_bytes(images))
    lines = np.pad(pixels, ((0, 0), (0, 0), (1, 0)))
    return lines.reshape(count, rows * lines.shape[2])


def _difference_lines(images: np.ndarray) -> np.ndarray:
    """The same with the filter "Sub": each byte less that of the pixel on its left."""
    count, rows, *rest = images.shape
    pixels = images.reshape(count, rows, _row_bytes(images))
    step = 3 if len(rest) == 2 else 1  # bytes of a pixel
    lines = np.empty((count, rows, 1 + pixels.shape[2]), np.uint8)
    lines[:, :, 0] = SUB_FILTER
    lines[:, :, 1 : 1 + step] = pixels[:, :, :step]
    np.subtract(pixels[:, :, step:], pixels[:, :, :-step], out=lines[:, :, 1 + step :])
    return lines.reshape(count, rows * lines.shape[2])


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file, with its length and its checksum."""
    checksum = zlib_ng.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
