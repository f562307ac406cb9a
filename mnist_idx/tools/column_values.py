"""The values of a column of a dataset, however it keeps them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class ColumnValues(Protocol):
    """The values that some records have in a column."""

    def __len__(self) -> int: ...

    def values(self, start: int, stop: int) -> list[object]:
        """Some of them, as Python has them."""

    def numbers(self, start: int, stop: int) -> np.ndarray | None:
        """Some of them, (n, …), where all are numbers of one shape; None if that is not known."""


class ListedValues:
    """Values in a list."""

    def __init__(self, values: Sequence[object]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def values(self, start: int, stop: int) -> list[object]:
        return list(self._values[start:stop])

    def numbers(self, start: int, stop: int) -> np.ndarray | None:
        return None
