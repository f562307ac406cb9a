"""Which records are selected, and in which order."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx.idx import IdxError
from mnist_idx.sampling import check_num_samples, check_selection, count_selected, select


@given(st.integers(1, 500), st.integers(1, 600), st.integers())
def test_first_is_the_procedure_of_epynn(num_records: int, num_samples: int, seed: int) -> None:
    records = list(range(num_records))[:num_samples]
    random.seed(seed)
    random.shuffle(records)
    assert list(select(num_records, num_samples, seed, "first")) == records


@given(st.integers(1, 500), st.integers(1, 600), st.integers())
def test_uniform_is_the_sample_of_python(num_records: int, num_samples: int, seed: int) -> None:
    random.seed(seed)
    expected = random.sample(range(num_records), min(num_records, num_samples))
    assert list(select(num_records, num_samples, seed, "uniform")) == expected


@pytest.mark.parametrize("sampling", ["first", "uniform"])
def test_the_default_seed_is_one(sampling: str) -> None:
    assert list(select(1000, 50, 1, sampling)) != list(select(1000, 50, 2, sampling))
    assert list(select(1000, 50, None, sampling)) == list(select(1000, 50, 1, sampling))


def test_all_records_stay_in_order_by_default() -> None:
    assert select(5) == range(5)
    for shuffled in (select(50, seed=3), select(50, sampling="uniform"), select(50, num_samples=50)):
        assert sorted(shuffled) == list(range(50))
        assert list(shuffled) != list(range(50))


def test_numpy_integers_are_accepted() -> None:
    check_selection(np.int64(5), np.uint8(3), "first")
    assert list(select(9, np.int64(5), np.uint8(3))) == list(select(9, 5, 3))


def test_a_split_may_have_fewer_records() -> None:
    check_num_samples(10, {"train": 10, "test": 2})
    check_num_samples(None, {})
    assert [count_selected(2, number) for number in (None, 1, 10)] == [2, 1, 2]


@given(st.one_of(st.floats(), st.text(), st.booleans()))
def test_only_integers_are_numbers_of_samples(value: Any) -> None:
    with pytest.raises(IdxError, match=r"num_samples=.*expected an integer"):
        check_selection(value, 1, "first")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: check_selection(0, 1, "first"), "num_samples=0: expected at least 1"),
        (lambda: check_selection(1, "1", "first"), "seed='1': expected an integer, found str"),
        (lambda: check_selection(1, True, "first"), "seed=True: expected an integer, found bool"),
        (lambda: check_selection(1, 1, "last"), "sampling='last': expected one of 'first', 'uniform'"),
        (lambda: check_num_samples(11, {"test": 2, "train": 10}), "num_samples=11: .*test 2, train 10"),
        (lambda: check_num_samples(1, {}), "num_samples=1"),
    ],
)
def test_errors_say_what_was_found(check: Callable[[], None], message: str) -> None:
    with pytest.raises(IdxError, match=message):
        check()
