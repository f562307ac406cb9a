"""Drop streams that are half read and in a cycle.

Whichever thread allocates next removes them, the one that reads ahead included.
"""

import gc
import time
from typing import Any

import datasets

import mnist_idx


def main(options: dict[str, Any], times: int) -> None:
    stream = datasets.load_dataset(**options, split="train", streaming=True)
    for _ in range(times):
        gc.disable()
        rows = iter(stream)
        for _ in range(101):
            next(rows)
        cycle: list[Any] = [rows]
        cycle.append(cycle)
        del rows, cycle
        gc.set_threshold(1, 1, 1)
        gc.enable()
        time.sleep(0.1)
