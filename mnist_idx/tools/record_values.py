"""The values of images and labels, in types that IDX has."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import IdxError

INTEGER_TYPES = ("uint8", "int8", "int16", "int32")  # the narrowest first


class UnlabeledSplit(IdxError):
    """No record of a split has a label, though there is a column of labels.

    So are tables of several splits loaded, if only some of them have that column.

    Attributes:
        title: of the split.
    """

    title: str | None = None


class Records(NamedTuple):
    """Consecutive records, and their labels, if the split has any."""

    images: np.ndarray  # (n, …)
    labels: np.ndarray | None  # int32, (n,) or (n, parts)


def narrowest(values: np.ndarray) -> np.ndarray:
    """Integers in the narrowest type that holds them all: bytes if possible, as in MNIST.

    Raises:
        OverflowError: no type of IDX holds them.
    """
    low, high = values.min(initial=0), values.max(initial=0)
    for name in INTEGER_TYPES:
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return values.astype(name)
    raise OverflowError(f"integers from {low} to {high} fit no type of IDX")


def narrow_images(images: np.ndarray, title: str) -> np.ndarray:
    """Images of a type that IDX has, where they come as booleans or as int64.

    Python and NumPy make int64 of any integers, so that it says nothing of the values.

    Raises:
        IdxError: the values are too large.
    """
    if images.dtype == bool:
        return images.view(np.uint8)
    if images.dtype != np.int64:
        return images
    try:
        return narrowest(images)
    except OverflowError as error:
        raise IdxError(f"{title}: {error}. Convert the array.") from error


def to_bytes(images: np.ndarray, first: int, title: str) -> np.ndarray:
    """Integers (n, …), of which only some records are known yet, as uint8.

    Args:
        first: the number of the first record.

    Raises:
        IdxError: one is no byte. Its record is named.
    """
    is_wrong = (images < 0) | (images > 255)
    if is_wrong.any():
        place = int(np.argwhere(is_wrong)[0][0])
        value = images[is_wrong][0]
        found = f"{title}, record {first + place} has a pixel of {value}, expected 0 to 255"
        way_out = 'For others, pass arrays that have a type: np.array(images, "int32").'
        raise IdxError(f"{found}. {way_out}")
    return images.astype(np.uint8)


def join_parts(parts: Sequence[np.ndarray]) -> np.ndarray | None:
    """Labels, each of which has these parts. None without parts."""
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    return np.column_stack(parts)


def to_labels(values: "Sequence[object] | np.ndarray", first: int, title: str) -> np.ndarray:
    """Labels as int32, (n,) or (n, parts). `first` is the number of the first record.

    Raises:
        IdxError: one is no integer, or has another number of parts. It is named.
    """
    labels = _as_int32(values)
    if labels is None:
        place = _first_bad_label(values)
        found = f"{title}, record {first + place} has the label {values[place]}"
        expected = "expected integers of at most 32 bits, as many as other records have"
        way_out = "Filter records without a label out; class_encode_column(…) numbers names."
        raise IdxError(f"{found}, {expected}. {way_out}")
    return labels


def _as_int32(values: "Sequence[object] | np.ndarray") -> np.ndarray | None:
    """Values as int32, None if they are no such integers."""
    try:
        labels = np.asarray(values)
    except ValueError:  # lists of different lengths
        return None
    if labels.ndim > 2 or labels.shape[1:] == (0,):
        return None
    if len(labels) == 0:
        return labels.astype(np.int32)
    if labels.dtype.kind not in "biu":
        return None
    narrow = labels.astype(np.int32)
    return narrow if np.array_equal(narrow, labels) else None


def _first_bad_label(values: "Sequence[object] | np.ndarray") -> int:
    """The place of the first label that is bad by itself; 0 if they only do not fit together."""
    for place in range(len(values)):
        if _as_int32(values[place : place + 1]) is None:
            return place
    return 0
