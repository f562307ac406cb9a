"""The records of a dataset or of arrays that are to be written, a few at a time."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import IdxError, listed_names
from ..record_layout import arrange_channels
from .column_values import ColumnValues, ListedValues
from .columns import (
    Columns,
    choose_columns,
    element_type,
    empty_shape,
    has_no_header,
    is_stored_plainly,
    pixel_columns,
)
from .dataset_types import is_dataset, is_image, is_stored
from .image_blocks import ImageReader
from .input_forms import ArrayPair, SplitInput, not_understood
from .pictures import Conversion, picture_to_array, refuse_conversion
from .pixel_table import choose_table, no_header, read_table
from .record_values import Records, UnlabeledSplit, join_parts, narrow_images, to_bytes, to_labels

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

# Records of a dataset whose labels are checked at once. Of a stored one, images are read by fewer.
BATCH_SIZE = 256
STORED_BATCH_SIZE = 4096
STEP_BYTES = 1 << 20  # of an array that are written at once


class Options(NamedTuple):
    """How the records of all splits are read, see `write_idx`."""

    image_column: str | None
    label_column: str | Sequence[str] | None
    conversion: Conversion


class SplitRecords(NamedTuple):
    """The records of a split, and which columns of it are left out."""

    records: Iterator[Records]  # at least one; where there are no records, none of their shape
    left_out: tuple[str, ...]


def read_records(source: SplitInput, options: Options, title: str) -> SplitRecords:
    """Read a split: a `Dataset`, an `IterableDataset`, or a pair of arrays.

    Raises:
        IdxError: a record cannot be written. `title` is of the split.
    """
    if is_dataset(source):
        return _read_dataset(source.with_format(None), options, title)
    return SplitRecords(_read_arrays(source, options.conversion, title), ())


# Arrays


def _read_arrays(source: ArrayPair, conversion: Conversion, title: str) -> Iterator[Records]:
    images = _image_array(source.images, conversion, title)
    labels = None
    if source.labels is not None:
        labels = _label_array(source.labels, len(images), title)
    step = max(1, STEP_BYTES // max(1, images[:1].nbytes))
    for start in range(0, max(1, len(images)), step):
        stop = start + step
        yield Records(images[start:stop], None if labels is None else labels[start:stop])


def _image_array(given: object, conversion: Conversion, title: str) -> np.ndarray:
    """Images as an array of numbers, (n, …)."""
    if given is None:
        raise not_understood(title, "no images")
    refuse_conversion(conversion, title)
    try:
        images = np.asarray(given)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        if hasattr(given, "__array__"):  # of PyTorch: it says what to do
            raise IdxError(
                f"{title}: the {type(given).__name__} is no array yet: {error}"
            ) from error
        raise not_understood(title, _described(given)) from error
    if images.ndim == 0 or images.dtype.kind not in "biuf":
        raise not_understood(title, _described(given))
    return narrow_images(arrange_channels(images), title)


def _described(given: object) -> str:
    """What something is that is no array of images."""
    name = type(given).__name__
    if isinstance(given, np.ndarray):
        return f"an array of {given.dtype} of the shape {given.shape}"
    if isinstance(given, list | tuple):
        parts = sorted({type(part).__name__ for part in given})
        return f"a {name} of {len(given)} that is no array of numbers: of {', '.join(parts)}"
    return f"{name}, which is no array of numbers"


def _label_array(given: object, num_records: int, title: str) -> np.ndarray:
    try:
        labels = np.asarray(given)
    except ValueError:  # lists of different lengths, which are as many as NumPy finds first
        labels = np.asarray(given, object)
    if labels.shape[:1] != (num_records,):
        expected = f"{num_records} images need as many labels"
        raise IdxError(f"{title}: {expected}, found the shape {labels.shape}.")
    return to_labels(labels, 0, title)


# Datasets


def _read_dataset(
    dataset: "Dataset | IterableDataset", options: Options, title: str
) -> SplitRecords:
    features = _features(dataset)
    if has_no_header(features):
        raise no_header(title, len(features))
    pixels = [] if options.image_column else pixel_columns(features)
    if pixels:
        table = choose_table(features, pixels, options.label_column, options.conversion, title)
        left_out = _left_out(features, [*table.pixels, *table.labels])
        records = read_table(dataset, table, title)
        return SplitRecords(_labeled(records, dataset, table.labels, title), left_out)
    columns = choose_columns(features, options.image_column, options.label_column, title)
    left_out = _left_out(features, [columns.image, *columns.labels])
    records = _read_columns(dataset, columns, features, options.conversion, title)
    return SplitRecords(_labeled(records, dataset, columns.labels, title), left_out)


def _labeled(
    records: Iterator[Records],
    dataset: "Dataset | IterableDataset",
    labels: Sequence[str],
    title: str,
) -> Iterator[Records]:
    """Records of a dataset, and another error if what is wrong is that none has a label."""
    try:
        yield from records
    except (IdxError, KeyError) as error:  # KeyError: of a stream, where a table has no such column
        if not labels or not _are_all_missing(dataset, labels):
            raise
        raise _unlabeled(title, labels) from error


def _are_all_missing(dataset: "Dataset | IterableDataset", columns: Sequence[str]) -> bool:
    """Whether no record has a value in any of these columns."""
    try:
        for record in dataset.select_columns(list(columns)):
            if any(value is not None for value in record.values()):
                return False
    except KeyError:
        pass  # as of a stream whose first table has no such column
    return True


def _unlabeled(title: str, labels: Sequence[str]) -> UnlabeledSplit:
    found = f"{title} has no labels: no record has a value in {listed_names(labels)}"
    advice = "Write it by itself, with label_column=[], and the other splits to another target."
    error = UnlabeledSplit(
        f"{found}. {advice}",
        command_line=f'{found}. Convert it by itself, with --label-column "".',
    )
    error.title = title
    return error


def _left_out(features: Mapping[str, object], chosen: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in features if name not in chosen)


def _features(dataset: "Dataset | IterableDataset") -> Mapping[str, object]:
    """The features of the columns, as far as they are known.

    The first record of a stream that declares none tells which columns hold pictures, and which
    hold integers.
    """
    if dataset.features is not None:
        return dataset.features
    import datasets
    from PIL import Image

    features: dict[str, object] = {}
    for record in dataset.take(1):
        for name, value in record.items():
            features[name] = None
            if isinstance(value, Image.Image | np.ndarray):
                features[name] = datasets.Image()
            elif isinstance(value, int | np.integer):
                features[name] = datasets.Value("int64")
    return features


class _Batch(NamedTuple):
    """What consecutive records have in the chosen columns."""

    images: ColumnValues
    labels: tuple[ColumnValues, ...]  # one for each part of a label


def _read_columns(
    dataset: "Dataset | IterableDataset",
    columns: Columns,
    features: Mapping[str, object],
    conversion: Conversion,
    title: str,
) -> Iterator[Records]:
    """Read images and labels, as many at once as have one shape and fit into a block."""
    feature = features[columns.image]
    record = 0
    with ImageReader(feature, conversion, title) as reader:
        for batch in _batches(dataset, columns, features):
            labels = join_parts([_labels(part, record, title) for part in batch.labels])
            place = 0
            for block in reader.read(batch.images, record):
                images = _as_written(block, record + place, title)
                stop = place + len(images)
                yield Records(images, None if labels is None else labels[place:stop])
                place = stop
            record += place
    if record == 0:
        no_labels = np.zeros(0, np.int32) if columns.labels else None
        yield Records(_no_images(feature, conversion, title), no_labels)


def _batches(
    dataset: "Dataset | IterableDataset", columns: Columns, features: Mapping[str, object]
) -> Iterator[_Batch]:
    names = [columns.image, *columns.labels]
    are_plain = all(is_stored_plainly(features[name]) for name in names)
    if is_stored(dataset) and are_plain:
        return _stored_batches(dataset, columns)
    return _listed_batches(dataset, columns)


def _stored_batches(dataset: "Dataset", columns: Columns) -> Iterator[_Batch]:
    """Batches of the table behind a dataset."""
    from ..hf import row_numbers
    from .stored_columns import StoredColumn, StoredValues  # imports Arrow

    images = StoredColumn(dataset, columns.image)
    labels = [StoredColumn(dataset, name) for name in columns.labels]
    for start in range(0, len(dataset), STORED_BATCH_SIZE):
        stop = min(start + STORED_BATCH_SIZE, len(dataset))
        rows = row_numbers(dataset, start, stop)
        parts = tuple(StoredValues(column, rows) for column in labels)
        yield _Batch(StoredValues(images, rows), parts)


def _listed_batches(dataset: "Dataset | IterableDataset", columns: Columns) -> Iterator[_Batch]:
    """Batches of any dataset, as it yields them."""
    chosen = _without_decoding(dataset, columns.image)
    chosen = chosen.select_columns([columns.image, *columns.labels])
    for batch in chosen.iter(batch_size=BATCH_SIZE):
        parts = tuple(ListedValues(batch[name]) for name in columns.labels)
        yield _Batch(ListedValues(batch[columns.image]), parts)


def _labels(column: ColumnValues, first: int, title: str) -> np.ndarray:
    """A part of the labels of a batch, whose first record is `first`."""
    numbers = column.numbers(0, len(column))
    if numbers is not None and numbers.dtype.kind in "biu":
        return to_labels(numbers, first, title)
    return to_labels(column.values(0, len(column)), first, title)


def _as_written(images: np.ndarray, record: int, title: str) -> np.ndarray:
    """Images of a column, the first of which is `record`, as they are written.

    Python and NumPy make int64 of any integers. What the records that follow need is not known.
    """
    images = arrange_channels(images)
    return to_bytes(images, record, title) if images.dtype == np.int64 else images


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
    images = np.zeros((0, *empty_shape(feature)), element_type(feature))
    return _as_written(images, 0, title)
