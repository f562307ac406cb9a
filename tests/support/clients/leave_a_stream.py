"""Read a stream until its server stalls, and leave it."""

import gc
import time
from pathlib import Path
from typing import Any

import datasets

import mnist_idx


def main(how: str, options: dict[str, Any], flag: str) -> float:
    """The seconds that leaving takes: by "break", "del" or "close".

    The server makes the file `flag` when it begins to stall.
    """
    data = datasets.load_dataset("idxfolder", streaming=True, split="train", **options)
    rows: Any = data if how == "break" else iter(data)
    # Slowly enough that there is a row left when what follows is being fetched.
    for _ in rows:
        if Path(flag).exists():
            time.sleep(0.5)
            began = time.monotonic()
            break
        time.sleep(0.0005)
    if how == "close":
        rows.close()
    del rows
    gc.collect()
    return time.monotonic() - began
