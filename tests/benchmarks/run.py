"""Measure the package against what else could be used, or against another version of it.

Tasks that are compared take turns, each in a process of its own. A row gives the run with the worst
ratio.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support" / "servers"))

from http_server import Server

HERE = Path(__file__).resolve().parent
ARCHIVE = HERE.parents[2] / "shared" / "data" / "mnist_database.tar"
OURS = "mnist_idx"
NAMES = ("prepare", "python", "numpy", "arrow", "http", "arrays", "warm", "program")

# A whole program, from the start of Python to the first batch.
FIRST_BATCH = """
import datasets{imports}
next(datasets.load_dataset(split="train", cache_dir={cache!r}, **{source}).iter(256))
"""
# Whole programs that only want arrays, from the start of Python to its end.
OUR_ARRAYS = """
import mnist_idx
images, labels = mnist_idx.load_arrays("mnist_idx", split="train", data_dir={archive!r})
assert images.shape == (60000, 28, 28) and labels.shape == (60000,)
"""
THEIR_ARRAYS = """
import gzip, idx2numpy
images = idx2numpy.convert_from_file(gzip.open({folder!r} + "/train-images-idx3-ubyte.gz"))
labels = idx2numpy.convert_from_file(gzip.open({folder!r} + "/train-labels-idx1-ubyte.gz"))
assert images.shape == (60000, 28, 28) and labels.shape == (60000,)
"""


class Bench:
    def __init__(self, archive: Path, package: Path, folder: str) -> None:
        self.archive, self.package, self.folder = (
            str(archive.resolve()),
            str(package.resolve()),
            folder,
        )

    def run(self, *command: str, mirror: str | None = None) -> dict[str, Any]:
        """Run Python with an empty cache.

        Returns what a task prints, for other programs their seconds.
        """
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "MNIST_IDX_"))
        }
        env |= {
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "MNIST_IDX_MIRROR": mirror or self.archive,
        }
        with tempfile.TemporaryDirectory(dir=self.folder) as home:
            env |= {"PYTHONPATH": self.package, "HF_HOME": home}
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, *command], env=env, cwd=home, capture_output=True, text=True
            )
            seconds = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stderr}")
        return json.loads(done.stdout) if done.stdout else {"seconds": seconds}

    def task(self, name: str, mirror: str | None = None, **arguments: Any) -> dict[str, Any]:
        return self.run(str(HERE / "tasks.py"), name, json.dumps(arguments), mirror=mirror)

    def fetch(self, server: Server, mirror: str, **arguments: Any) -> dict[str, Any]:
        with server.counting():
            result = self.task("stream", mirror, **arguments)
        return {**result, "MB": server.sent() / 1e6, "requests": server.count()}

    def compare(self, name: str, tasks: dict[str, Any], runs: int) -> Iterator[str]:
        """Run tasks in turn, beginning with another one each time. Yields rows of a table."""
        rounds, order = [], list(tasks)
        for _ in range(runs):
            rounds.append({label: tasks[label]() for label in order})
            order.append(order.pop(0))
        counts = {result.pop("records", None) for results in rounds for result in results.values()}
        if len(counts) > 1:
            raise SystemExit(
                f"{name}: what is compared read different numbers of records: {counts}"
            )
        for other in list(tasks)[1:]:
            for unit in rounds[0][OURS]:
                worst = max(rounds, key=lambda results: results[OURS][unit] / results[other][unit])
                ours, theirs = worst[OURS][unit], worst[other][unit]
                ratio = f"{ours / theirs:.3g} x" if ours > theirs else f"1/{theirs / ours:.3g} of"
                yield f"| {name} | {other} | {ours:.3g} | {theirs:.3g} | {ratio} the {unit} |"


def comparisons(bench: Bench, server: Server) -> dict[str, dict[str, Any]]:
    """Name -> label -> task; each task returns its measurements, the first is ours."""
    files = {split: f"{bench.folder}/{split}.parquet" for split in ("train", "test")}
    bench.task("make_parquet", archive=bench.archive, files=files)
    urls = {split: server.put(f"/{split}", file) for split, file in files.items()}
    mirror = server.put("/mnist.tar", bench.archive)
    ours, parquet = {"path": "mnist_idx"}, {"path": "parquet", "data_files": files}
    prepare, stream, archive = (
        partial(bench.task, "prepare"),
        partial(bench.task, "stream"),
        {"archive": bench.archive},
    )
    first_100 = partial(bench.fetch, server, mirror, form="python", most=100)
    tasks = {
        "prepare": {
            OURS: partial(prepare, **ours),
            "a loading script that yields examples": partial(
                bench.task, "prepare_stock", **archive
            ),
            "Parquet": partial(prepare, **parquet),
            "decode, encode and write alone": partial(bench.task, "prepare_floor", **archive),
        },
        "http": {
            OURS: partial(first_100, **ours),
            "Parquet": partial(first_100, path="parquet", data_files=urls),
        },
        "arrays": {
            OURS: partial(bench.task, "arrays"),
            "idx2numpy": partial(bench.task, "arrays_idx2numpy", **archive),
            "gzip + np.frombuffer": partial(bench.task, "arrays_plain", **archive),
        },
    }
    for form, most in (("python", 10_000), ("numpy", 10_000), ("arrow", 60_000)):
        read = partial(stream, form=form, most=most)
        tasks[form] = {OURS: partial(read, **ours), "Parquet": partial(read, **parquet)}
    sources, cache = (
        {OURS: (", mnist_idx", ours), "Parquet": ("", parquet)},
        f"{bench.folder}/cache",
    )
    programs = {
        label: FIRST_BATCH.format(imports=i, source=s, cache=cache)
        for label, (i, s) in sources.items()
    }
    tasks["warm"] = {
        label: partial(bench.run, "-c", program) for label, program in programs.items()
    }
    unpacked = f"{bench.folder}/unpacked"
    with tarfile.open(bench.archive) as tar:
        for member in filter(tarfile.TarInfo.isfile, tar):
            member.name = os.path.basename(member.name)
            tar.extract(member, unpacked, filter="data")
    tasks["program"] = {
        OURS: partial(bench.run, "-c", OUR_ARRAYS.format(archive=bench.archive)),
        "idx2numpy": partial(bench.run, "-c", THEIR_ARRAYS.format(folder=unpacked)),
    }
    return tasks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}; all by default"
    )
    parser.add_argument(
        "--runs", type=int, default=3, help="the worst of so many is printed (default: %(default)s)"
    )
    parser.add_argument(
        "--package", type=Path, default=HERE.parents[1], help="folder that holds mnist_idx/"
    )
    parser.add_argument(
        "--archive", type=Path, default=ARCHIVE, help="the MNIST archive (default: %(default)s)"
    )
    parser.add_argument(
        "--beside", type=Path, metavar="FOLDER", help="another checkout, to compare with instead"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(unknown)}")
    print(
        f"| measurement | compared with | {OURS} | the other | worst ratio |\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        bench = Bench(options.archive, options.package, folder)
        tasks = comparisons(bench, server)
        if options.beside is not None:
            other = comparisons(Bench(options.archive, options.beside, folder), server)
            tasks = {
                name: {OURS: tasks[name][OURS], str(options.beside): other[name][OURS]}
                for name in tasks
            }
        if "warm" in (options.names or NAMES):
            for prepare in tasks["warm"].values():
                prepare()
        for name in options.names or NAMES:
            for row in bench.compare(name, tasks[name], options.runs):
                print(row, flush=True)


if __name__ == "__main__":
    main()
