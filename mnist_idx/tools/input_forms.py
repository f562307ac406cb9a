"""What people hold as a dataset: the splits of it, each of them a dataset or a pair of arrays."""

import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard, cast

import numpy as np

from ..errors import IdxError, listed_names, shown_value
from ..filenames import SPLITS
from ..suggestions import calls_of, did_you_mean
from .dataset_types import is_dataset

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
    from numpy.typing import ArrayLike

    # A pair is (images, labels).
    Pair: TypeAlias = tuple[ArrayLike, ArrayLike | None] | list[ArrayLike | None]
    SplitSource: TypeAlias = Dataset | IterableDataset | Pair | ArrayLike
    Source: TypeAlias = (
        SplitSource
        | DatasetDict
        | IterableDatasetDict
        | Mapping[str, SplitSource]
        | tuple[Pair, Pair]
        | str
        | os.PathLike[str]
    )

FORMS = (
    "a Dataset, a pair of arrays (images, labels), ((images, labels), (images, labels)) of train "
    'and test, {"train": (images, labels)}, an array of images, a dataset of torchvision, or the '
    "path of an .npz"
)
IMAGE_KEYS = {"x", "image", "images", "img", "imgs", "data"}
LABEL_KEYS = {"y", "label", "labels", "target", "targets"}
IMAGES = "images"
LABELS = "labels"


class ArrayPair(NamedTuple):
    """A split of arrays, or of what NumPy makes arrays of."""

    images: object
    labels: object | None


SplitInput: TypeAlias = "Dataset | IterableDataset | ArrayPair"


class Input(NamedTuple):
    """The splits of a dataset, by their names."""

    splits: dict[str, SplitInput]
    left_out: tuple[str, ...] = ()  # names of arrays that are neither images nor labels


class _Found(NamedTuple):
    """The splits of a source; the name of a single one is None if nothing tells it."""

    splits: dict[str | None, SplitInput]
    left_out: tuple[str, ...]


def read_input(source: object, split: str | None) -> Input:
    """Find the splits of what `write_idx` takes.

    Args:
        split: the name of a single split; by default the name that it has, else "train".

    Raises:
        IdxError: it is nothing that `write_idx` takes, or `split` is given and it has splits.
    """
    if isinstance(source, str | os.PathLike):
        source = _load_npz(source)
    found = _read_splits(source)
    if found is None:
        name = split or _own_name(source)
        return Input({name: read_split(source, f"split {name!r}")})
    if split is None:
        return Input({name or "train": part for name, part in found.splits.items()}, found.left_out)
    if list(found.splits) != [None]:
        names = listed_names(list(map(str, found.splits)))
        raise IdxError(
            f"split={shown_value(split)}: expected none, since the splits have names: {names}."
        )
    return Input({split: found.splits[None]}, found.left_out)


def _read_splits(source: object) -> "_Found | None":
    """The splits of a source that is made of splits or of arrays with names; None of any other."""
    if isinstance(source, Mapping):
        if are_arrays_with_names(source):
            return _read_named_arrays(source)
        splits: dict[str | None, SplitInput] = {}
        for name, part in source.items():
            splits[str(name)] = read_split(part, f"split {str(name)!r}")
        return _Found(splits, ())
    if _is_pair(source, _is_pair_of_arrays):
        # As `load_data` of Keras returns them.
        train, test = source
        return _Found({"train": ArrayPair(*train), "test": ArrayPair(*test)}, ())
    return None


def count_records(split: SplitInput) -> int | None:
    """The number of records of a split; None if it does not tell, as a stream."""
    records = split.images if isinstance(split, ArrayPair) else split
    try:
        return len(cast("Sequence[object]", records))
    except TypeError:
        return None


def not_understood(title: str, found: object, forms: str = FORMS) -> IdxError:
    """The error of what `write_idx` does not take, which shows what it takes."""
    return IdxError(f"{title}: found {found}, expected {forms}.")


def _own_name(source: object) -> str:
    """The name of the split that a source is, or is a part of, as in "test[:50]"."""
    if getattr(source, "train", None) is False:  # as torchvision says
        return "test"
    name = getattr(source, "split", None)
    has_name = is_dataset(source) or isinstance(name, str)  # that of a tensor is a method
    if not has_name or name is None or "+" in str(name):
        return "train"
    return str(name).partition("[")[0]


# One split


def read_split(source: object, title: str, forms: str = FORMS) -> SplitInput:
    """A split as a dataset, or as a pair of arrays.

    Args:
        title: what errors call it.
        forms: what errors say that is expected.

    Raises:
        IdxError: it is none.
    """
    if is_dataset(source):
        return source
    if isinstance(source, Mapping):
        return _read_named_pair(source, title, forms)
    if hasattr(source, "iloc"):
        way_out = "Make a dataset of it: datasets.Dataset.from_pandas(…)."
        raise IdxError(f"{title}: found a table of pandas. {way_out}")
    of_torchvision = _torchvision_arrays(source)
    if of_torchvision is not None:
        return of_torchvision
    is_pair = isinstance(source, tuple) and len(source) == 2
    if is_pair or _is_pair_of_arrays(source):
        images, labels = cast("tuple[object, object]", source)
        return ArrayPair(images, labels)
    # NumPy would call anything else for each of its records, if it has some.
    if not isinstance(source, list | tuple) and not hasattr(source, "__array__"):
        raise not_understood(title, type(source).__name__, forms)
    return ArrayPair(source, None)


