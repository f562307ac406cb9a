"""Load the train split, and measure how long that takes."""

import time
from typing import Any

import datasets

import mnist_idx


def main(name: str, streaming: bool, options: dict[str, Any]) -> tuple[str, int | str, float]:
    """The verdict "loaded" with the number of records or "refused" with the message; seconds."""
    began = time.monotonic()
    found: int | str
    try:
        data = datasets.load_dataset(name, streaming=streaming, split="train", **options)
        verdict, found = "loaded", sum(1 for _ in data)
    except mnist_idx.IdxError as error:
        verdict, found = "refused", str(error)
    return verdict, found, time.monotonic() - began
