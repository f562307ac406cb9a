"""Which records of a split are taken, and in which order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from numbers import Integral

from .idx import IdxError

SAMPLINGS = ("first", "uniform")
DEFAULT_SEED = 1


def check_selection(num_samples: int | None, seed: int | None, sampling: str) -> None:
    """Check the arguments of `select`, as far as this can be done without knowing the records.

    Raises:
        IdxError: one of them is of the wrong type or out of range.
    """
    for name, value in (("num_samples", num_samples), ("seed", seed)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise IdxError(f"{name}={value!r}: found {type(value).__name__}, expected a whole number.")
    if num_samples is not None and num_samples < 1:
        raise IdxError(f"num_samples={num_samples}: expected at least 1. Leave it out for all records.")
    if sampling not in SAMPLINGS:
        raise IdxError(f"sampling={sampling!r}: expected one of {', '.join(map(repr, SAMPLINGS))}.")


def check_num_samples(num_samples: int | None, split_sizes: dict[str, int]) -> None:
    """Check that one split at least has `num_samples` records.

    Raises:
        IdxError: none has.
    """
    if num_samples is not None and num_samples > max(split_sizes.values(), default=0):
        sizes = ", ".join(f"{split} {size:,}" for split, size in split_sizes.items())
        raise IdxError(f"num_samples={num_samples}: more than the largest split has. Records there are: {sizes}.")


def select(
    num_records: int, num_samples: int | None = None, seed: int | None = None, sampling: str = "first"
) -> Sequence[int]:
    """Choose records of a split.

    The same arguments give the same records in the same order on every machine: the generator is Python's own, and
    `sampling="first"` gives the order of `random.seed(seed)` followed by `random.shuffle(records[:num_samples])`.

    Args:
        num_records: how many records the split has.
        num_samples: how many to take at most; all when None.
        seed: of the generator; 1 when None.
        sampling: "first" takes the first records of the split and shuffles them; "uniform" draws records from the
            whole split without replacement.

    Returns:
        Record numbers. All of them in the order of the file where neither a number, a seed nor "uniform" is given.
    """
    if num_samples is None and seed is None and sampling == "first":
        return range(num_records)
    count = num_records if num_samples is None else min(int(num_samples), num_records)
    generator = random.Random(DEFAULT_SEED if seed is None else int(seed))
    if sampling == "uniform":
        return generator.sample(range(num_records), count)
    order = list(range(count))
    generator.shuffle(order)
    return order
