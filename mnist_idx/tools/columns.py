"""Which columns of a dataset hold images and labels, and what their features tell."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import IdxError
from .dataset_types import is_class_label, is_image

LABEL_NAMES = ("label", "labels")  # of columns that need not declare classes


class Columns(NamedTuple):
    """The names of the columns to write."""

    image: str
    labels: tuple[str, ...]  # one for each part of a label; none if there are no labels


def choose_columns(
    features: Mapping[str, object],
    image_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    title: str = "dataset",
) -> Columns:
    """Choose the column of images and those of labels, unless they are named.

    Images are the only column of pictures, else the only one of arrays. Labels are the only column
    of classes, else the one that is called `label` or `labels`; there need not be any.

    Args:
        features: of the dataset, by the name of their column.
        title: of the dataset, for the error.

    Raises:
        IdxError: a named column is missing, or there is not one column to choose.
    """
    named_labels = _as_names(label_column)
    images = [image_column] if image_column else _image_columns(features)
    labels = named_labels or _label_columns(features)
    is_one_image = len(images) == 1
    is_one_label = len(labels) <= 1 or bool(named_labels)
    if not is_one_image or not is_one_label or not {*images, *labels} <= set(features):
        found = f"{title}: found the columns {', '.join(features) or '(none)'}"
        expected = "expected one column of images and at most one of classes"
        advice = f"{found}, {expected}. Name them with"
        raise IdxError(
            f"{advice} image_column=… and label_column=….",
            command_line=f"{advice} --image-column and --label-column.",
        )
    return Columns(images[0], tuple(labels))


def _as_names(label_column: str | Sequence[str] | None) -> list[str]:
    if not label_column:
        return []
    if isinstance(label_column, str):
        return [label_column]
    return list(label_column)


def _image_columns(features: Mapping[str, object]) -> list[str]:
    pictures = [name for name, feature in features.items() if is_image(feature)]
    if pictures:
        return pictures
    return [name for name, feature in features.items() if _is_array(feature)]


def _label_columns(features: Mapping[str, object]) -> list[str]:
    classes = [name for name, feature in features.items() if is_class_label(feature)]
    if classes:
        return classes
    return [name for name in LABEL_NAMES if name in features]


def _is_array(feature: object) -> bool:
    return type(feature).__name__.startswith("Array")  # Array2D to Array5D


def element_type(feature: object) -> str | None:
    """The element type of a column of arrays, or of lists of numbers; None if it has none."""
    inner = getattr(feature, "feature", None)
    while inner is not None:
        feature = inner
        inner = getattr(feature, "feature", None)
    dtype = getattr(feature, "dtype", None)
    return dtype if isinstance(dtype, str) else None


def empty_shape(feature: object) -> tuple[int, ...]:
    """The shape of the records of a column without records, as far as its feature tells."""
    shape = getattr(feature, "shape", None)
    if shape is not None:
        return tuple(shape)
    length = getattr(feature, "length", None)
    if length is not None and length > 0:
        return (length,)
    return (0, 0)
