"""Which columns of a dataset hold images and labels, and what their features tell."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..errors import IdxError, listed_names
from .dataset_types import is_class_label, is_image

LABEL_NAMES = ("label", "labels")  # of columns that need not declare classes
# Of a table with a column for each pixel, as on Kaggle: `pixel0` or `28x28`.
PIXEL_NAME = re.compile(r"(pixel|px)[ _-]?[0-9]+|[0-9]+x[0-9]+", re.IGNORECASE)
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)*")


class Separator(NamedTuple):
    """What stands between the values of a table instead of commas."""

    character: str
    typed: str  # as in a program or a shell
    plural: str


OTHER_SEPARATORS = (Separator(";", ";", "semicolons"), Separator("\t", r"\t", "tabs"))


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

    Images are the only column of pictures, else the only one of arrays, else the only one of lists
    in lists. Labels are chosen by `choose_labels`.

    Args:
        features: of the dataset, by the name of their column.
        title: of the dataset, for the error.

    Raises:
        IdxError: a named column is missing, or there is not one column to choose.
    """
    images = [image_column] if image_column else _image_columns(features)
    if len(images) != 1 or images[0] not in features:
        raise _not_one_column(features, title)
    others = {name: feature for name, feature in features.items() if name != images[0]}
    return Columns(images[0], choose_labels(others, label_column, title, features))


def choose_labels(
    features: Mapping[str, object],
    label_column: str | Sequence[str] | None,
    title: str,
    listed: Collection[str],
) -> tuple[str, ...]:
    """Choose the columns of labels, unless they are named. There need not be any.

    They are the only column of classes, else the one that is called `label` or `labels`, else the
    only one of integers.

    Args:
        features: of the columns that may be labels.
        listed: the columns that the error lists.

    Raises:
        IdxError: a named column is missing, or there are several to choose from.
    """
    if label_column is None:
        labels = _label_columns(features)
        is_clear = len(labels) <= 1
    else:
        labels = _as_names(label_column)
        is_clear = set(labels) <= set(listed)
    if not is_clear:
        raise _not_one_column(listed, title)
    return tuple(labels)


def _not_one_column(names: Collection[str], title: str) -> IdxError:
    found = f"{title}: found the columns {listed_names(list(names)) if names else '(none)'}"
    separator = _other_separator(names)
    if separator is not None:
        found = f"{title}: found one column, whose name has {separator.plural} in it"
        advice = f"The file seems to be separated by {separator.plural}, not by commas"
        command = f"tr '{separator.typed}' ',' < FILE > commas.csv"
        return IdxError(
            f'{found}. {advice}: load_dataset("csv", data_files=…, sep="{separator.typed}").',
            command_line=f"{found}. {advice}. Replace them: {command}",
        )
    expected = "expected one column of images and at most one of classes or of integers"
    advice = f"{found}, {expected}. Name them with"
    return IdxError(
        f"{advice} image_column=… and label_column=….",
        command_line=f"{advice} --image-column and --label-column.",
    )


def _other_separator(names: Collection[str]) -> Separator | None:
    """What separates the columns of a table that was read as one column; None if it is one."""
    if len(names) != 1:
        return None
    (name,) = names
    return other_separator(name)


def other_separator(line: str) -> Separator | None:
    """What separates the names in the first line of a table, if it is no comma.

    >>> other_separator("label;pixel0;pixel1").plural, other_separator("label,a;b")
    ('semicolons', None)
    """
    if "," in line:
        return None
    for separator in OTHER_SEPARATORS:
        if separator.character in line:
            return separator
    return None


def _as_names(label_column: str | Sequence[str]) -> list[str]:
    names = [label_column] if isinstance(label_column, str) else list(label_column)
    return [name for name in names if name]


def _image_columns(features: Mapping[str, object]) -> list[str]:
    for is_wanted in (is_image, _is_array, _is_list_in_list):
        found = [name for name, feature in features.items() if is_wanted(feature)]
        if found:
            return found
    return []


def _label_columns(features: Mapping[str, object]) -> list[str]:
    classes = [name for name, feature in features.items() if is_class_label(feature)]
    if classes:
        return classes
    named = [name for name in LABEL_NAMES if name in features]
    if named:
        return named
    return [name for name, feature in features.items() if is_integer(feature)]


def _is_array(feature: object) -> bool:
    return type(feature).__name__.startswith("Array")  # Array2D to Array5D


def _is_list_in_list(feature: object) -> bool:
    inner = _items_of(feature)
    return inner is not None and _items_of(inner) is not None


def _items_of(feature: object) -> object | None:
    """The feature of the items of a list; None if it is no list."""
    return getattr(feature, "feature", None)


def is_integer(feature: object) -> bool:
    """Whether a column holds plain integers."""
    dtype = getattr(feature, "dtype", None)
    is_value = type(feature).__name__ == "Value"
    return is_value and isinstance(dtype, str) and dtype.startswith(("int", "uint"))


def pixel_columns(features: Mapping[str, object]) -> list[str]:
    """The columns of a table that has one for each pixel; none if it is no such table."""
    if _image_columns(features):
        return []
    return [name for name in features if PIXEL_NAME.fullmatch(name)]


def has_no_header(names: Collection[str]) -> bool:
    """Whether the names of columns are numbers: the first record of a file without a header."""
    return len(names) > 1 and all(NUMBER.fullmatch(name) for name in names)


def element_type(feature: object) -> str | None:
    """The element type of a column of arrays, or of lists of numbers; None if it has none."""
    dtype = getattr(_innermost(feature), "dtype", None)
    return dtype if isinstance(dtype, str) else None


def is_stored_plainly(feature: object) -> bool:
    """Whether a `Dataset` stores the values of a column as it yields them, apart from pictures."""
    item = _innermost(feature)
    is_value = type(item).__name__ in ("Value", "ClassLabel")
    return is_image(feature) or is_value or _is_array(item)


def _innermost(feature: object) -> object:
    """The feature of what is in lists in lists; of anything else the feature itself."""
    inner = _items_of(feature)
    while inner is not None:
        feature = inner
        inner = _items_of(feature)
    return feature


def empty_shape(feature: object) -> tuple[int, ...]:
    """The shape of the records of a column without records, as far as its feature tells."""
    shape = getattr(feature, "shape", None)
    if shape is not None:
        return tuple(shape)
    length = getattr(feature, "length", None)
    if length is not None and length > 0:
        return (length,)
    return (0, 0)
