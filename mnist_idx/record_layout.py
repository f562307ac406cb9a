"""What the records of a dataset look like, and what of that can be loaded."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .errors import IdxError

MAX_ARRAY_DIMENSIONS = 5  # of an image: `datasets` has features for arrays of up to so many
NAME_THEM_TYPED = (
    "Name the files of each split: --data-files train=IMAGES --data-files train=LABELS."
)
MAX_SHOWN_NAMES = 5  # in a message
MAX_LISTS = 1 << 25  # Arrow keeps arrays as lists in lists, each of which takes four bytes.


def channel_axis(record_shape: tuple[int, ...]) -> int | None:
    """The axis of a record that holds the channels of a picture; None if there is none.

    It is of length 1 or 3, and the last one, as in IDX files of pictures, or else the first one, as
    in PyTorch. Where both could be, it is the last one.

    >>> channel_axis((28, 28, 3)), channel_axis((1, 28, 28)), channel_axis((28, 28))
    (2, 0, None)
    """
    if len(record_shape) != 3:
        return None
    for axis in (2, 0):
        if record_shape[axis] in (1, 3):
            return axis
    return None


def arrange_channels(images: np.ndarray) -> np.ndarray:
    """Images with their channels as pictures have them: last, and none if they are gray.

    (n, rows, cols, 1) and (n, 1, rows, cols) become (n, rows, cols), and (n, 3, rows, cols) becomes
    (n, rows, cols, 3); all others stay as they are. No pixel is copied.
    """
    axis = channel_axis(images.shape[1:])
    if axis is None:
        return images
    arranged = np.moveaxis(images, axis + 1, -1)
    return arranged[..., 0] if arranged.shape[-1] == 1 else arranged


class Layout(NamedTuple):
    """The shape, the element type and the labels of the records of a dataset."""

    shape: tuple[int, ...]  # of an image
    dtype: str  # element type of the images
    class_names: tuple[str, ...] | None = None  # None without labels, or if they are no classes
    label_parts: int = 1  # numbers per label, the first of which is the class
    label_dtype: str | None = None  # element type of labels that are no classes
    not_classes: str | None = None  # why labels that should be classes are none

    @property
    def has_labels(self) -> bool:
        return self.class_names is not None or self.label_dtype is not None

    @property
    def numbers_per_label(self) -> int:
        """How many numbers a label has: none without labels."""
        return self.label_parts if self.has_labels else 0

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
        has_channels = channel_axis(self.shape) is not None
        is_plane = len(self.shape) == 2 or has_channels
        return self.dtype == "uint8" and is_plane and 0 not in self.shape


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
        question = " Are these the labels?" if layout.shape == () else ""
        found = f"{found} {expected}.{question}"
        as_npz = "Write arrays: mnist-idx export SOURCE arrays.npz --as npz."
        raise IdxError(f"{found} Load arrays with as_array=True.", command_line=f"{found} {as_npz}")
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
    return IdxError(f"{found} {one_by_one}", command_line=f"{found} {NAME_THEM_TYPED}")


def find_wrong_class(labels: np.ndarray, num_classes: int) -> int | None:
    """The first of `labels` that is no class, None if all are.

    Args:
        labels: integers `(k,)`, or `(k, parts)` of which the first part is the class.
    """
    classes = labels if labels.ndim == 1 else labels[:, 0]
    wrong = np.flatnonzero((classes < 0) | (classes >= num_classes))
    return int(wrong[0]) if len(wrong) > 0 else None


def wrong_class(title: str, record: int, label: np.ndarray, class_names: Sequence[str]) -> IdxError:
    """The error of a label that is no class.

    Args:
        title: what errors call the file of labels.
        record: the number of the label in the file.
        label: integers `()` or `(parts,)`.
        class_names: the names of all classes.
    """
    number = int(label.reshape(-1)[0])
    count = len(class_names)
    found = f"{title}: record {record:,} has the label {number}, expected 0 to {count - 1}"
    if any(name != str(place) for place, name in enumerate(class_names)):
        found += f", the places of the names {_shown(class_names)}"
    if number == count:
        way_out = 'If labels start at 1, put an unused name first: label_names=["", …]'
    else:
        way_out = "Pass a name for each class in label_names="
    typed = "Name each class with --label-names, from 0 on"
    return IdxError(f"{found}. {way_out}.", command_line=f"{found}. {typed}.")


def _shown(names: Sequence[str]) -> str:
    """Names for a message, not too many."""
    shown = ", ".join(map(repr, names[:MAX_SHOWN_NAMES]))
    return f"{shown}, …" if len(names) > MAX_SHOWN_NAMES else shown


def not_classes(title: str, layout: Layout, as_array: bool) -> IdxError:
    """The error of integers that are no classes, with the features that load them.

    Args:
        title: what errors call the file of labels.
    """
    image = _image_feature(layout, as_array)
    columns = f'"image": {image}, "label": datasets.Value("int64")'
    num_details = layout.label_parts - 1
    if num_details > 0:
        columns += f', "label_details": {_list_feature("int64", num_details)}'
    found = f"{title}: {layout.not_classes}"
    way_out = f"For labels that are no classes, pass features=datasets.Features({{{columns}}})"
    return IdxError(f"{found}. {way_out}.", command_line=f"{found}.")


def _image_feature(layout: Layout, as_array: bool) -> str:
    """The feature of the images, as Python writes it."""
    if not as_array:
        return "datasets.Image()"
    if layout.shape == ():
        return f'datasets.Value("{layout.dtype}")'
    if len(layout.shape) == 1:
        return _list_feature(layout.dtype, layout.shape[0])
    return f'datasets.Array{len(layout.shape)}D({layout.shape}, "{layout.dtype}")'


def _list_feature(dtype: str, length: int) -> str:
    return f'datasets.Sequence(datasets.Value("{dtype}"), length={length})'
