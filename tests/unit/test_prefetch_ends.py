"""Reading ahead ends with the iterator, and with the program."""

import os
import subprocess
import sys
from collections.abc import Iterator

from clients import ROOT

from mnist_idx.prefetch import prefetch

PROGRAM = ROOT / "tests" / "support" / "user_programs" / "leave_items.py"


def test_nothing_is_read_for_an_iterator_that_was_left() -> None:
    read = []

    def read_items() -> Iterator[int]:
        for number in range(1_000_000):
            read.append(number)
            yield number

    items = prefetch(read_items(), lambda item: 1)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()
    assert len(read) < 20


def test_what_is_read_ahead_is_closed_at_the_end_of_the_program() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(PROGRAM)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("0 1\nclosed\n", "", 0)
