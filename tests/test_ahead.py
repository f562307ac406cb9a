"""Reading ahead: in order, no further than is likely to be used, and never after the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from mnist_idx.ahead import read_ahead


def items(count: int, made: list[int], closed: list[bool]) -> Generator[int, None, None]:
    try:
        for number in range(count):
            made.append(number)
            yield number
    finally:
        closed.append(True)


def settled(made: list[int]) -> int:
    """How many items have been made, once no more are."""
    count = -1
    while count != len(made):
        count = len(made)
        time.sleep(0.02)
    return count


def test_in_order_and_in_another_thread() -> None:
    def threads() -> Generator[str, None, None]:
        while True:
            yield threading.current_thread().name

    made: list[int] = []
    assert list(read_ahead(items(50, made, []))) == list(range(50))
    assert next(iter(read_ahead(threads()))).startswith("mnist_idx-read-ahead")


def test_no_further_ahead_than_has_been_used() -> None:
    made: list[int] = []
    running = iter(read_ahead(items(50, made, []), most=3))
    assert [(next(running), settled(made))[1] for _ in range(6)] == [1, 3, 5, 7, 8, 9]


def test_whoever_stops_early_leaves_nothing_open() -> None:
    made, closed = [], []
    running = read_ahead(items(50, made, closed))
    next(running), next(running)
    running.close()  # type: ignore[attr-defined]
    assert closed == [True]
    count = len(made)
    assert settled(made) == count < 50
    assert not any(thread.name.startswith("mnist_idx-read-ahead") for thread in threading.enumerate())


def test_errors_arrive_where_they_belong() -> None:
    def failing() -> Generator[int, None, None]:
        yield from range(5)
        raise ValueError("after five")

    running = read_ahead(failing())
    assert [next(running) for _ in range(5)] == list(range(5))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="after five"):
        next(running)  # type: ignore[call-overload]
    assert not any(thread.name.startswith("mnist_idx-read-ahead") for thread in threading.enumerate())
