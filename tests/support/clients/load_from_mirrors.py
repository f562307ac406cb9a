"""Load MNIST from mirrors that fail, by the library and by the command line."""

import os

import datasets

import mnist_idx
from mnist_idx.tools import cli


def main(mirrors: list[str]) -> list[int]:
    """The exit codes of `mnist-idx verify`. Errors of the library are printed."""
    codes = []
    for mirror in mirrors:
        os.environ["MNIST_IDX_MIRROR"] = mirror
        for streaming in (False, True):
            try:
                datasets.load_dataset("mnist_idx", streaming=streaming)
            except mnist_idx.IdxError as error:
                print(error)
        codes.append(cli.main(["verify", "mnist"]))
    return codes
