"""The values of columns of a `Dataset`, as Python has them or as arrays of what Arrow stores."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from datasets import Dataset


class StoredColumn:
    """A column of the table behind a dataset. Its parts are read by the numbers of their rows."""

    def __init__(self, dataset: "Dataset", name: str) -> None:
        self._chunks = [_storage(chunk) for chunk in dataset.data.column(name).chunks]
        sizes = [len(chunk) for chunk in self._chunks]
        self._starts = np.cumsum([0, *sizes])  # the row that each chunk starts with

    def read(self, rows: np.ndarray) -> pa.Array:
        """The values of rows, in this order. Those of consecutive rows are not copied."""
        chunks = np.searchsorted(self._starts, rows, side="right") - 1
        is_consecutive = (np.diff(rows) == 1) & (np.diff(chunks) == 0)
        starts = np.flatnonzero(np.concatenate([[True], ~is_consecutive]))
        lengths = np.diff([*starts, len(rows)])
        chunks_of_starts = chunks[starts]
        offsets = rows[starts] - self._starts[chunks_of_starts]
        parts = []
        for chunk, offset, length in zip(
            chunks_of_starts.tolist(), offsets.tolist(), lengths.tolist(), strict=True
        ):
            parts.append(self._chunks[chunk].slice(offset, length))
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)


def _storage(chunk: pa.Array) -> pa.Array:
    """The lists that an array of `datasets` is kept as. Slices of them cost a tenth."""
    return chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk


class StoredValues:
    """`ColumnValues` of some rows of a stored column, read when they are asked for."""

    def __init__(self, column: StoredColumn, rows: np.ndarray) -> None:
        self._column = column
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def values(self, start: int, stop: int) -> list[object]:
        stored: list[object] = self._column.read(self._rows[start:stop]).to_pylist()
        return stored

    def numbers(self, start: int, stop: int) -> np.ndarray | None:
        return to_numpy(self._column.read(self._rows[start:stop]))


def to_numpy(values: pa.Array) -> np.ndarray | None:
    """Numbers, or lists of numbers that have one shape, as an array.

    None of anything else: of other values, and where one is missing, or a list is empty.
    """
    shape = [len(values)]
    while _is_list(values.type):
        length = _common_length(values)
        if length is None:
            return None
        shape.append(length)
        values = values.flatten()
    if values.null_count > 0 or not _is_number(values.type):
        return None
    array: np.ndarray = values.to_numpy(zero_copy_only=False).reshape(shape)
    return array


def _is_list(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) and not pa.types.is_temporal(kind))


def _common_length(lists: pa.Array) -> int | None:
    """The length of all lists; None if they differ, if one is missing, or if they are empty."""
    if lists.null_count > 0 or len(lists) == 0:
        return None
    lengths = lists.value_lengths().to_numpy()
    length = int(lengths[0])
    is_common = length > 0 and bool((lengths == length).all())
    return length if is_common else None
