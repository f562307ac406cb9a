"""Seeded selections: which records, in which order.

Every machine and every version of Python selects the same.
"""

import functools
import random
from array import array
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .errors import IdxError, wrong_option

DEFAULT_SEED = 1
# A longer order takes minutes to shuffle, and gigabytes to keep.
MAX_SELECTED = 1 << 27
# Up to so many records, what `random` makes of them stays small.
FEW_RECORDS = 1 << 20
MAX_DRAWN = 4  # selections that are kept: those of the splits that are in use
NUMBERS = "I"  # for `array`; the numbers of records have 32 bits at most


class Selection(NamedTuple):
    """What is selected of each split. The default is all records, in the order of the file."""

    num_samples: int | None = None
    seed: int | None = None
    sampling: str = "first"

    @property
    def is_everything(self) -> bool:
        return self == Selection()

    def count(self, num_records: int) -> int:
        """How many of `num_records` records are selected."""
        if self.num_samples is None:
            return num_records
        return min(int(self.num_samples), num_records)

    def counts(self, split_sizes: Mapping[str, int]) -> dict[str, int]:
        """How many records of each split are selected.

        Raises:
            IdxError: no split has `num_samples` records.
        """
        largest = max(split_sizes.values(), default=0)
        if self.num_samples is not None and self.num_samples > largest:
            sizes = ", ".join(f"{split} {size:,}" for split, size in split_sizes.items())
            raise wrong_option(
                "num_samples",
                self.num_samples,
                f"at most the records of the largest split: {sizes}",
            )
        return {split: self.count(size) for split, size in split_sizes.items()}

    def numbers(self, num_records: int, title: str) -> np.ndarray:
        """The numbers of the selected records, integers `(count,)`, in the order of the selection.

        It is the same array for each call, as long as few selections are in use.

        "first" takes the first `num_samples` and shuffles them, in the order of `random.shuffle`.
        "uniform" draws them from the whole split without replacement, in the order of
        `random.sample`.
        """
        self.check_memory(num_records, title)
        seed = DEFAULT_SEED if self.seed is None else int(self.seed)
        try:
            return _draw(num_records, self.count(num_records), seed, self.sampling)
        except MemoryError:
            raise _too_many(num_records, title) from None

    def check_memory(self, num_records: int, title: str) -> None:
        """Refuse an order of more records than are drawn.

        Raises:
            IdxError: it does not fit into memory.
        """
        if self.is_everything:
            return
        count = self.count(num_records)
        draws_from_many = self.sampling == "uniform" and count > FEW_RECORDS
        num_kept = num_records if draws_from_many else count
        if num_kept > MAX_SELECTED:
            raise _too_many(num_records, title)


def _too_many(num_records: int, title: str) -> IdxError:
    """The error of an order that does not fit into memory."""
    found = f"an order of {num_records:,} records does not fit into memory"
    way_out = "Set num_samples= to fewer, or stream without seed= and shuffle the stream"
    return IdxError(f"{title}: {found}, expected at most {MAX_SELECTED:,}. {way_out}.")


@functools.lru_cache(maxsize=MAX_DRAWN)
def _draw(num_records: int, count: int, seed: int, sampling: str) -> np.ndarray:
    """The numbers of `Selection.numbers`. They cannot be written to: all callers share them.

    Whoever asks again gets the same array, so that what was read for it is found by it.
    """
    generator = random.Random(seed)
    if sampling == "first":
        order = array(NUMBERS, range(count))
        generator.shuffle(order)
    elif count <= FEW_RECORDS:
        order = array(NUMBERS, generator.sample(range(num_records), count))
    else:
        order = _sample_many(generator, num_records, count)
    numbers = np.frombuffer(order, np.dtype(NUMBERS))
    numbers.flags.writeable = False
    return numbers


def _sample_many(generator: random.Random, num_records: int, count: int) -> "array[int]":
    """What `generator.sample(range(num_records), count)` returns, in much less memory.

    As there, a pool is drawn from if it is not much larger than the sample. Otherwise what was
    drawn before is skipped.
    """
    max_pool = 21 + 4 ** (((3 * count - 1).bit_length() + 1) // 2)  # `setsize` of `random.sample`
    drawn = array(NUMBERS)
    if num_records <= max_pool:
        pool = array(NUMBERS, range(num_records))
        for taken in range(count):
            index = generator.randrange(num_records - taken)
            drawn.append(pool[index])
            pool[index] = pool[num_records - taken - 1]
        return drawn
    is_drawn = bytearray(num_records)
    for _ in range(count):
        number = generator.randrange(num_records)
        while is_drawn[number]:
            number = generator.randrange(num_records)
        is_drawn[number] = 1
        drawn.append(number)
    return drawn
