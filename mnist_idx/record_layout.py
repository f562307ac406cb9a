"""What the records of a dataset look like, and what of that can be loaded."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .errors import IdxError

MAX_ARRAY_DIMENSIONS = 5  # of an image: `datasets` has features for arrays of up to so many
NAME_THEM_ALIKE = "Name the files as MNIST's, or move each split to a folder of its own."
MAX_LISTS = 1 << 25  # Arrow keeps arrays as lists in lists, each of which takes four bytes.


class Layout(NamedTuple):
    """The shape, the element type and the labels of the records of a dataset."""

    shape: tuple[int, ...]  # of an image
    dtype: str  # element type of the images
    class_names: tuple[str, ...] | None = None  # None without labels
    label_parts: int = 1  # numbers per label, the first of which is the class

    @property
    def numbers_per_label(self) -> int:
        """How many numbers a label has: none without labels."""
        return 0 if self.class_names is None else self.label_parts

    @property
    def num_lists(self) -> int:
        """How many lists Arrow makes of an image."""
        return sum(math.prod(self.shape[:axis]) for axis in range(1, len(self.shape)))

    def transposed(self) -> "Layout":
        """The layout with rows and columns of the images exchanged."""
        if len(self.shape) < 2:
            return self
        rows, columns, *rest = self.shape
        return self._replace(shape=(columns, rows, *rest))

    @property
    def is_picture(self) -> bool:
        """Whether the images can be loaded as pictures, gray or RGB."""
        is_gray = len(self.shape) == 2
        is_rgb = len(self.shape) == 3 and self.shape[2] == 3
        return self.dtype == "uint8" and (is_gray or is_rgb) and 0 not in self.shape


def common_layout(
    layouts: Mapping[str, Layout], titles: Mapping[str, str], as_array: bool
) -> Layout:
    """The layout that all splits of a dataset have.

    Args:
        layouts: of the splits, by their names.
        titles: what errors call the images of each split.
        as_array: whether images are loaded as arrays, not as pictures. Pictures may have
            different sizes.

    Raises:
        IdxError: splits differ, or their images cannot be loaded.
    """
    for name, layout in layouts.items():
        _check_loadable(layout, titles[name], as_array)
    _check_same_labels(layouts, titles)
    first_split, expected = next(iter(layouts.items()))
    for name, layout in layouts.items():
        is_same = (layout.shape, layout.dtype) == (expected.shape, expected.dtype)
        if as_array and not is_same:
            found = f"{titles[name]}: found {layout.dtype} records of shape {layout.shape}"
            wanted = f"{expected.dtype} of shape {expected.shape} as in {titles[first_split]}"
            raise _different_splits(f"{found}, expected {wanted}.")
    return expected


def _check_loadable(layout: Layout, title: str, as_array: bool) -> None:
    found = f"{title}: found {layout.dtype} records of shape {layout.shape}, expected"
    if len(layout.shape) > MAX_ARRAY_DIMENSIONS:
        raise IdxError(f"{found} at most five dimensions. Write the file again with fewer.")
    if not as_array and not layout.is_picture:
        expected = "uint8 of shape (rows, columns) or (rows, columns, 3)"
        raise IdxError(
            f"{found} {expected}. Load arrays with as_array=True.",
            command_line=f"{found} {expected}. "
            "Write arrays: mnist-idx export SOURCE arrays.npz --as npz.",
        )
    if as_array and layout.num_lists > MAX_LISTS:
        expected = f"at most {MAX_LISTS:,} rows in a record"
        raise IdxError(f"{found} {expected}. Write the file again with fewer dimensions.")


def _check_same_labels(layouts: Mapping[str, Layout], titles: Mapping[str, str]) -> None:
    numbers = {name: layout.numbers_per_label for name, layout in layouts.items()}
    if len(set(numbers.values())) == 1:
        return
    listed = ", ".join(f"{number} in {name!r}" for name, number in numbers.items())
    title = next(iter(titles.values()))
    raise _different_splits(f"{title}: found splits with different numbers per label: {listed}.")


def _different_splits(found: str) -> IdxError:
    one_by_one = 'Load the splits one by one: data_files={"train": …}.'
    return IdxError(f"{found} {one_by_one}", command_line=f"{found} {NAME_THEM_ALIKE}")


def find_wrong_class(labels: np.ndarray, num_classes: int) -> int | None:
    """The first of `labels` that is no class, None if all are.

    Args:
        labels: integers `(k,)`, or `(k, parts)` of which the first part is the class.
    """
    classes = labels if labels.ndim == 1 else labels[:, 0]
    wrong = np.flatnonzero((classes < 0) | (classes >= num_classes))
    return int(wrong[0]) if len(wrong) > 0 else None


def wrong_class(title: str, record: int, label: np.ndarray, num_classes: int) -> IdxError:
    """The error of a label that is no class.

    Args:
        title: what errors call the file of labels.
        record: the number of the label in the file.
        label: integers `()` or `(parts,)`.
    """
    found = f"{title}: record {record:,} has the label {label.reshape(-1)[0]}"
    advice = f"{found}, expected 0 to {num_classes - 1}. Fetch the file again"
    return IdxError(f"{advice}, or pass more label_names=.", command_line=f"{advice}.")
