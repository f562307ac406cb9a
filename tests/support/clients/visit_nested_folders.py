"""Read from and write to the folder "nested", which has folders deeper than Python recurses."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from timed_calls import load_first, outcome

import mnist_idx
from mnist_idx.tools import cli


def count_arrays() -> int:
    return len(mnist_idx.load_arrays("idxfolder", data_dir="nested")[0])


def main(seconds: float) -> dict[str, int | str]:
    """The outcome of each call, by its title."""
    load = partial(load_first, "idxfolder", data_dir="nested")
    calls: dict[str, Callable[[], Any]] = {
        "prepared": load,
        "streamed": partial(load, streaming=True),
        "arrays": count_arrays,
        "verify": partial(cli.main, ["verify", "nested"]),
        "preview": partial(cli.main, ["preview", "nested", "--ascii"]),
    }
    pair = np.zeros((2, 3, 3), np.uint8), [0, 1]
    for overwrite in (False, True):
        calls[f"write, {overwrite}"] = partial(
            mnist_idx.write_idx, pair, "nested", overwrite=overwrite
        )
        calls[f"export, {overwrite}"] = partial(
            mnist_idx.export, "nested", ["tiny"], overwrite=overwrite
        )
    return {title: outcome(call, seconds) for title, call in calls.items()}
