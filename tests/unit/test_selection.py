"""Which records a selection has, in which order."""

import random

import numpy as np
import pytest
from clients import traced_memory
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx.errors import IdxError
from mnist_idx.selection import MAX_SELECTED, Selection


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


def test_a_selection_is_drawn_once() -> None:
    numbers = Selection(seed=12).numbers(5_000, "title")
    assert Selection(seed=12).numbers(5_000, "another") is numbers
    assert not numbers.flags.writeable


@pytest.mark.slow
def test_an_order_takes_four_bytes_a_record() -> None:
    with traced_memory(5_500_000):
        numbers = Selection(seed=13).numbers(1_000_000, "title")
    assert numbers.nbytes == 4_000_000


@pytest.mark.parametrize(
    ("selection", "num_records"),
    [
        pytest.param(Selection(seed=1), MAX_SELECTED + 1, id="all"),
        pytest.param(Selection(MAX_SELECTED + 1), MAX_SELECTED + 1, id="the-first"),
        pytest.param(Selection(2_000_000, None, "uniform"), MAX_SELECTED + 1, id="of-many"),
    ],
)
def test_an_order_of_too_many_records_is_refused(selection: Selection, num_records: int) -> None:
    selection.check_memory(num_records - 1, "title")
    for ask in (selection.check_memory, selection.numbers):
        with pytest.raises(IdxError, match=r"^title: .*expected at most 134,217,728"):
            ask(num_records, "title")


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(Selection(), id="all-in-their-order"),
        pytest.param(Selection(1_000_000), id="the-first"),
        pytest.param(Selection(1_000_000, 3, "uniform"), id="a-few-of-many"),
    ],
)
def test_a_selection_of_few_of_many_fits(selection: Selection) -> None:
    selection.check_memory(1 << 32, "title")
