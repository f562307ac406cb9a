"""Write a folder again and again, while another process does so, too."""

import time
from pathlib import Path

import numpy as np

import mnist_idx

TIMES = 100  # some of them meet


def main(value: int, ready: str, target: str) -> list[str | None]:
    """The error message of each time, None if there is none.

    Begins as soon as both processes have made a file in the folder `ready`.
    """
    Path(ready, str(value)).touch()
    while len(list(Path(ready).iterdir())) < 2:
        time.sleep(0.001)
    images, labels = np.full((3, 4, 4), value, np.uint8), np.full(3, value, np.uint8)
    messages: list[str | None] = []
    for _ in range(TIMES):
        try:
            mnist_idx.write_idx((images, labels), target, overwrite=True)
            messages.append(None)
        except mnist_idx.IdxError as error:
            messages.append(str(error))
    return messages
