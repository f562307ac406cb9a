"""Read what never ends in every way there is."""

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from timed_calls import load_first, outcome

import mnist_idx
from mnist_idx.tools import cli


def ways(path: str) -> dict[str, Callable[[], Any]]:
    """The ways to read a path, by their titles."""
    load_folder = partial(load_first, "idxfolder")
    files = {"train": [path]}
    return {
        "data_dir": partial(load_folder, data_dir=path),
        "data_dir, streamed": partial(load_folder, data_dir=path, streaming=True),
        "data_dir of a copy": partial(load_first, "mnist_idx", data_dir=path),
        "data_files": partial(load_folder, data_files=files),
        "arrays": partial(mnist_idx.load_arrays, "idxfolder", data_dir=path),
        "verify": partial(cli.main, ["verify", path]),
        "preview": partial(cli.main, ["preview", path, "--output", "out.png"]),
    }


def main(place: str, seconds: float) -> dict[str, int | str]:
    """The outcome of each way, by title and path."""
    pipe, archive = f"{place}/train-images-idx3-ubyte", f"{place}/set.tar"
    os.mkfifo(pipe)
    os.mkfifo(archive)
    listening = socket.socket(socket.AF_UNIX)
    os.chdir(place)
    listening.bind("socket")
    outcomes = {}
    for path in (pipe, "set.tar", "socket", "/dev/zero", "/dev/random"):
        for title, call in ways(path).items():
            outcomes[f"{title}={path}"] = outcome(call, seconds)
        os.environ["MNIST_IDX_MIRROR"] = path
        for streaming in (False, True):
            load = partial(load_first, "mnist_idx", streaming=streaming)
            outcomes[f"mirror={path}, {streaming}"] = outcome(load, seconds)
        verify = partial(cli.main, ["verify", "mnist"])
        outcomes[f"verify mirror={path}"] = outcome(verify, seconds)
    return outcomes
