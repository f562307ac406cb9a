"""Blocks of records as columns of Arrow tables, and the features that describe them."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import numpy as np
import pyarrow as pa

from .idx import IdxError

ARRAY_FEATURES = {2: datasets.Array2D, 3: datasets.Array3D, 4: datasets.Array4D, 5: datasets.Array5D}


def features_of(
    record_shape: tuple[int, ...], dtype: str, label_names: Sequence[str] | None, label_parts: int, as_array: bool
) -> datasets.Features:
    """The features of a data set.

    Args:
        record_shape: `(rows, columns)` or `(rows, columns, 3)`.
        dtype: element type of the images.
        label_names: names of the classes; None where there are no labels.
        label_parts: how many numbers a label is made of; the first is the class.
        as_array: whether the images are to be arrays.

    Raises:
        IdxError: such images cannot be had.
    """
    features: dict[str, object] = {"image": _image_feature(record_shape, dtype, as_array)}
    if label_names is not None:
        features["label"] = datasets.ClassLabel(names=list(label_names))
    if label_names is not None and label_parts > 1:
        features["label_details"] = datasets.Sequence(datasets.Value("int64"), length=label_parts - 1)
    return datasets.Features(features)


def _image_feature(record_shape: tuple[int, ...], dtype: str, as_array: bool) -> object:
    if as_array:
        if len(record_shape) not in ARRAY_FEATURES:
            raise IdxError(f"found records of shape {record_shape}, expected two to five dimensions for as_array=True.")
        return ARRAY_FEATURES[len(record_shape)](record_shape, dtype)
    if dtype != "uint8" or not (len(record_shape) == 2 or record_shape[2:] == (3,)) or 0 in record_shape:
        raise IdxError(
            f"found records of shape {record_shape} and type {dtype}, expected uint8 of shape (rows, columns) or "
            "(rows, columns, 3) for images. Pass as_array=True to load them as arrays."
        )
    return datasets.Image()


def png_column(files: list[bytes] | np.ndarray) -> pa.Array:
    """PNG files as a column of the feature `Image`; an array `(k, length)` of them is not copied."""
    if isinstance(files, np.ndarray):
        count, length = files.shape
        offsets = np.arange(count + 1, dtype=np.int32) * np.int32(length)
        content = pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(files)])
    else:
        content = pa.array(files, pa.binary())
    return pa.StructArray.from_arrays([content, pa.nulls(len(files), pa.string())], ["bytes", "path"])


def array_column(images: np.ndarray) -> pa.Array:
    """Images as a column of the feature `Array2D` or `Array3D`."""
    storage = pa.array(np.ascontiguousarray(images).reshape(-1))
    for axis in range(images.ndim - 1, 0, -1):
        count, size = int(np.prod(images.shape[:axis])), images.shape[axis]
        storage = pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * size, storage)
    feature = ARRAY_FEATURES[images.ndim - 1](images.shape[1:], str(images.dtype))
    return pa.ExtensionArray.from_storage(feature(), storage)


def classes_of(labels: np.ndarray, num_classes: int | None, name: str, start: int) -> np.ndarray:
    """The class of each record.

    Args:
        labels: whole numbers, `(k,)` or `(k, parts)`; the class is the first part.
        num_classes: how many classes there are; None if any number will do.
        name: what messages call the file.
        start: number of the first of these records.

    Raises:
        IdxError: a label is none of the classes.
    """
    classes = labels if labels.ndim == 1 else labels[:, 0]
    if num_classes is None:
        return classes
    wrong = np.flatnonzero((classes < 0) | (classes >= num_classes))
    if len(wrong):
        raise IdxError(
            f"{name}: record {start + wrong[0]:,} has the label {classes[wrong[0]]}, expected 0 to {num_classes - 1}. "
            "Pass label_names= with a name for each label, or fetch the file again if it should not have such a label."
        )
    return classes


def label_columns(labels: np.ndarray, num_classes: int | None, name: str, start: int) -> dict[str, pa.Array]:
    """Labels as columns; the arguments are those of `classes_of`."""
    columns = {"label": pa.array(classes_of(labels, num_classes, name, start).astype(np.int64))}
    if labels.ndim == 2 and labels.shape[1] > 1:
        rest = pa.array(np.ascontiguousarray(labels[:, 1:]).astype(np.int64).reshape(-1))
        columns["label_details"] = pa.FixedSizeListArray.from_arrays(rest, labels.shape[1] - 1)
    return columns
