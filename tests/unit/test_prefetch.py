"""Reading ahead in a thread that ends when its items are not wanted any more."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import fsspec.asyn
import pytest

from mnist_idx import IdxError
from mnist_idx.prefetch import MAX_AHEAD, pause, prefetch, result_of


class Items:
    """Numbers, and what has become of their iterator."""

    def __init__(self, count: int = 50, wait: float = 0.0) -> None:
        self.read = 0
        self.thread: threading.Thread | None = None
        self.is_closed = threading.Event()
        self._count = count
        self._wait = wait

    def __call__(self) -> Iterator[int]:
        self.thread = threading.current_thread()
        try:
            for number in range(self._count):
                self.read += 1
                yield number
                pause(self._wait)
        finally:
            self.is_closed.set()

    def settle(self) -> int:
        """How many were read, once no more are."""
        time.sleep(0.05)
        return self.read


def ahead_of(items: Iterator[int], num_bytes: int = 1) -> Any:
    """The iterator that reads ahead of numbers, each of which is taken for so many bytes."""
    return prefetch(items, lambda item: num_bytes)  # type: ignore[arg-type,return-value]


def close(running: list[Any]) -> None:
    """Close the iterator in a list."""
    running.pop().close()


def forget(running: list[Any]) -> None:
    """Drop the only reference to the iterator in a list."""
    running.clear()
    gc.collect()


@pytest.mark.parametrize("count", [50, 0])
def test_all_items_arrive_in_their_order(count: int) -> None:
    assert list(ahead_of(Items(count)())) == list(range(count))


def test_nothing_is_read_before_the_first_item_is_asked_for() -> None:
    items = Items()
    running = ahead_of(items())
    assert items.settle() == 0
    running.close()


def test_how_far_ahead_grows_with_use() -> None:
    items = Items()
    running = ahead_of(items())
    ahead = []
    for taken in range(1, 8):
        next(running)
        ahead.append(items.settle() - taken)
    assert ahead == [0, 1, 2, 3, MAX_AHEAD, MAX_AHEAD, MAX_AHEAD]
    running.close()


def test_of_large_items_one_is_ahead_at_most() -> None:
    items = Items()
    running = ahead_of(items(), num_bytes=1 << 30)
    for taken in range(1, 5):
        next(running)
        assert items.settle() <= taken + 1


@pytest.mark.parametrize("leave", [close, forget], ids=["closed", "forgotten"])
def test_the_thread_ends_with_the_iterator(leave: Callable[[list[Any]], None]) -> None:
    items = Items(wait=60)
    running = [ahead_of(items())]
    next(running[0])
    began = time.monotonic()
    leave(running)
    assert items.is_closed.wait(2)
    assert items.thread is not None
    items.thread.join(2)
    assert not items.thread.is_alive()
    assert time.monotonic() - began < 2


def test_an_error_arrives_behind_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise IdxError("damaged")

    running = ahead_of(items())
    assert next(running) == 1
    with pytest.raises(IdxError, match="damaged"):
        next(running)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_is_told_to_begin_anew() -> None:
    running = ahead_of(Items()())
    next(running)
    child = os.fork()
    if child == 0:
        try:
            next(running)
        except IdxError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert next(running) == 1


def test_a_result_is_not_waited_for_when_the_thread_shall_stop() -> None:
    future = asyncio.run_coroutine_threadsafe(asyncio.sleep(60), fsspec.asyn.get_loop())

    def items() -> Iterator[int]:
        yield from range(2)
        result_of(future)

    running = ahead_of(items())
    assert [next(running), next(running)] == [0, 1]
    began = time.monotonic()
    running.close()
    assert time.monotonic() - began < 2
    assert future.cancelled()
