"""Tables that have a column for each pixel, as those on Kaggle: `label,pixel0,pixel1,…`."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import IdxError
from .columns import choose_labels, is_integer
from .pictures import Conversion
from .record_values import Records, join_parts, to_bytes, to_labels

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, IterableDataset

TABLE_BATCH = 1000  # rows that are read at once


class PixelTable(NamedTuple):
    """Which columns of a table are pixels and labels, and what the pixels make."""

    pixels: list[str]
    labels: tuple[str, ...]
    shape: tuple[int, ...]  # of an image, (rows, cols) or (rows, cols, 3)
    dtype: str


def choose_table(
    features: Mapping[str, object],
    pixels: Sequence[str],
    label_column: str | Sequence[str] | None,
    conversion: Conversion,
    title: str,
) -> PixelTable:
    """Find the labels of a table of pixels, and the shape of its images.

    Args:
        conversion: its size says rows and columns of the pixels; by default they are a square.

    Raises:
        IdxError: it is not clear what the columns are, or the pixels make no such images.
    """
    if conversion.mode is not None:
        found = f"{title} is a table of pixels;"
        raise IdxError(
            f"{found} mode= is for pictures. Leave it out.",
            command_line=f"{found} --mode is for pictures. Leave it out.",
        )
    others = {name: feature for name, feature in features.items() if name not in pixels}
    for name in pixels:
        _check_numbers(name, features[name], title)
    are_integers = all(is_integer(features[name]) for name in pixels)
    return PixelTable(
        pixels=list(pixels),
        labels=choose_labels(others, label_column, title, _shortened(others, pixels)),
        shape=_image_shape(len(pixels), conversion.size, title),
        dtype="uint8" if are_integers else "float64",
    )


def _check_numbers(name: str, feature: object, title: str) -> None:
    dtype = getattr(feature, "dtype", None)
    if dtype is not None and not str(dtype).startswith(("int", "uint", "float", "double")):
        found = f"{title}: found {dtype} in the column {name}, expected pixels as numbers"
        raise IdxError(f"{found}. Correct the values that are no numbers.")


def _shortened(others: Collection[str], pixels: Sequence[str]) -> list[str]:
    """The columns of a table for an error: not all of its pixels."""
    return [*others, f"{pixels[0]} to {pixels[-1]}"]


def _image_shape(num_pixels: int, size: tuple[int, int] | None, title: str) -> tuple[int, ...]:
    """The shape of an image of so many pixels."""
    found = f"{title}: found {num_pixels:,} columns of pixels"
    if size is None:
        side = math.isqrt(num_pixels)
        if side * side != num_pixels:
            advice = f"{found}, which make no square. Say rows and columns with"
            raise IdxError(f"{advice} size=(…, …).", command_line=f"{advice} --size ROWSxCOLS.")
        return (side, side)
    rows, cols = size
    if num_pixels == 3 * rows * cols:
        return (rows, cols, 3)
    if num_pixels != rows * cols:
        wanted = f"{rows} x {cols} = {rows * cols:,}"
        raise IdxError(f"{found}, expected {wanted}, or three times as many for RGB.")
    return (rows, cols)


def no_header(title: str, num_columns: int) -> IdxError:
    """The error of a table whose first record was taken for the names of its columns."""
    found = f"{title}: found columns whose names are numbers: the file has no line of names"
    has_label = math.isqrt(num_columns) ** 2 != num_columns
    num_pixels = num_columns - 1 if has_label else num_columns
    pixels = f'[f"pixel{{n}}" for n in range({num_pixels})]'
    names = f'["label", *{pixels}]' if has_label else pixels
    return IdxError(
        f"{found}. Name them: load_dataset(…, column_names={names}).",
        command_line=f"{found}. Write one before its first line: "
        f"{command_of_header(num_columns, 'FILE', 'named.csv')}",
    )


def command_of_header(num_columns: int, file: str, target: str) -> str:
    """The line of a shell that copies a table and writes the names of its columns before it.

    If the number of columns is no square, the first one is the label.

    >>> print(command_of_header(5, "train.csv", "named.csv"))
    (printf label; printf ',pixel%d' $(seq 0 3); echo; cat train.csv) > named.csv
    >>> print(command_of_header(4, "test.csv", "named.csv"))
    (printf pixel0; printf ',pixel%d' $(seq 1 3); echo; cat test.csv) > named.csv
    """
    has_label = math.isqrt(num_columns) ** 2 != num_columns
    first, number = ("label", 0) if has_label else ("pixel0", 1)
    last = num_columns - 2 if has_label else num_columns - 1
    names = f"printf {first}; printf ',pixel%d' $(seq {number} {last}); echo"
    return f"({names}; cat {file}) > {target}"


def read_table(
    dataset: "Dataset | IterableDataset", table: PixelTable, title: str
) -> Iterator[Records]:
    """Read the images of a table of pixels, and their labels.

    Raises:
        IdxError: a pixel is no number of a byte, or a label no integer. The record is named.
    """
    chosen = dataset.select_columns([*table.pixels, *table.labels]).with_format("arrow")
    first = 0
    for batch in chosen.iter(batch_size=TABLE_BATCH):
        pixels = np.column_stack(
            [_pixel_column(batch, name, first, title) for name in table.pixels]
        )
        if table.dtype == "uint8":
            pixels = to_bytes(pixels, first, title)
        images = pixels.astype(table.dtype, copy=False).reshape(len(pixels), *table.shape)
        parts = [to_labels(batch[name].to_pylist(), first, title) for name in table.labels]
        yield Records(images, join_parts(parts))
        first += len(images)
    if first == 0:
        no_labels = np.zeros(0, np.int32) if table.labels else None
        yield Records(np.zeros((0, *table.shape), table.dtype), no_labels)


def _pixel_column(batch: "pa.Table", name: str, first: int, title: str) -> np.ndarray:
    """The numbers in a column. `first` is the number of the first record."""
    column = batch[name]
    if column.null_count > 0:
        place = column.is_null().to_pylist().index(True)
        raise IdxError(f"{title}, record {first + place} has no {name}. Filter such records out.")
    values: np.ndarray = column.to_numpy()
    return values
