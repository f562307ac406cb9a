"""Load many folders of IDX files in the working folder."""

import os
from typing import Any

from datasets import load_dataset
from loading import read_all


def load_rows(name: str) -> list[list[dict[str, Any]]]:
    """The rows of a folder, prepared and streamed."""
    found = []
    for streaming in (False, True):
        data = load_dataset("idxfolder", data_dir=name, split="train", streaming=streaming)
        found.append(list(data))
    return found


def read_lists(mode: str, options: dict[str, Any]) -> dict[str, list[Any]]:
    """Split -> its images and labels, or None."""
    lists = {}
    for split, arrays in read_all(mode, "idxfolder", **options).items():
        lists[split] = [None if array is None else array.tolist() for array in arrays]
    return lists


def main(urls: dict[str, list[str]], cases: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the folders "empty" and "parts", the files at `urls` and `cases` hold.

    `cases` are folders to work in, with the options of loading.
    """
    parts = []
    for rows in load_rows("parts"):
        parts.append([[row["label"], *row["label_details"]] for row in rows])
    # fsspec's thread is not in a forked process: older versions wait for it forever.
    forked = load_dataset("idxfolder", num_proc=2, data_files=urls, cache_dir="forked")
    loaded = []
    for name, options in cases.items():
        os.chdir(name)
        for mode in ("prepared", "streamed"):
            loaded.append([name, read_lists(mode, options)])
        os.chdir("..")
    return {
        "empty": load_rows("empty"),
        "parts": parts,
        "forked": forked.num_rows,
        "loaded": loaded,
    }
