"""Load large images, and measure the memory that this takes."""

from typing import Any

import datasets
from memory import number_of_large
from process_memory import peak_memory

import mnist_idx


def main(
    mode: str, options: dict[str, Any], row_format: str | None, split: str = "train"
) -> dict[str, Any]:
    """The peak of memory, and the numbers of the images."""
    if mode == "arrays":
        images = mnist_idx.load_arrays("idxfolder", split=split, **options)[0]
        peak = peak_memory()
        return {"peak": peak, "numbers": [number_of_large(image) for image in images]}
    data = datasets.load_dataset("idxfolder", split=split, streaming=mode == "streamed", **options)
    peak = peak_memory()
    numbers = [number_of_large(row["image"]) for row in data.with_format(row_format)]
    # What is read of prepared data is mapped into memory, and counts as that of the process.
    if mode == "streamed":
        peak = peak_memory()
    return {"peak": peak, "numbers": numbers}
