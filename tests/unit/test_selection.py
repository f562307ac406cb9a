"""Which records a selection has, in which order."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx.selection import Selection


def select(count: int, num_samples: int | None, seed: int | None, sampling: str) -> list[int]:
    """The numbers of the selected records, of `count`, in their order."""
    return Selection(num_samples, seed, sampling).numbers(count, "title").tolist()


@given(st.integers(1, 500), st.integers(1, 600), st.integers())
def test_first_is_the_procedure_of_epynn(count: int, samples: int, seed: int) -> None:
    records = list(range(count))[:samples]
    random.seed(seed)
    random.shuffle(records)
    assert select(count, samples, seed, "first") == records


@given(st.integers(1, 500), st.integers(1, 600), st.integers())
def test_uniform_is_the_sample_of_python(count: int, samples: int, seed: int) -> None:
    random.seed(seed)
    expected = random.sample(range(count), min(count, samples))
    assert select(count, samples, seed, "uniform") == expected


@given(st.integers(4, 3_000), st.integers(4, 3_000), st.integers())
def test_large_uniform_samples_are_those_of_python_as_well(
    count: int, samples: int, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # What is more takes another way, which no result shows. The real number takes seconds.
        patch.setattr("mnist_idx.selection.FEW_RECORDS", 3)
        found = select(count, samples, seed, "uniform")
    assert found == random.Random(seed).sample(range(count), min(count, samples))


@pytest.mark.parametrize(
    ("num_samples", "seed", "sampling"),
    [
        pytest.param(None, 3, "first", id="seed-alone"),
        pytest.param(None, None, "uniform", id="sampling-alone"),
        pytest.param(50, None, "first", id="number-alone"),
    ],
)
def test_any_of_the_options_shuffles(
    num_samples: int | None, seed: int | None, sampling: str
) -> None:
    shuffled = select(50, num_samples, seed, sampling)
    assert shuffled != list(range(50))
    assert sorted(shuffled) == list(range(50))


@pytest.mark.parametrize("sampling", ["first", "uniform"])
def test_the_seed_is_1_unless_given(sampling: str) -> None:
    unseeded = select(1000, 50, None, sampling)
    assert unseeded == select(1000, 50, 1, sampling)
    assert unseeded != select(1000, 50, 2, sampling)


def test_integers_of_numpy_are_integers() -> None:
    assert select(9, np.int64(5), np.uint8(3), "first") == select(9, 5, 3, "first")
