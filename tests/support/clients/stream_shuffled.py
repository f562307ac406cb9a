"""Stream the first images of a shuffled order."""

import datasets

import mnist_idx


def main(path: str) -> list[int]:
    """The widths of three."""
    stream = datasets.load_dataset(
        "idxfolder", data_dir=path, seed=1, split="train", streaming=True
    )
    return [row["image"].width for row in stream.take(3)]
