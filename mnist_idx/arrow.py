"""Batches of records → columns of Arrow tables, and the features that describe them."""

from collections.abc import Sequence

import datasets
import numpy as np
import pyarrow as pa

from .idx import IdxError

ARRAY_FEATURES = {2: datasets.Array2D, 3: datasets.Array3D, 4: datasets.Array4D, 5: datasets.Array5D}


def make_features(
    title: str,
    record_shape: tuple[int, ...],
    dtype: str,
    class_names: Sequence[str] | None,
    label_parts: int,
    as_array: bool,
) -> datasets.Features:
    """The features of a dataset, whose images error messages call `title`. Without labels, `class_names` is None."""
    features: dict[str, object] = {"image": _image_feature(title, record_shape, dtype, as_array)}
    if class_names is not None:
        features["label"] = datasets.ClassLabel(names=list(class_names))
    if class_names is not None and label_parts > 1:
        features["label_details"] = datasets.Sequence(datasets.Value("int64"), length=label_parts - 1)
    return datasets.Features(features)


def _image_feature(title: str, record_shape: tuple[int, ...], dtype: str, as_array: bool) -> object:
    found = f"{title}: found {dtype} records of shape {record_shape}, expected"
    if len(record_shape) > max(ARRAY_FEATURES):
        raise IdxError(f"{found} at most five dimensions. Write the file again with fewer.")
    if as_array and len(record_shape) == 1:
        return datasets.Sequence(datasets.Value(dtype), length=record_shape[0])
    if as_array:
        return ARRAY_FEATURES[len(record_shape)](record_shape, dtype)
    if dtype != "uint8" or not (len(record_shape) == 2 or record_shape[2:] == (3,)) or 0 in record_shape:
        raise IdxError(
            f"{found} uint8 of shape (rows, columns) or (rows, columns, 3) for images. Pass as_array=True to load them "
            "as arrays."
        )
    return datasets.Image()


def png_column(files: list[bytes] | np.ndarray) -> pa.Array:
    """PNG files as a column of `Image`; uint8 `(k, length)` is not copied."""
    if isinstance(files, np.ndarray):
        count, length = files.shape
        offsets = np.arange(count + 1, dtype=np.int32) * np.int32(length)
        content = pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(files)])
    else:
        content = pa.array(files, pa.binary())
    return pa.StructArray.from_arrays([content, pa.nulls(len(files), pa.string())], ["bytes", "path"])


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


def check_classes(labels: np.ndarray, num_classes: int | None, title: str, start: int) -> np.ndarray:
    """The class of each record: labels `(k,)`, or the first part of `(k, parts)`.

    One that is not in `range(num_classes)` is an error that names the record; `start` is the number of the first one.
    """
    classes = labels if labels.ndim == 1 else labels[:, 0]
    if num_classes is None:
        return classes
    wrong = np.flatnonzero((classes < 0) | (classes >= num_classes))
    if len(wrong):
        raise IdxError(
            f"{title}: record {start + wrong[0]:,} has the label {classes[wrong[0]]}, expected 0 to {num_classes - 1}. "
            "Pass label_names= with a name for each label, or fetch the file again if it should not have such a label."
        )
    return classes


def label_columns(labels: np.ndarray, num_classes: int | None, title: str, start: int) -> dict[str, pa.Array]:
    """Labels as columns, checked as in `check_classes`."""
    columns = {"label": pa.array(check_classes(labels, num_classes, title, start).astype(np.int64))}
    if labels.ndim == 2 and labels.shape[1] > 1:
        rest = pa.array(np.ascontiguousarray(labels[:, 1:]).astype(np.int64).reshape(-1))
        columns["label_details"] = pa.FixedSizeListArray.from_arrays(rest, labels.shape[1] - 1)
    return columns
