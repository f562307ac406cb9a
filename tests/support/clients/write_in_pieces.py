"""Write four images of one value, and stop after two of them until told to go on."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np

import mnist_idx

PATIENCE = 60  # seconds
FEATURES = datasets.Features(
    {"image": datasets.Array2D((4, 4), "uint8"), "label": datasets.Value("int32")}
)


def rows(value: int, reached: str, go: str) -> Iterator[dict[str, Any]]:
    for number in range(4):
        yield {"image": np.full((4, 4), value, np.uint8), "label": number}
        if number == 1:
            Path(reached).touch()
            wait_for(Path(go))


def wait_for(path: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)


def main(target: str, value: int, overwrite: bool, reached: str, go: str) -> str | None:
    """The message of the error, if there is one.

    The file `reached` says that half is written; `go` is waited for.
    """
    stream = datasets.IterableDataset.from_generator(
        rows, features=FEATURES, gen_kwargs={"value": value, "reached": reached, "go": go}
    )
    try:
        mnist_idx.write_idx(stream, target, overwrite=overwrite)
    except mnist_idx.IdxError as error:
        return str(error)
    return None
