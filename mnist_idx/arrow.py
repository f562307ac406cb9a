"""Batches of records → columns of Arrow tables, images as PNG files or arrays, and the features
that describe them.
"""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from zlib_ng import zlib_ng

from .errors import IdxError
from .records import Batch

ARRAY_FEATURES = {
    2: datasets.Array2D,
    3: datasets.Array3D,
    4: datasets.Array4D,
    5: datasets.Array5D,
}
MAX_LISTS = 1 << 25  # Arrow keeps arrays as lists in lists, each of which takes four bytes.
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_LEVEL = 1  # costs a third of the time of level 2 for 5 % more bytes
SMALL_WINDOW = 10
LARGE_WINDOW = 15
STORED_BYTES = (1 << 16) - 1  # most that deflate stores in one block


def make_features(
    title: str,
    shape: tuple[int, ...],
    dtype: str,
    class_names: Sequence[str] | None,
    label_parts: int,
    as_array: bool,
) -> datasets.Features:
    """The features of a dataset, whose images error messages call `title`.

    Without labels, `class_names` is None.
    """
    found = f"{title}: found {dtype} records of shape {shape}, expected"
    if len(shape) > max(ARRAY_FEATURES):
        raise IdxError(f"{found} at most five dimensions. Write the file again with fewer.")
    lists = sum(math.prod(shape[:axis]) for axis in range(1, len(shape)))
    if as_array and lists > MAX_LISTS:
        raise IdxError(
            f"{found} at most {MAX_LISTS:,} rows in a record. Write the file again with fewer dimensions."
        )
    if not as_array and (
        dtype != "uint8" or not (len(shape) == 2 or shape[2:] == (3,)) or 0 in shape
    ):
        raise IdxError(
            f"{found} uint8 of shape (rows, columns) or (rows, columns, 3). Load arrays with as_array=True."
        )
    image: object = datasets.Image()
    if as_array and len(shape) == 1:
        image = datasets.Sequence(datasets.Value(dtype), length=shape[0])
    elif as_array:
        image = ARRAY_FEATURES[len(shape)](shape, dtype)
    features = {"image": image}
    if class_names is not None:
        features["label"] = datasets.ClassLabel(names=list(map(str, class_names)))
    if class_names is not None and label_parts > 1:
        features["label_details"] = datasets.Sequence(
            datasets.Value("int64"), length=label_parts - 1
        )
    return datasets.Features(features)


def check_features(given: datasets.Features, found: datasets.Features, title: str) -> None:
    """Check that features which the user gives fit those that were found in the files.

    The names and the type of labels may differ, as may how images are decoded.
    """
    way_out = "Leave out features=, or correct them."
    if set(given) != set(found):
        columns = ", ".join(given), ", ".join(found)
        raise IdxError(
            f"{title}: features= has the columns {columns[0]}, expected {columns[1]}. {way_out}"
        )
    for name, feature in found.items():
        is_label = name == "label" and _can_be_label(given[name])
        is_picture = isinstance(feature, datasets.Image) and isinstance(given[name], datasets.Image)
        if not (is_label or is_picture or given[name] == feature):
            length = getattr(feature, "length", -1)
            shape = f", of shape ({length},)" if length > 0 else ""
            raise IdxError(
                f"{title}: features= has {given[name]} as {name!r}, expected {feature}{shape}. {way_out}"
            )


def _can_be_label(feature: object) -> bool:
    """Whether a feature holds labels without loss, or refuses those that it cannot hold."""
    if isinstance(feature, datasets.Value):
        kind = feature.dtype
        return kind.startswith(("int", "uint")) or kind in (
            "float32",
            "float64",
            "string",
            "large_string",
        )
    return isinstance(feature, datasets.ClassLabel)


def make_table(batch: Batch, schema: pa.Schema, compress: bool, title: str) -> pa.Table:
    """A batch as a table.

    Args:
        schema: of the features, with its metadata: without it, `datasets` does not know them again.
        compress: whether images are compressed, where they are `Image`.
        title: what error messages call the labels.
    """
    is_array = isinstance(
        schema.field("image").type, pa.BaseExtensionType | pa.FixedSizeListType | pa.ListType
    )
    columns = {
        "image": array_column(batch.images) if is_array else png_column(batch.images, compress)
    }
    if batch.labels is not None:
        columns |= label_columns(batch.labels)
    try:
        arrays = [_cast(columns[field.name], field.type) for field in schema]
    except pa.ArrowInvalid as error:
        raise IdxError(
            f"{title}: the labels do not fit the features: {error}. Correct features=."
        ) from error
    return pa.Table.from_arrays(arrays, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind else column.cast(kind)


def png_column(images: np.ndarray, compress: bool) -> pa.Array:
    """Images, uint8 `(k, rows, columns)` or `(k, rows, columns, 3)`, as a column of `Image`."""
    if compress:
        content = pa.array(encode_png(images), pa.binary())
    else:  # not copied
        files = store_png(images)
        offsets = np.arange(len(files) + 1, dtype=np.int32) * np.int32(files.shape[1])
        content = pa.Array.from_buffers(
            pa.binary(), len(files), [None, pa.py_buffer(offsets), pa.py_buffer(files)]
        )
    return pa.StructArray.from_arrays(
        [content, pa.nulls(len(content), pa.string())], ["bytes", "path"]
    )


def array_column(images: np.ndarray) -> pa.Array:
    """Images `(k, *record_shape)` as a column of arrays."""
    storage = pa.array(np.ascontiguousarray(images).reshape(-1))
    if images.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(storage, images.shape[1])
    for axis in range(images.ndim - 1, 0, -1):
        count, size = int(np.prod(images.shape[:axis])), images.shape[axis]
        storage = pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * size, storage)
    feature = ARRAY_FEATURES[images.ndim - 1](images.shape[1:], str(images.dtype))
    return pa.ExtensionArray.from_storage(feature(), storage)


