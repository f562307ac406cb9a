"""The records that a seeded selection has, by the standard library alone."""

import random


def selected(
    count: int, num_samples: int | None = None, seed: int | None = None, sampling: str = "first"
) -> list[int]:
    """The numbers of the selected records, of `count`, in their order."""
    size = count if num_samples is None else min(num_samples, count)
    generator = random.Random(1 if seed is None else int(seed))
    if sampling == "uniform":
        return generator.sample(range(count), size)
    numbers = list(range(count))[:size]
    generator.shuffle(numbers)
    return numbers
