"""Load a compressed tar, and compare with what its decompression takes."""

import contextlib
import io
import time
from pathlib import Path

import datasets
from packers import unpack

import mnist_idx
from mnist_idx.tools import cli, verify


def load(path: str, way: str) -> None:
    if way == "verify":
        with contextlib.redirect_stdout(io.StringIO()):
            assert cli.main(["verify", path]) == 0
    elif way == "arrays":
        for split in ("train", "test"):
            images, _ = mnist_idx.load_arrays("idxfolder", data_dir=path, split=split)
            assert images.shape[1:] == (1000, 1000)
    else:
        streaming = way == "streamed"
        data = datasets.load_dataset("idxfolder", data_dir=path, as_array=True, streaming=streaming)
        if streaming:
            assert sum(1 for split in data.values() for _ in split) == 40


def main(path: str, way: str) -> tuple[float, float]:
    """The seconds of processor time for decompression by the standard library, and for loading."""
    began = time.process_time()
    unpack(Path(path).read_bytes())
    decompressed = time.process_time()
    load(path, way)
    return decompressed - began, time.process_time() - decompressed
