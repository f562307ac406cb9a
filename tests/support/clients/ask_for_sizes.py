"""Ask for pictures of sizes that no memory holds, and for sane ones."""

from collections.abc import Callable
from functools import partial
from typing import Any

import datasets
import numpy as np
from PIL import Image
from timed_calls import outcome

import mnist_idx
from mnist_idx.tools import cli

ONE = np.zeros((1, 28, 28), np.uint8), [3]
MANY = np.zeros((200_000, 1, 1), np.uint8)
PICTURE = Image.new("L", (5, 5))


def convert(size: str) -> int:
    """Convert the picture of the working folder."""
    line = ["convert", "imagefolder", "new", "--data-dir", ".", "--mode", "L", "--size", size]
    return cli.main(line)


def main(seconds: float) -> dict[str, Any]:
    """The outcome of each size, and what is "sane": two sheets' width in thousands, and a shape."""
    PICTURE.save("picture.png")
    pictures = datasets.Dataset.from_dict(
        {"image": [PICTURE] * 3, "label": [0, 1, 2]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int32")}),
    )
    write = partial(mnist_idx.write_idx, pictures, "new")
    sheet = mnist_idx.contact_sheet
    calls: dict[str, Callable[[], Any]] = {
        "cell": partial(sheet, ONE, cell=10**6),
        "cell, some": partial(sheet, np.zeros((50, 9, 9)), cell=20_000),
        "cell of int64": partial(sheet, ONE, cell=2**40),
        "columns": partial(sheet, MANY, columns=10**6, num=200_000),
        "columns and num": partial(sheet, MANY, columns=10**6, num=10**6),
        "one column": partial(sheet, MANY, columns=1, num=200_000),
        "all": partial(sheet, np.zeros((200_000, 28, 28), np.uint8), num=200_000),
        "write": partial(write, size=(10**6, 10**6)),
        "write, some": partial(write, size=(10**5, 10**5)),
        "write, long": partial(write, size=(1, 10**9)),
        "write, int64": partial(write, size=(2**40, 2**40)),
        "convert": partial(convert, "1000000x1000000"),
        "convert, int64": partial(convert, "1x99999999999999"),
    }
    outcomes: dict[str, Any] = {title: outcome(call, seconds) for title, call in calls.items()}
    widths = [sheet(ONE, cell=2000).size[0], sheet(MANY, columns=100, num=2000).size[0]]
    write(size=(2000, 2000))
    images, _ = mnist_idx.load_arrays("idxfolder", data_dir="new")
    outcomes["sane"] = [*[width // 1000 for width in widths], images.shape]
    return outcomes
