"""Load the train split of IDX files up to its first record."""

from typing import Any

import datasets

import mnist_idx


def main(mode: str, options: dict[str, Any]) -> str:
    """The message of the error, "loaded" if there is none."""
    try:
        if mode == "arrays":
            mnist_idx.load_arrays("idxfolder", **options)
        else:
            data = datasets.load_dataset(
                "idxfolder", split="train", streaming=mode == "streamed", **options
            )
            next(iter(data))
    except mnist_idx.IdxError as error:
        return str(error)
    return "loaded"
