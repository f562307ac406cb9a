"""A bar on stderr that shows how many records are written."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

# What switches off the progress bars of `datasets`.
NO_PROGRESS_BARS = "HF_DATASETS_DISABLE_PROGRESS_BARS"
SWITCHED_ON = ("1", "on", "yes", "true")

Advance = Callable[[int], None]  # is called with the number of records that were written


def is_switched_off() -> bool:
    return os.environ.get(NO_PROGRESS_BARS, "").lower() in SWITCHED_ON


@contextmanager
def show_progress(
    description: str, total: int | None, only_on_terminal: bool = True
) -> Iterator[Advance]:
    """Show a bar, unless bars are switched off.

    Yields what is told of each batch.

    Args:
        total: number of records, if it is known.
        only_on_terminal: whether there is no bar where stderr is no terminal.
    """
    is_off = is_switched_off() or (only_on_terminal and not sys.stderr.isatty())
    with tqdm(total=total, desc=description, unit=" records", disable=is_off) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance
