"""Reading ahead in a background thread that stops when nobody wants its records any more.

A thread cannot be killed. Ours is asked to stop, and everything in it that waits (`pause`,
`result_of`) listens.
"""

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent import futures
from typing import Any, Generic, TypeVar

from .errors import IdxError

T = TypeVar("T")

MAX_AHEAD = 4  # items
MAX_AHEAD_BYTES = 16 << 20
POLL_SECONDS = 0.1  # how late a waiting thread notices that it shall stop
# A file system that cannot be interrupted may hold the thread: it is left alone then, and ends by
# itself.
JOIN_SECONDS = 1.0


class Abandoned(BaseException):
    """Raised in a background thread whose items nobody wants any more.

    Not an `Exception`: nothing may retry it.
    """


def pause(seconds: float) -> None:
    """Sleep, as `time.sleep` does.

    In a background thread that shall stop, raise `Abandoned` at once.
    """
    thread = threading.current_thread()
    if isinstance(thread, _Reader):
        thread.pause(seconds)
    else:
        time.sleep(seconds)


def result_of(future: "futures.Future[T]") -> T:
    """Wait for a result. Cancel it on Ctrl-C, or if this background thread shall stop."""
    try:
        while not futures.wait([future], POLL_SECONDS).done:
            pause(0)
    except BaseException:
        future.cancel()
        raise
    return future.result()


def prefetch(items: Generator[T, None, None], size_of: Callable[[T], int]) -> Iterator[T]:
    """Iterate `items` in a background thread, a few items ahead, and close it at the end.

    How far ahead grows from nothing with each item taken, so that taking a single item reads little
    more.

    Args:
        size_of: the bytes of an item. The items that wait have `MAX_AHEAD_BYTES` at most, or are a
            single one.
    """
    # Bound here: at the end of a program, modules lose their names before what outlives them is
    # finalized.
    get_process, is_finalizing = os.getpid, sys.is_finalizing
    process = get_process()
    reader = _Reader(items, size_of)
    try:
        while (item := reader.take()) is not _END:
            yield item  # type: ignore[misc]
            if get_process() != process:
                # The thread is in the other process, and `items` is in the middle of a step.
                found = "This iterator was begun before the process was forked"
                raise IdxError(f"{found}. Begin a new one after the fork.")
    finally:
        if not is_finalizing() and get_process() == process:
            reader.stop()


_END = object()
_readers: "weakref.WeakSet[_Reader[Any]]" = weakref.WeakSet()


class _Reader(threading.Thread, Generic[T]):
    """The thread that reads `items`, started by the first `take`."""

    def __init__(self, items: Generator[T, None, None], size_of: Callable[[T], int]) -> None:
        super().__init__(name="mnist_idx-prefetch", daemon=True)
        self.process = os.getpid()
        self._items = items
        self._size_of = size_of
        # Not an `Event`: the collector may finalize an iterator while this very thread waits.
        self._changed = threading.Condition(threading.RLock())
        self._is_stopping = False
        self._waiting: deque[T] = deque()
        self._waiting_bytes = 0
        self._num_requested = self._num_read = 0
        self._has_ended = False
        self._error: BaseException | None = None

    def take(self) -> object:
        """The next item, or `_END`."""
        if self._num_requested == 0:
            _readers.add(self)
            self.start()
        with self._changed:
            self._num_requested += 1
            self._changed.notify_all()
            while not self._waiting and not self._has_ended:
                self._changed.wait(POLL_SECONDS * 10)
            if self._waiting:
                item = self._waiting.popleft()
                self._waiting_bytes -= self._size_of(item)
                return item
        error, self._error = self._error, None
        if error is not None:
            raise error
        return _END

    def run(self) -> None:
        try:
            while self._has_room() and (item := next(self._items, _END)) is not _END:
                with self._changed:
                    self._waiting.append(item)  # type: ignore[arg-type]
                    self._waiting_bytes += self._size_of(item)  # type: ignore[arg-type]
                    self._num_read += 1
                    self._changed.notify_all()
            self._items.close()
        except Abandoned:
            pass
        except BaseException as error:  # raised again where the items are taken
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _has_room(self) -> bool:
        """Wait until another item may be read. False if the thread shall stop."""
        with self._changed:
            while not self._is_stopping:
                ahead = min(self._num_requested - 1, MAX_AHEAD)
                if self._num_read < self._num_requested + ahead and (
                    not self._waiting or self._waiting_bytes < MAX_AHEAD_BYTES
                ):
                    return True
                self._changed.wait(POLL_SECONDS * 10)
        return False

    def pause(self, seconds: float) -> None:
        """Sleep in this thread. Raise `Abandoned` as soon as it shall stop."""
        with self._changed:
            until = time.monotonic() + seconds
            while not self._is_stopping and (rest := until - time.monotonic()) > 0:
                self._changed.wait(rest)
            if self._is_stopping:
                raise Abandoned

    def stop(self) -> None:
        """Ask the thread to stop, and wait for it, but not for long."""
        if not self.is_alive():
            return
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        if threading.current_thread() is not self:  # The collector works in any thread.
            self.join(JOIN_SECONDS)


@atexit.register
def _stop_readers() -> None:
    """Stop the threads of iterators that outlive their program, before the interpreter is taken
    apart.
    """
    for reader in list(_readers):
        if reader.process == os.getpid():
            reader.stop()
