"""Reading ahead in a background thread that stops when nobody wants its records any more.

A thread cannot be killed. Ours is asked to stop, and everything in it that waits (`pause`,
`result_of`) listens.
"""

import atexit
import enum
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent import futures
from typing import Generic, TypeVar

from .errors import IdxError

T = TypeVar("T")

MAX_AHEAD = 4  # items
MAX_AHEAD_BYTES = 16 << 20
POLL_SECONDS = 0.1  # how late a waiting thread notices that it shall stop
WAIT_SECONDS = 1.0  # how long to wait for the other thread before looking again by oneself
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
    if isinstance(thread, _StoppableThread):
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
    get_process = os.getpid
    is_finalizing = sys.is_finalizing
    process = get_process()
    reader = _Reader(items, size_of)
    try:
        while (item := reader.take()) is not _End.END:
            yield item
            if get_process() != process:
                # The thread is in the other process, and `items` is in the middle of a step.
                found = "This iterator was begun before the process was forked"
                raise IdxError(f"{found}. Begin a new one after the fork.")
    finally:
        if not is_finalizing() and get_process() == process:
            reader.stop()


class _End(enum.Enum):
    """What comes in place of an item behind the last one."""

    END = enum.auto()


_running: "weakref.WeakSet[_StoppableThread]" = weakref.WeakSet()


class _StoppableThread(threading.Thread):
    """A thread that stops when it is asked to, at the next `pause`."""

    def __init__(self) -> None:
        super().__init__(name="mnist_idx-prefetch", daemon=True)
        self.process = os.getpid()
        # Not an `Event`: the collector may finalize an iterator while this very thread waits.
        self._changed = threading.Condition(threading.RLock())
        self._is_stopping = False

    def start(self) -> None:
        _running.add(self)
        super().start()

    def pause(self, seconds: float) -> None:
        """Sleep in this thread. Raise `Abandoned` as soon as it shall stop."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._is_stopping:
                rest = until - time.monotonic()
                if rest <= 0:
                    return
                self._changed.wait(rest)
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


class _Reader(_StoppableThread, Generic[T]):
    """The thread that reads `items`, started by the first `take`."""

    def __init__(self, items: Generator[T, None, None], size_of: Callable[[T], int]) -> None:
        super().__init__()
        self._items = items
        self._size_of = size_of
        self._waiting: deque[T] = deque()
        self._waiting_bytes = 0
        self._num_requested = 0
        self._num_read = 0
        self._has_ended = False
        self._error: BaseException | None = None

    def take(self) -> T | _End:
        """The next item, or `END`. Errors of reading are raised here."""
        if self._num_requested == 0:
            self.start()
        with self._changed:
            self._num_requested += 1
            self._changed.notify_all()
            while not self._waiting and not self._has_ended:
                self._changed.wait(WAIT_SECONDS)
            if self._waiting:
                item = self._waiting.popleft()
                self._waiting_bytes -= self._size_of(item)
                return item
        error = self._error
        self._error = None  # It is raised once.
        if error is not None:
            raise error
        return _End.END

    def run(self) -> None:
        try:
            self._read_items()
            self._items.close()
        except Abandoned:
            pass
        except BaseException as error:  # raised again where the items are taken
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _read_items(self) -> None:
        while self._has_room():
            item = next(self._items, _End.END)
            if item is _End.END:
                return
            with self._changed:
                self._waiting.append(item)
                self._waiting_bytes += self._size_of(item)
                self._num_read += 1
                self._changed.notify_all()

    def _has_room(self) -> bool:
        """Wait until another item may be read. False if the thread shall stop."""
        with self._changed:
            while not self._is_stopping:
                ahead = min(self._num_requested - 1, MAX_AHEAD)
                is_wanted = self._num_read < self._num_requested + ahead
                fits = not self._waiting or self._waiting_bytes < MAX_AHEAD_BYTES
                if is_wanted and fits:
                    return True
                self._changed.wait(WAIT_SECONDS)
        return False


@atexit.register
def _stop_threads() -> None:
    """Stop threads of iterators that outlive their program, while the interpreter is complete."""
    for thread in list(_running):
        if thread.process == os.getpid():
            thread.stop()
