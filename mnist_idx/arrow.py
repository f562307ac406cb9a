"""Batches of records → columns of Arrow tables, and the features that describe them."""

import math
from collections.abc import Callable

import datasets
import numpy as np
import pyarrow as pa

from .errors import IdxError
from .png import encode_png, store_png
from .record_layout import Layout, arrange_channels
from .records import Batch

ARRAY_FEATURES = {
    2: datasets.Array2D,
    3: datasets.Array3D,
    4: datasets.Array4D,
    5: datasets.Array5D,
}
LABEL_TYPES = ("float32", "float64", "string", "large_string")  # beside all integers
WAY_OUT = "Leave out features=, or correct them."


def make_features(layout: Layout, as_array: bool) -> datasets.Features:
    """The features of records: `image`, and `label` and `label_details` if there are some."""
    features: dict[str, object] = {
        "image": _array_feature(layout) if as_array else datasets.Image(),
    }
    if layout.label_dtype is not None:
        number = datasets.Value(layout.label_dtype)
        is_number = layout.label_parts == 1
        features["label"] = (
            number if is_number else datasets.Sequence(number, length=layout.label_parts)
        )
    if layout.class_names is not None:
        features["label"] = datasets.ClassLabel(names=list(layout.class_names))
        num_details = layout.label_parts - 1
        if num_details > 0:
            details = datasets.Sequence(datasets.Value("int64"), length=num_details)
            features["label_details"] = details
    return datasets.Features(features)  # type: ignore[arg-type]  # It takes any mapping.


def _array_feature(layout: Layout) -> object:
    if layout.shape == ():
        return datasets.Value(layout.dtype)
    if len(layout.shape) == 1:
        return datasets.Sequence(datasets.Value(layout.dtype), length=layout.shape[0])
    return ARRAY_FEATURES[len(layout.shape)](layout.shape, layout.dtype)


def check_features(given: datasets.Features, found: datasets.Features, title: str) -> None:
    """Check that features which the user gives fit those that were found in the files.

    The names and the type of labels may differ, as may how images are decoded.

    Raises:
        IdxError: a column is missing, or of another type.
    """
    if set(given) != set(found):
        columns = f"features= has the columns {', '.join(given)}"
        raise IdxError(f"{title}: {columns}, expected {', '.join(found)}. {WAY_OUT}")
    for name, feature in found.items():
        if not _fits(given[name], feature, is_label=name == "label"):
            expected = f"{feature}{_shape_of_list(feature)}"
            has = f"features= has {given[name]} as {name!r}"
            raise IdxError(f"{title}: {has}, expected {expected}. {WAY_OUT}")


def _fits(given: object, found: object, is_label: bool) -> bool:
    if is_label and _can_be_label(given):
        return True
    if isinstance(found, datasets.Image) and isinstance(given, datasets.Image):
        return True
    return given == found


def _shape_of_list(feature: object) -> str:
    """The shape of a feature of lists, which does not show it itself."""
    length = getattr(feature, "length", None)
    return f", of shape ({length},)" if length is not None and length > 0 else ""


def _can_be_label(feature: object) -> bool:
    """Whether a feature holds labels without loss, or refuses those that it cannot hold."""
    if isinstance(feature, datasets.Value):
        return feature.dtype.startswith(("int", "uint")) or feature.dtype in LABEL_TYPES
    return isinstance(feature, datasets.ClassLabel)


def make_table(
    batch: Batch,
    schema: pa.Schema,
    compress: bool,
    title: str,
    record_at: Callable[[int], int] = int,
) -> pa.Table:
    """A batch as a table.

    Args:
        schema: of the features, with its metadata: without it, `datasets` does not know them again.
        compress: whether images are compressed, where they are `Image`.
        title: what error messages call the labels.
        record_at: the number in the file of a record of the batch.

    Raises:
        IdxError: labels do not fit the features.
    """
    if pa.types.is_struct(schema.field("image").type):
        columns = {"image": png_column(arrange_channels(batch.images), compress)}
    else:
        columns = {"image": array_column(batch.images)}
    if batch.labels is not None:
        columns |= label_columns(batch.labels)
    arrays = []
    for field in schema:
        column = columns[field.name]
        try:
            arrays.append(_cast(column, field.type))
        except pa.ArrowInvalid as error:
            record = record_at(_first_misfit(column, field.type))
            found = f"record {record:,} has a label that does not fit the features: {error}"
            raise IdxError(f"{title}: {found}. Correct features=.") from error
    return pa.Table.from_arrays(arrays, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind else column.cast(kind)


def _first_misfit(column: pa.Array, kind: pa.DataType) -> int:
    """The index of the first value of a column that cannot become one of another type."""
    for index in range(len(column)):
        try:
            column.slice(index, 1).cast(kind)
        except pa.ArrowInvalid:
            return index
    raise AssertionError("one of the values does not fit")


def png_column(images: np.ndarray, compress: bool) -> pa.Array:
    """Images, uint8 `(k, rows, columns)` or `(k, rows, columns, 3)`, as a column of `Image`."""
    if compress:
        content = pa.array(encode_png(images), pa.binary())
    else:
        files = store_png(images)
        content = _binary_column(files)
    paths = pa.nulls(len(content), pa.string())
    return pa.StructArray.from_arrays([content, paths], ["bytes", "path"])


def _binary_column(rows: np.ndarray) -> pa.Array:
    """Rows of bytes, uint8 `(k, length)`, as a column. They are not copied."""
    count, length = rows.shape
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(length)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(rows)]
    return pa.Array.from_buffers(pa.binary(), count, buffers)


def array_column(images: np.ndarray) -> pa.Array:
    """Images `(k, *record_shape)` as a column of arrays."""
    storage = pa.array(np.ascontiguousarray(images).reshape(-1))
    if images.ndim == 1:
        return storage
    if images.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(storage, images.shape[1])
    for axis in range(images.ndim - 1, 0, -1):
        num_lists = math.prod(images.shape[:axis])
        offsets = np.arange(num_lists + 1, dtype=np.int32) * images.shape[axis]
        storage = pa.ListArray.from_arrays(offsets, storage)
    feature = ARRAY_FEATURES[images.ndim - 1](images.shape[1:], str(images.dtype))
    return pa.ExtensionArray.from_storage(feature(), storage)


def label_columns(labels: np.ndarray) -> dict[str, pa.Array]:
    """Labels `(k,)` or `(k, parts)` as columns. Of integers, the first part is the class."""
    if labels.dtype.kind == "f":
        return {"label": array_column(labels)}
    parts = labels.astype(np.int64).reshape(len(labels), math.prod(labels.shape[1:]))
    columns = {"label": pa.array(parts[:, 0])}
    num_details = parts.shape[1] - 1
    if num_details > 0:
        details = pa.array(parts[:, 1:].reshape(-1))
        columns["label_details"] = pa.FixedSizeListArray.from_arrays(details, num_details)
    return columns
