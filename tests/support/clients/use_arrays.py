"""Use arrays by functions of the package that need nothing else."""

import sys

import numpy as np

import mnist_idx

IMAGES, LABELS = np.zeros((3, 4, 4), np.uint8), np.array([0, 1, 2], np.uint8)


def write() -> None:
    mnist_idx.write_idx((IMAGES, LABELS), "folder")
    mnist_idx.write_idx({"train": (IMAGES, LABELS), "test": IMAGES}, "set.tar", overwrite=True)


def draw() -> None:
    mnist_idx.contact_sheet(IMAGES, [0, 1, 2]).save("sheet.png")
    mnist_idx.contact_sheet((IMAGES, LABELS), num=2)


USES = {"write": write, "draw": draw}


def main(use: str, modules: list[str]) -> list[str]:
    """Which of the modules are imported then."""
    USES[use]()
    return [name for name in modules if name in sys.modules]
