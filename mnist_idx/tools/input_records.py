"""The records of a dataset or of arrays that are to be written, a few at a time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from ..errors import IdxError
from .columns import choose_columns, element_type, empty_shape
from .dataset_types import is_dataset, is_image
from .pictures import (
    Conversion,
    as_array,
    drop_gray_channel,
    no_image,
    picture_to_array,
    refuse_conversion,
    to_array,
)

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from numpy.typing import ArrayLike

    # A pair is (images, labels).
    ArraySource: TypeAlias = tuple[ArrayLike, ArrayLike | None] | ArrayLike
    SplitSource: TypeAlias = Dataset | IterableDataset | ArraySource

BATCH_SIZE = 256  # records that a dataset decodes at once
STEP_BYTES = 1 << 20  # of an array that are written at once


class Records(NamedTuple):
    """Consecutive records, and their labels, if the split has any."""

    images: np.ndarray  # (n, …)
    labels: np.ndarray | None  # int32, (n,) or (n, parts)


def read_records(
    source: "SplitSource",
    image_column: str | None,
    label_column: str | Sequence[str] | None,
    conversion: Conversion,
    title: str,
) -> Iterator[Records]:
    """Read a split: a `Dataset`, an `IterableDataset`, a pair of arrays, or an array of images.

    It yields at least once. Where there are no records, it yields none of their shape.

    Raises:
        IdxError: a record cannot be written. `title` is of the split.
    """
    if is_dataset(source):
        return _read_dataset(source, image_column, label_column, conversion, title)
    return _read_arrays(source, conversion, title)


# Arrays


def _read_arrays(source: "ArraySource", conversion: Conversion, title: str) -> Iterator[Records]:
    given_images: object = source
    given_labels: object = None
    if isinstance(source, tuple) and len(source) == 2:
        given_images, given_labels = source
    images = _image_array(given_images, conversion, title)
    if images is None:
        found = type(source).__name__
        raise IdxError(f"{title}: found {found}, expected a Dataset or a pair of arrays.")
    labels = None
    if given_labels is not None:
        labels = _label_array(given_labels, len(images), title)
    step = max(1, STEP_BYTES // max(1, images[:1].nbytes))
    for start in range(0, max(1, len(images)), step):
        stop = start + step
        yield Records(images[start:stop], None if labels is None else labels[start:stop])


def _image_array(given: object, conversion: Conversion, title: str) -> np.ndarray | None:
    """Images as an array of numbers, (n, …); None if they are no such array."""
    if given is None:
        raise no_image(title)
    refuse_conversion(conversion, title)
    images = as_array(given, None, title)
    if images.ndim == 0 or images.dtype.kind not in "biuf":
        return None
    images = drop_gray_channel(images)
    if images.dtype == bool:
        images = images.view(np.uint8)
    return images


def _label_array(given: object, num_records: int, title: str) -> np.ndarray:
    labels = as_array(given, None, f"{title}, labels")
    if labels.shape[:1] != (num_records,):
        expected = f"{num_records} images need as many labels"
        raise IdxError(f"{title}: {expected}, found the shape {labels.shape}.")
    return to_labels(labels, 0, title)


# Datasets


def _read_dataset(
    dataset: "Dataset | IterableDataset",
    image_column: str | None,
    label_column: str | Sequence[str] | None,
    conversion: Conversion,
    title: str,
) -> Iterator[Records]:
    dataset = dataset.with_format(None)
    features = _features(dataset)
    columns = choose_columns(features, image_column, label_column, title)
    feature = features[columns.image]
    dtype = None if is_image(feature) else element_type(feature)
    chosen = _without_decoding(dataset, columns.image)
    chosen = chosen.select_columns([columns.image, *columns.labels])
    record = 0
    for batch in chosen.iter(batch_size=BATCH_SIZE):
        labels = _batch_labels([batch[name] for name in columns.labels], record, title)
        for place, value in enumerate(batch[columns.image]):
            image = to_array(value, dtype, conversion, f"{title}, record {record}")
            label = None if labels is None else labels[place : place + 1]
            yield Records(image[None], label)
            record += 1
    if record == 0:
        no_labels = np.zeros(0, np.int32) if columns.labels else None
        yield Records(_no_images(feature, conversion, title), no_labels)


def _features(dataset: "Dataset | IterableDataset") -> Mapping[str, object]:
    """The features of the columns; None for those that a stream does not declare.

    Its first record then tells which columns hold pictures.
    """
    if dataset.features is not None:
        return dataset.features
    import datasets
    from PIL import Image

    features: dict[str, object] = {}
    for record in dataset.take(1):
        for name, value in record.items():
            is_picture = isinstance(value, Image.Image | np.ndarray)
            features[name] = datasets.Image() if is_picture else None
    return features


def _without_decoding(
    dataset: "Dataset | IterableDataset", column: str
) -> "Dataset | IterableDataset":
    """Let a column of pictures stay encoded.

    They are decoded one by one: an error names the record.
    """
    import datasets

    if dataset.features is None or not is_image(dataset.features[column]):
        return dataset
    return dataset.cast_column(column, datasets.Image(decode=False))


def _no_images(feature: object, conversion: Conversion, title: str) -> np.ndarray:
    """No images, of the shape and type that those of a column would have."""
    from PIL import Image

    if is_image(feature):
        return picture_to_array(Image.new("L", (0, 0)), conversion, title)[None][:0]
    return np.zeros((0, *empty_shape(feature)), element_type(feature))


# Labels


def _batch_labels(columns: Sequence[Sequence[object]], first: int, title: str) -> np.ndarray | None:
    """The labels of a batch, whose first record has the number `first`. None without columns."""
    parts = [to_labels(values, first, title) for values in columns]
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
    if len(labels) == 0:
        return labels.astype(np.int32)
    if labels.ndim > 2 or labels.dtype.kind not in "biu":
        return None
    narrow = labels.astype(np.int32)
    return narrow if np.array_equal(narrow, labels) else None


def _first_bad_label(values: "Sequence[object] | np.ndarray") -> int:
    """The place of the first label that is bad by itself; 0 if they only do not fit together."""
    for place in range(len(values)):
        if _as_int32(values[place : place + 1]) is None:
            return place
    return 0
