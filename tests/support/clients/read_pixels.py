"""Read images of one pixel in several modes."""

from typing import Any

from loading import read_all


def main(modes: list[str], options: dict[str, Any]) -> list[list[int]]:
    """The pixels of the train split in each mode."""
    pixels = []
    for mode in modes:
        images, _ = read_all(mode, "idxfolder", splits=["train"], **options)["train"]
        pixels.append(images.reshape(-1).tolist())
    return pixels
