"""Reading ahead in a thread that ends when its items are not wanted any more."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator

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


def test_all_items_in_their_order() -> None:
    assert list(prefetch(Items()(), lambda item: 1)) == list(range(50))  # type: ignore[arg-type]
    assert list(prefetch(Items(0)(), lambda item: 1)) == []  # type: ignore[arg-type]


def test_how_far_ahead_grows_with_use() -> None:
    items = Items()
    running = prefetch(items(), lambda item: 1)  # type: ignore[arg-type]
    assert items.settle() == 0
    ahead = []
    for taken in range(1, 8):
        next(running)
        ahead.append(items.settle() - taken)
    assert ahead == [0, 1, 2, 3, MAX_AHEAD, MAX_AHEAD, MAX_AHEAD]
    running.close()  # type: ignore[attr-defined]


def test_large_items_do_not_wait_in_number() -> None:
    items = Items()
    running = prefetch(items(), lambda item: 1 << 30)  # type: ignore[arg-type]
    for taken in range(1, 5):
        next(running)
        assert items.settle() <= taken + 1


@pytest.mark.parametrize("way", ["close", "forget"])
def test_the_thread_ends_with_the_iterator(way: str) -> None:
    items = Items(wait=60)
    running = prefetch(items(), lambda item: 1)  # type: ignore[arg-type]
    next(running)
    began = time.monotonic()
    if way == "close":
        running.close()  # type: ignore[attr-defined]
    else:
        del running
        gc.collect()
    assert items.is_closed.wait(2)
    assert items.thread is not None
    items.thread.join(2)
    assert not items.thread.is_alive()
    assert time.monotonic() - began < 2


def test_errors_arrive_behind_the_items_before_them() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise IdxError("damaged")

    running = prefetch(items(), lambda item: 1)  # type: ignore[arg-type]
    assert next(running) == 1
    with pytest.raises(IdxError, match="damaged"):
        next(running)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_is_told_to_begin_anew() -> None:
    running = prefetch(Items()(), lambda item: 1)  # type: ignore[arg-type]
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
    loop = fsspec.asyn.get_loop()
    future = asyncio.run_coroutine_threadsafe(asyncio.sleep(60), loop)

    def items() -> Iterator[int]:
        yield from range(2)
        result_of(future)

    running = prefetch(items(), lambda item: 1)  # type: ignore[arg-type]
    assert [next(running), next(running)] == [0, 1]
    began = time.monotonic()
    running.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 2
    assert future.cancelled()
