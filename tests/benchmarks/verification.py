"""How much of the time verification takes, from a local archive: prepared, streaming by rows or tables, as arrays.

    python tests/benchmarks/verification.py ../shared/data/mnist_database.tar

The best of several alternating runs counts, which other programs disturb least. The first figure is the time that a
user waits, the second that of the processor: digests are computed in a thread beside the reading.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import datasets

import mnist_idx
from mnist_idx import locate, sources

MNIST, VERIFY = sources.DATA_SETS["mnist"], locate.verify_member


def verify(on: bool) -> None:
    """Turn verification on, or off: no digest is known, and nothing is read for the sake of one."""
    splits = {
        name: split._replace(
            images=split.images._replace(packed=None, unpacked=None),
            labels=split.labels._replace(packed=None, unpacked=None),
        )
        for name, split in MNIST.splits.items()
    }
    sources.DATA_SETS["mnist"] = MNIST if on else MNIST._replace(splits=splits)
    locate.verify_member = VERIFY if on else lambda *args: None


def prepared() -> None:
    with tempfile.TemporaryDirectory() as cache:
        datasets.load_dataset("mnist_idx", cache_dir=cache)


def streaming() -> None:
    assert sum(1 for _ in datasets.load_dataset("mnist_idx", split="train", streaming=True)) == 60_000


def tables() -> None:
    stream = datasets.load_dataset("mnist_idx", split="train", streaming=True).with_format("arrow")
    assert sum(len(table) for table in stream.iter(batch_size=1000)) == 60_000


def arrays() -> None:
    with tempfile.TemporaryDirectory() as cache:
        mnist_idx.load_arrays("train", cache_dir=cache)


def seconds(way: Callable[[], None], on: bool) -> tuple[float, float]:
    verify(on)
    began = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", help="the MNIST archive")
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    os.environ["MNIST_IDX_MIRROR"] = os.path.abspath(options.archive)
    for way in (prepared, streaming, tables, arrays):
        way()
        runs = [(seconds(way, True), seconds(way, False)) for _ in range(options.runs)]
        for clock, name in enumerate(("waiting", "processor")):
            on, off = (min(run[state][clock] for run in runs) for state in (0, 1))
            print(f"{way.__name__:>10}, {name:>9}: {on:.3f} s verified, {off:.3f} s not: {on / off - 1:+.1%}")


if __name__ == "__main__":
    main()
