"""Resolve both names in several folders by all the ways that `datasets` has."""

import os
import sys
from pathlib import Path
from typing import Any

import datasets

HEAVY = {"aiohttp", "torch"}


def resolve() -> list[Any]:
    """What both names are in the working folder, and whether it stays as it is."""
    before = sorted(Path().iterdir())
    names = datasets.get_dataset_config_names("mnist_idx")
    return [
        names == list(datasets.get_dataset_infos("mnist_idx")),
        datasets.get_dataset_default_config_name("mnist_idx"),
        sorted(datasets.get_dataset_split_names("mnist_idx")),
        type(datasets.load_dataset_builder("mnist_idx")).__name__,
        type(datasets.load_dataset_builder("idxfolder", data_dir=".")).__name__,
        datasets.get_dataset_config_names("idxfolder"),
        datasets.load_dataset("mnist_idx", "tiny").num_rows,
        sorted(Path().iterdir()) == before,
    ]


def main(folders: list[str]) -> list[Any]:
    """The heavy packages that ours imports, what is found in each folder, counts and features."""
    known = set(sys.modules)
    import mnist_idx

    new_packages = {name.partition(".")[0] for name in set(sys.modules) - known}
    found = []
    for folder in folders:
        os.chdir(folder)
        found.append(resolve())
    info = datasets.get_dataset_config_info("mnist_idx", config_name="mnist")
    counts = {name: split.num_examples for name, split in info.splits.items()}
    return [sorted(new_packages & HEAVY), found, counts, str(info.features)]
