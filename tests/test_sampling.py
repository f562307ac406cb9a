"""Which records are selected, and in which order."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx import IdxError, load_arrays
from mnist_idx.sampling import check_selection, select


@given(st.integers(1, 500), st.integers(1, 600), st.integers())
def test_first_is_the_procedure_of_epynn_and_uniform_the_sample_of_python(count: int, samples: int, seed: int) -> None:
    records = list(range(count))[:samples]
    random.seed(seed)
    random.shuffle(records)
    assert list(select(count, samples, seed, "first")) == records
    random.seed(seed)
    assert list(select(count, samples, seed, "uniform")) == random.sample(range(count), min(count, samples))


def test_defaults() -> None:
    assert select(5) == range(5)
    for shuffled in (select(50, seed=3), select(50, sampling="uniform"), select(50, num_samples=50)):
        assert sorted(shuffled) == list(range(50))
        assert list(shuffled) != list(range(50))
    for sampling in ("first", "uniform"):
        unseeded, one, two = (list(select(1000, 50, seed, sampling)) for seed in (None, 1, 2))
        assert unseeded == one != two


def test_what_is_accepted() -> None:
    check_selection(np.int64(5), np.uint8(3), "first")
    assert list(select(9, np.int64(5), np.uint8(3))) == list(select(9, 5, 3))
    lengths = [len(load_arrays("mnist_idx", "tiny", split="test", num_samples=n)[0]) for n in (None, 1, 200, 1000)]
    assert lengths == [200, 1, 200, 200]  # a split may have fewer, if another one has as many


def test_errors_say_what_was_found() -> None:
    for arguments, message in (
        ((0, 1, "first"), "num_samples=0: expected at least 1"),
        ((1.0, 1, "first"), r"num_samples=1\.0: expected an integer, found float"),
        ((True, 1, "first"), "num_samples=True: expected an integer, found bool"),
        ((1, "1", "first"), "seed='1': expected an integer, found str"),
        ((1, 1, "last"), "sampling='last': expected one of 'first', 'uniform'"),
    ):
        with pytest.raises(IdxError, match=message):
            check_selection(*arguments)  # type: ignore[arg-type]
    with pytest.raises(IdxError, match=r"num_samples=1001: .*train 1,000, test 200"):
        load_arrays("mnist_idx", "tiny", num_samples=1001)
