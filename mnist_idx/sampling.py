"""Which records of a split are selected, and in which order."""

import random
from collections.abc import Sequence
from numbers import Integral

from .idx import IdxError

SAMPLINGS = ("first", "uniform")
DEFAULT_SEED = 1


def check_selection(num_samples: int | None, seed: int | None, sampling: str) -> None:
    """Check the arguments of `select`, as far as that works without knowing the split."""
    for name, value in (("num_samples", num_samples), ("seed", seed)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise IdxError(f"{name}={value!r}: expected an integer, found {type(value).__name__}.")
    if num_samples is not None and num_samples < 1:
        raise IdxError(f"num_samples={num_samples}: expected at least 1. Leave it out for all records.")
    if sampling not in SAMPLINGS:
        raise IdxError(f"sampling={sampling!r}: expected one of {', '.join(map(repr, SAMPLINGS))}.")


def count_selected(num_samples: int | None, split_sizes: dict[str, int]) -> dict[str, int]:
    """How many records of each split are selected. At least one split must have `num_samples` records."""
    if num_samples is None:
        return split_sizes
    if num_samples > max(split_sizes.values(), default=0):
        sizes = ", ".join(f"{split} {size:,}" for split, size in split_sizes.items())
        raise IdxError(f"num_samples={num_samples}: expected at most the records of the largest split: {sizes}.")
    return {split: min(int(num_samples), size) for split, size in split_sizes.items()}


def select(
    num_records: int, num_samples: int | None = None, seed: int | None = None, sampling: str = "first"
) -> Sequence[int]:
    """Select records of a split by their numbers: all of them, in the order of the file, unless told otherwise.

    "first" takes the first `num_samples` and shuffles them, in the order of `random.seed(seed)` and `random.shuffle`;
    "uniform" draws them from the whole split without replacement. Every machine selects the same records.
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
