"""Begin to read a stream, fork, and read the rest in both processes."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import datasets

import mnist_idx


def rest(rows: Iterator[dict[str, Any]]) -> list[int] | str:
    """The other labels, or "IdxError"."""
    found = []
    try:
        for row in rows:
            found.append(row["label"])
    except mnist_idx.IdxError:
        return "IdxError"
    return found


def main(options: dict[str, Any], count: int, answer: str) -> list[Any]:
    """The first `count` labels, then the rest in the parent and in the child.

    The child tells its own by the file `answer`.
    """
    rows = iter(datasets.load_dataset(**options, split="train", streaming=True))
    begun = [next(rows)["label"] for _ in range(count)]
    child = os.fork()
    if child == 0:
        signal.alarm(8)
        with open(answer, "w") as file:
            json.dump(rest(rows), file)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    in_parent = rest(rows)
    if status != 0:
        return [begun, in_parent, f"ended with {status}"]
    with open(answer) as file:
        return [begun, in_parent, json.load(file)]
