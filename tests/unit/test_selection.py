"""Which records a selection has, in which order."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx.selection import Selection


def select(count: int, num_samples: int | None, seed: int | None, sampling: str) -> list[int]:
    return Selection(num_samples, seed, sampling).numbers(count, "title").tolist()


@given(st.integers(1, 500), st.integers(1, 600), st.integers())
def test_first_is_the_procedure_of_epynn_and_uniform_the_sample_of_python(
    count: int, samples: int, seed: int
) -> None:
    records = list(range(count))[:samples]
    random.seed(seed)
    random.shuffle(records)
    assert list(select(count, samples, seed, "first")) == records
    random.seed(seed)
    assert list(select(count, samples, seed, "uniform")) == random.sample(
        range(count), min(count, samples)
    )


@given(st.integers(4, 3_000), st.integers(4, 3_000), st.integers())
def test_large_samples_are_those_of_python_as_well(count: int, samples: int, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_idx.selection.FEW_RECORDS", 3)  # what is more takes another way
        found = select(count, samples, seed, "uniform")
    assert found == random.Random(seed).sample(range(count), min(count, samples))


def test_defaults() -> None:
    for shuffled in (
        select(50, None, 3, "first"),
        select(50, None, None, "uniform"),
        select(50, 50, None, "first"),
    ):
        assert sorted(shuffled) == list(range(50))
        assert list(shuffled) != list(range(50))
    for sampling in ("first", "uniform"):
        unseeded, one, two = (list(select(1000, 50, seed, sampling)) for seed in (None, 1, 2))
        assert unseeded == one != two


def test_integers_of_numpy_are_integers() -> None:
    assert list(select(9, np.int64(5), np.uint8(3), "first")) == list(select(9, 5, 3, "first"))