def _torchvision_arrays(source: object) -> ArrayPair | None:
    """The images and the labels of a dataset of torchvision, which is not imported for it."""
    images = getattr(source, "data", None)
    for name in ("targets", "labels"):
        labels = getattr(source, name, None)
        if images is not None and labels is not None:
            return ArrayPair(images, labels)
    return None


def _is_pair(source: object, is_part: Callable[[object], bool]) -> TypeGuard[Sequence[Any]]:
    """Whether a source is a tuple or a list of two, both of which are such parts."""
    is_of_two = isinstance(source, tuple | list) and len(source) == 2
    return is_of_two and all(map(is_part, cast("Sequence[object]", source)))


def _is_pair_of_arrays(source: object) -> bool:
    """Whether a tuple or a list is images and labels, rather than two images.

    Labels have fewer dimensions than images, or are None.
    """
    if not isinstance(source, tuple | list) or len(source) != 2:
        return False
    images, labels = source
    if labels is None:
        return images is not None
    return 0 < _count_dimensions(labels) < _count_dimensions(images)


def _count_dimensions(value: object) -> int:
    """The dimensions of an array, a picture, or of lists, the first items of which tell."""
    if isinstance(value, list | tuple):
        return 1 + (_count_dimensions(value[0]) if value else 0)
    dimensions = getattr(value, "ndim", None)
    if isinstance(dimensions, int):
        return dimensions
    is_picture = hasattr(value, "__array_interface__")
    return 2 if is_picture else 0


# Arrays with names


def _load_npz(path: str | os.PathLike[str]) -> Mapping[str, object]:
    """The arrays of a file of NumPy, by their names."""
    title = os.fspath(path)
    if Path(title).suffix.lower() != ".npz":
        question = did_you_mean(calls_of("load_dataset", title))
        raise IdxError(f"{title}: found a path, expected {FORMS}.{question}")
    try:
        with np.load(Path(title).expanduser()) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise IdxError(f"{title}: cannot be read as arrays of NumPy: {reason}.") from error
    if not are_arrays_with_names(arrays):
        raise _unclear_names(arrays, title)
    return arrays


class _ArrayName(NamedTuple):
    """What the name of an array tells."""

    split: str | None  # None if the name does not tell
    role: str | None  # IMAGES or LABELS; None if the name does not tell


def _parse_array_name(name: str) -> _ArrayName | None:
    """What the name of an array tells, as in `x_train` or `train_images`; None if it tells nothing.

    >>> _parse_array_name("val_labels")
    _ArrayName(split='validation', role='labels')
    """
    split: str | None = None
    role: str | None = None
    for word in re.split(r"[\W_]+", name.lower()):
        if word in SPLITS and split is None:
            split = SPLITS[word]
        elif word in IMAGE_KEYS and role is None:
            role = IMAGES
        elif word in LABEL_KEYS and role is None:
            role = LABELS
        else:
            return None
    return _ArrayName(split, role)


def are_arrays_with_names(source: Mapping[str, object]) -> bool:
    """Whether a mapping holds arrays with names such as `x_train`, rather than splits."""
    has_images = False
    for key, value in source.items():
        parsed = _parse_array_name(str(key))
        if parsed is None:
            continue
        is_split = is_dataset(value) or isinstance(value, tuple) or _is_pair_of_arrays(value)
        if parsed.role is None or is_split:
            return False
        has_images = has_images or parsed.role == IMAGES
    return has_images


def _read_named_arrays(source: Mapping[str, object]) -> _Found:
    """The splits of arrays whose names tell what they are.

    Raises:
        IdxError: two arrays are the same, or there are labels without images.
    """
    found: dict[str | None, dict[str, object]] = {}  # arrays by their split and role
    left_out: list[str] = []
    for key, value in source.items():
        parsed = _parse_array_name(str(key))
        if parsed is None or parsed.role is None:
            left_out.append(str(key))
            continue
        roles = found.setdefault(parsed.split, {})
        if parsed.role in roles:
            raise _unclear_names(source, "the arrays")
        roles[parsed.role] = value
    splits: dict[str | None, SplitInput] = {}
    for split, roles in found.items():
        is_unnamed_beside_others = split is None and len(found) > 1
        if IMAGES not in roles or is_unnamed_beside_others:
            raise _unclear_names(source, "the arrays")
        splits[split] = ArrayPair(roles[IMAGES], roles.get(LABELS))
    return _Found(splits, tuple(left_out))


def _read_named_pair(source: Mapping[str, object], title: str, forms: str) -> SplitInput:
    """A split that is a mapping, as in {"train": {"images": …, "labels": …}}."""
    if are_arrays_with_names(source):
        splits = _read_named_arrays(source).splits
        if list(splits) == [None]:
            return splits[None]
    raise not_understood(title, type(source).__name__, forms)


def _unclear_names(source: Mapping[str, object], title: str) -> IdxError:
    names = list(map(str, source))
    expected = "expected names such as x_train, y_train or train_images, train_labels"
    way_out = 'Pass the arrays themselves: {"train": (images, labels)}.'
    return IdxError(f"{title}: found {listed_names(names)}, {expected}. {way_out}")
