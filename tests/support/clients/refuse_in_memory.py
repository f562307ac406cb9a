"""Load arrays from a server that answers without end, and measure the memory that this takes."""

from typing import Any

# What loading imports is no part of that.
import aiohttp
import datasets
import numpy
import PIL.Image
from process_memory import peak_memory

import mnist_idx


def main(options: dict[str, Any]) -> tuple[str, int]:
    """The error message, and the bytes."""
    before = peak_memory()
    message = "nothing was refused"
    try:
        mnist_idx.load_arrays("idxfolder", streaming=True, **options)
    except mnist_idx.IdxError as error:
        message = str(error)
    return message, peak_memory() - before
