"""Batches of records → columns of Arrow tables, and the features that describe them."""

import math
from collections.abc import Sequence

import datasets
import numpy as np
import pyarrow as pa

from .idx import IdxError

ARRAY_FEATURES = {2: datasets.Array2D, 3: datasets.Array3D, 4: datasets.Array4D, 5: datasets.Array5D}


def make_features(
    title: str, shape: tuple[int, ...], dtype: str, class_names: Sequence[str] | None, label_parts: int, as_array: bool
) -> datasets.Features:
    """The features of a dataset, whose images error messages call `title`. Without labels, `class_names` is None."""
    found = f"{title}: found {dtype} records of shape {shape}, expected"
    if len(shape) > max(ARRAY_FEATURES):
        raise IdxError(f"{found} at most five dimensions. Write the file again with fewer.")
    if not as_array and (dtype != "uint8" or not (len(shape) == 2 or shape[2:] == (3,)) or 0 in shape):
        raise IdxError(f"{found} uint8 of shape (rows, columns) or (rows, columns, 3). Load arrays with as_array=True.")
    image: object = datasets.Image()
    if as_array and len(shape) == 1:
        image = datasets.Sequence(datasets.Value(dtype), length=shape[0])
    elif as_array:
        image = ARRAY_FEATURES[len(shape)](shape, dtype)
    features = {"image": image}
    if class_names is not None:
        features["label"] = datasets.ClassLabel(names=list(map(str, class_names)))
    if class_names is not None and label_parts > 1:
        features["label_details"] = datasets.Sequence(datasets.Value("int64"), length=label_parts - 1)
    return datasets.Features(features)


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


def check_classes(labels: np.ndarray, feature: object, title: str, start: int) -> None:
    """Check that labels `(k,)`, or the first parts of `(k, parts)`, are classes. `start` is the number of the first."""
    num_classes = getattr(feature, "num_classes", None)
    classes = labels if labels.ndim == 1 else labels[:, 0]
    if num_classes is not None and len(wrong := np.flatnonzero((classes < 0) | (classes >= num_classes))):
        found = f"{title}: record {start + wrong[0]:,} has the label {classes[wrong[0]]}"
        raise IdxError(f"{found}, expected 0 to {num_classes - 1}. Fetch the file again, or pass more label_names=.")


def label_columns(labels: np.ndarray) -> dict[str, pa.Array]:
    """Labels `(k,)` or `(k, parts)` as columns."""
    classes, *details = labels.astype(np.int64).reshape(len(labels), math.prod(labels.shape[1:])).T
    columns = {"label": pa.array(classes)}
    if details:
        rest = pa.array(np.stack(details, axis=1).reshape(-1))
        columns["label_details"] = pa.FixedSizeListArray.from_arrays(rest, len(details))
    return columns
