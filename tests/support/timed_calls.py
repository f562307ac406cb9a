"""Calls that get some seconds each. For the main thread of a process of its own."""

import signal
from collections.abc import Callable
from typing import Any

import datasets

import mnist_idx


class Endless(BaseException):
    """The seconds are over."""


def outcome(call: Callable[[], Any], seconds: float) -> int | str:
    """The exit code that a call returns or the type of what else, or the error that it raises."""
    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        done = call()
        return done if isinstance(done, int) else str(type(done))
    except mnist_idx.IdxError:
        return "IdxError"
    except BaseException as error:
        return repr(error)[:300]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def load_first(path: str, streaming: bool = False, **options: Any) -> None:
    """Load a dataset, and the first record of each split."""
    for rows in datasets.load_dataset(path, streaming=streaming, **options).values():
        next(iter(rows), None)


def _stop(*args: Any) -> None:
    raise Endless
