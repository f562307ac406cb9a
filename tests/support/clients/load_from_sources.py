"""Load a dataset from sources of which some may fail."""

from typing import Any

import datasets
from clients import digest

import mnist_idx
from mnist_idx import catalog


def main(urls: list[str]) -> list[list[Any]]:
    """The digests of what is prepared and streamed."""
    catalog.DATASETS["mnist"] = catalog.TINY._replace(sources=tuple(urls))
    digests = []
    for streaming in (False, True):
        data = datasets.load_dataset("mnist_idx", split="train", streaming=streaming)
        digests.append(digest(data))
    return digests
