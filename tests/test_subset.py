"""Which records a subset has, and in which order."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx.idx import IdxError
from mnist_idx.subset import check_num_samples, check_selection, select


@given(st.integers(1, 500), st.integers(1, 600), st.integers())
def test_first_is_what_epynn_does(num_records: int, num_samples: int, seed: int) -> None:
    records = list(range(num_records))[:num_samples]
    random.seed(seed)
    random.shuffle(records)
    assert list(select(num_records, num_samples, seed, "first")) == records


@given(st.integers(1, 500), st.integers(1, 600), st.integers())
def test_uniform_draws_without_replacement_and_reproducibly(num_records: int, num_samples: int, seed: int) -> None:
    drawn = list(select(num_records, num_samples, seed, "uniform"))
    assert len(drawn) == len(set(drawn)) == min(num_records, num_samples)
    assert set(drawn) <= set(range(num_records))
    assert drawn == list(select(num_records, num_samples, seed, "uniform"))


def test_uniform_is_python_s_own_sample() -> None:
    random.seed(7)
    assert list(select(60_000, 5, 7, "uniform")) == random.sample(range(60_000), 5)


def test_uniform_covers_the_split_evenly() -> None:
    counts = np.zeros(10)
    for seed in range(400):
        for record in select(1000, 50, seed, "uniform"):
            counts[record // 100] += 1
    # 20,000 draws into 10 equal parts: 2,000 each, standard deviation about 41
    assert abs(counts - 2000).max() < 6 * 41


def test_seeds_differ_and_one_is_the_default() -> None:
    for sampling in ("first", "uniform"):
        assert list(select(1000, 50, 1, sampling)) != list(select(1000, 50, 2, sampling))
        assert list(select(1000, 50, None, sampling)) == list(select(1000, 50, 1, sampling))


def test_all_records_stay_in_order_unless_asked() -> None:
    assert list(select(5)) == [0, 1, 2, 3, 4]
    assert sorted(select(5, seed=3)) == [0, 1, 2, 3, 4]
    assert list(select(5, seed=3)) != [0, 1, 2, 3, 4]
    assert list(select(0)) == []


def test_numpy_numbers_are_numbers() -> None:
    check_selection(np.int64(5), np.uint8(3), "first")
    assert list(select(9, np.int64(5), np.uint8(3))) == list(select(9, 5, 3))


@given(st.one_of(st.floats(), st.text(), st.booleans(), st.integers(max_value=0)))
def test_a_wrong_number_of_samples_is_an_error(value: Any) -> None:
    with pytest.raises(IdxError, match="num_samples"):
        check_selection(value, 1, "first")


@pytest.mark.parametrize(
    ("check", "found"),
    [
        (lambda: check_selection(1, "1", "first"), "seed='1'"),
        (lambda: check_selection(1, True, "first"), "seed=True"),
        (lambda: check_selection(1, 1, "last"), "sampling='last'"),
        (lambda: check_num_samples(11, {"train": 10, "test": 2}), "train 10, test 2"),
        (lambda: check_num_samples(1, {}), "num_samples=1"),
    ],
)
def test_errors_say_what_was_found(check: Callable[[], None], found: str) -> None:
    with pytest.raises(IdxError, match=found):
        check()


def test_a_split_may_be_smaller() -> None:
    check_num_samples(10, {"train": 10, "test": 2})
    assert len(select(2, 10)) == 2
