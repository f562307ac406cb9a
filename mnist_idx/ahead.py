"""Reading ahead: what is asked for next is fetched and unpacked while what came before is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MOST_AHEAD = 4


def read_ahead(items: Generator[T, None, None], most: int = MOST_AHEAD) -> Iterator[T]:
    """Run a generator in a thread, ahead of whoever uses its items.

    It runs ahead by as many items as have been used, at most by `most`: who takes only the first is not made to wait,
    or to pay, for more.

    Args:
        items: the generator; it is closed in the end.
        most: the most items that are held.
    """
    pending: deque[Future[list[T]]] = deque()
    used = 0
    thread = ThreadPoolExecutor(1, "mnist_idx-read-ahead")
    try:
        while True:
            while len(pending) <= min(used, most):
                pending.append(thread.submit(_next, items))
            item = pending.popleft().result()
            if not item:
                return
            yield item[0]
            used += 1
    finally:
        thread.shutdown(wait=True, cancel_futures=True)
        items.close()


def _next(items: Iterator[T]) -> list[T]:
    """The next item in a list, an empty list at the end: `StopIteration` does not pass through a future."""
    return [item for item in (next(items, None),) if item is not None]
