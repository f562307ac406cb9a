"""Which cases of a test are fast: each value of each parameter in one of them."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

import pytest


def choose_representatives(cases: Sequence[Mapping[str, Hashable]]) -> set[int]:
    """Choose few cases that have each value of each parameter at least once.

    Args:
        cases: of each case, what tells the value of each parameter from others.

    Returns the numbers of the cases that are chosen.
    """
    missing = {value for case in cases for value in case.items()}
    uses: Counter[tuple[str, Hashable]] = Counter()
    chosen: set[int] = set()

    def rank(number: int) -> tuple[int, int]:
        """What is new in a case; then how rare it is, so that the values take turns."""
        values = cases[number].items()
        return len(missing & values), -sum(uses[value] for value in values)

    while missing:
        best = max(range(len(cases)), key=rank)
        chosen.add(best)
        missing -= cases[best].items()
        uses.update(cases[best].items())
    return chosen


def slow_but_first(values: Iterable[object]) -> list[object]:
    """Values of a parameter, all of which but the first are slow."""
    first, *others = values
    return [first, *(pytest.param(value, marks=pytest.mark.slow) for value in others)]