def check_classes(labels: np.ndarray, feature: object, title: str, start: int) -> None:
    """Check that labels `(k,)`, or the first parts of `(k, parts)`, are classes.

    `start` is the number of the first.
    """
    num_classes = getattr(feature, "num_classes", None)
    classes = labels if labels.ndim == 1 else labels[:, 0]
    if num_classes is not None and len(
        wrong := np.flatnonzero((classes < 0) | (classes >= num_classes))
    ):
        found = f"{title}: record {start + wrong[0]:,} has the label {classes[wrong[0]]}"
        advice = f"{found}, expected 0 to {num_classes - 1}. Fetch the file again"
        raise IdxError(f"{advice}, or pass more label_names=.", command_line=f"{advice}.")


def label_columns(labels: np.ndarray) -> dict[str, pa.Array]:
    """Labels `(k,)` or `(k, parts)` as columns."""
    parts = labels.astype(np.int64).reshape(len(labels), math.prod(labels.shape[1:]))
    columns = {"label": pa.array(parts[:, 0])}
    num_details = parts.shape[1] - 1
    if num_details > 0:
        details = pa.array(parts[:, 1:].reshape(-1))
        columns["label_details"] = pa.FixedSizeListArray.from_arrays(details, num_details)
    return columns


def encode_png(images: np.ndarray) -> list[bytes]:
    """Encode images, uint8 `(k, rows, columns)` or `(k, rows, columns, 3)` without empty
    dimensions, as PNG files.
    """
    start, lines, end = _png_start(images), _png_lines(images), _png_chunk(b"IEND", b"")
    # Setting up a window costs more than filling it with a small image.
    window = SMALL_WINDOW if lines.shape[1] <= 1 << SMALL_WINDOW else LARGE_WINDOW
    compress, crc32, pack = zlib_ng.compress, zlib_ng.crc32, struct.Struct(">I").pack
    files = []
    for line in lines:
        data = b"IDAT" + compress(line, PNG_LEVEL, window)
        files.append(b"".join((start, pack(len(data) - 4), data, pack(crc32(data)), end)))
    return files


def store_png(images: np.ndarray) -> np.ndarray:
    """Encode images as PNG files without compression, uint8 `(k, length)`.

    It takes a seventh of the time.
    """
    start, lines, end = _png_start(images), _png_lines(images), _png_chunk(b"IEND", b"")
    count, size = lines.shape
    num_blocks = math.ceil(size / STORED_BYTES)
    head = start + struct.pack(">I4s2s", 2 + 5 * num_blocks + size + 4, b"IDAT", b"\x78\x01")
    columns = [_repeat(head, count)]
    for first in range(0, size, STORED_BYTES):
        block = lines[:, first : first + STORED_BYTES]
        length = block.shape[1]
        columns += [
            _repeat(struct.pack("<BHH", first + length == size, length, length ^ 0xFFFF), count),
            block,
        ]
    columns += [_checksums(zlib_ng.adler32, lines), _repeat(bytes(4) + end, count)]
    files = np.hstack(columns)
    files[:, -16:-12] = _checksums(zlib_ng.crc32, files[:, len(start) + 4 : -16])
    return files


def _repeat(content: bytes, count: int) -> np.ndarray:
    return np.broadcast_to(np.frombuffer(content, np.uint8), (count, len(content)))


def _checksums(function: Callable[[Any], int], rows: np.ndarray) -> np.ndarray:
    """The checksum of each row, big-endian, uint8 `(k, 4)`."""
    return np.array([function(row) for row in rows], ">u4").view(np.uint8).reshape(len(rows), 4)


def _png_start(images: np.ndarray) -> bytes:
    """What comes before the pixels."""
    rows, columns = images.shape[1:3]
    color_type = 0 if images.ndim == 3 else 2  # gray or RGB
    return PNG_SIGNATURE + _png_chunk(
        b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, color_type, 0, 0, 0)
    )


def _png_lines(images: np.ndarray) -> np.ndarray:
    """The pixels as PNG has them, `(k, bytes of an image)`: each row after a byte that names its
    filter, 0 for none.
    """
    count, rows, *rest = images.shape
    lines = np.pad(images.reshape(count, rows, math.prod(rest)), ((0, 0), (0, 0), (1, 0)))
    return lines.reshape(count, rows * lines.shape[2])


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib_ng.crc32(kind + content))
    )
