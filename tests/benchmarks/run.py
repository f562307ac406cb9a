"""Measures the package against what else could be used: `python tests/benchmarks/run.py [NAME ...]`.

Each figure is a ratio of things that are measured in turn, each in a process of its own, on the real archive. Seconds
differ from machine to machine and from minute to minute; ratios tell.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "servers"))

from http_server import Server  # noqa: E402  (found by the path above)

ARCHIVE = HERE.parents[2] / "shared" / "data" / "mnist_database.tar"
COUNTS = (10_000, 100_000, 1_000_000)
LINK = 100e6 / 8  # bytes per second

Result = dict[str, Any]
Task = Callable[[], Result]


class Row(NamedTuple):
    """A line of the table: what was measured, against what, the figure, and what it should be at most or at least."""

    name: str
    what: str
    against: str
    figure: float
    unit: str
    target: str = ""
    reached: bool | None = None
    detail: str = ""


class Bench:
    """Runs tasks, and keeps what they need in a folder."""

    def __init__(self, archive: Path, folder: Path, runs: int) -> None:
        self.archive = str(archive)
        self.folder = folder
        self.runs = runs

    def run(self, name: str, mirror: str | None = None, **arguments: Any) -> Result:
        """Run a task in a process and a cache of its own; `cache=True` stands for an empty folder."""
        home = tempfile.mkdtemp(dir=self.folder)
        if arguments.get("cache") is True:
            arguments["cache"] = f"{home}/cache"
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "MNIST_IDX_"))}
        environment |= {
            "HF_HOME": home,
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "MNIST_IDX_MIRROR": mirror or self.archive,
        }
        command = [sys.executable, str(HERE / "tasks.py"), name, json.dumps(arguments)]
        began = time.perf_counter()
        done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
        total = time.perf_counter() - began
        shutil.rmtree(home, ignore_errors=True)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr}")
        return {**json.loads(done.stdout.splitlines()[-1]), "total": total}

    def compare(self, *tasks: Task, runs: int | None = None) -> list[list[Result]]:
        """Run tasks in turn, several times, beginning with another one each time; by task, what they gave."""
        results: list[list[Result]] = [[] for _ in tasks]
        for number in range(runs or self.runs):
            for offset in range(len(tasks)):
                index = (number + offset) % len(tasks)
                results[index].append(tasks[index]())
        values = {json.dumps(result["value"]) for given in results for result in given}
        if len(values) > 1:
            raise SystemExit(f"what is compared has not done the same: {values}")
        return results

    def parquet(self) -> dict[str, Any]:
        """The dataset as Parquet: the arguments of a task that reads it."""
        files = {split: str(self.folder / f"{split}.parquet") for split in ("train", "test")}
        if not os.path.exists(files["test"]):
            self.run("make_parquet", archive=self.archive, folder=str(self.folder))
        return {"path": "parquet", "data_files": files}

    @contextmanager
    def serving(self, **behaviour: Any) -> Iterator[tuple[Server, str, dict[str, Any]]]:
        """A server of the archive and of the Parquet files."""
        files = self.parquet()["data_files"]
        with Server({"/mnist.tar": self.archive, **{f"/{split}": path for split, path in files.items()}}) as server:
            server.behave("*", **behaviour)
            urls = {split: server.url(f"/{split}") for split in files}
            yield server, server.url("/mnist.tar"), {"path": "parquet", "data_files": urls}


OURS = {"path": "mnist_idx"}


def median(results: list[Result], key: str = "seconds") -> float:
    return statistics.median(result[key] for result in results)


def ratio(these: list[Result], those: list[Result], key: str = "seconds") -> float:
    """How many times as much one takes as the other, round by round."""
    return statistics.median(one[key] / other[key] for one, other in zip(these, those, strict=True))


def faster(name: str, what: str, against: str, results: list[list[Result]], target: float = 0) -> Row:
    ours, theirs = results
    figure, detail = ratio(theirs, ours), f"{median(ours):.3f} s : {median(theirs):.3f} s"
    goal = (f"≥ {target:g}x", figure >= target) if target else ("", None)
    return Row(name, what, against, figure, "x as fast", *goal, detail)


def slower(
    name: str, what: str, against: str, results: list[list[Result]], target: float = 1, key: str = "seconds"
) -> Row:
    ours, theirs = results
    figure, detail = ratio(ours, theirs, key), f"{median(ours, key):.3f} s : {median(theirs, key):.3f} s"
    return Row(name, what, against, figure, "x the time", f"≤ {target:g}x", figure <= target, detail)


def peak(name: str, what: str, results: list[Result], detail: str = "") -> Row:
    figure = median(results, "memory") / 1e6
    return Row(name, what, "bare import", figure, "MB more at the peak", "≤ 60 MB", figure <= 60, detail)


def prepare(bench: Bench) -> Iterator[Row]:
    """From the local archive to Arrow files, 70,000 records."""
    parquet = bench.parquet()
    ours = partial(bench.run, "prepare", cache=True, **OURS)
    floor = partial(bench.run, "prepare_floor", cache=True, archive=bench.archive)
    stock = partial(bench.run, "prepare_stock", cache=True, archive=bench.archive)
    results, *others = bench.compare(ours, partial(bench.run, "prepare", cache=True, **parquet), floor)
    what = "prepare from the local tar"
    compared = bench.compare(ours, stock, runs=max(1, bench.runs // 2))
    yield faster("prepare", what, "a loading script that yields examples", compared, 9.5)
    yield slower("prepare", what, "Parquet, local", [results, others[0]], 5)
    yield slower("prepare", what, "decompress, encode and write alone", [results, others[1]], 1.2)
    yield peak("prepare", what, results)


def verify(bench: Bench) -> Iterator[Row]:
    """What checking every byte costs."""
    for what, task in (
        ("prepare", partial(bench.run, "prepare", cache=True, **OURS)),
        ("stream rows", partial(bench.run, "stream", form="python", split="train", **OURS)),
        ("load_arrays", partial(bench.run, "arrays", split="train")),
    ):
        figure = (ratio(*bench.compare(task, partial(task, verified=False))) - 1) * 100
        yield Row("verify", f"{what}, verified", "nothing verified", figure, "% more time", "≤ 5 %", figure <= 5)


def warm(bench: Bench) -> Iterator[Row]:
    """Loading what has been prepared before: a whole script, from the start of Python to the first batch."""
    sources = (OURS, bench.parquet())
    tasks = [partial(bench.run, "first_batch", cache=str(bench.folder / s["path"]), **s) for s in sources]
    for task in tasks:
        task()
    yield slower("warm", "first batch once prepared", "Parquet, once prepared", bench.compare(*tasks), 1.15, "total")


STREAMS = (("python", 10_000), ("numpy", 10_000), ("arrow", 60_000))


def stream(bench: Bench) -> Iterator[Row]:
    """Streaming from the local disk."""
    sources = (OURS, bench.parquet())
    for form, most in (("python", 1), *STREAMS):
        tasks = (partial(bench.run, "stream", form=form, split="train", most=most, **source) for source in sources)
        results = bench.compare(*tasks)
        yield slower("stream", f"stream {most:,}, {form}", "Parquet, local", results)
    yield peak("stream", f"stream {most:,}, {form}", results[0])


def link(bench: Bench) -> Iterator[Row]:
    """Over a link of 100 Mbit/s, download included."""
    with bench.serving(bandwidth=LINK) as (_, mirror, parquet):
        sources = ({"mirror": mirror, **OURS}, parquet)
        results = bench.compare(*(partial(bench.run, "prepare", cache=True, **source) for source in sources))
        yield slower("link", "download and prepare, 100 Mbit/s", "Parquet", results)
        for form, most in STREAMS:
            tasks = (partial(bench.run, "stream", form=form, split="train", most=most, **source) for source in sources)
            yield slower("link", f"stream {most:,}, {form}, 100 Mbit/s", "Parquet", bench.compare(*tasks))


def fetched(bench: Bench) -> Iterator[Row]:
    """Bytes and requests."""
    with bench.serving() as (server, mirror, parquet):

        def count(name: str, **arguments: Any) -> tuple[float, int]:
            with server.counting():
                bench.run(name, mirror=mirror, **arguments)
            return server.sent() / 1e6, server.count()

        for what, name, arguments in (
            ("prepare", "prepare", {"cache": True}),
            ("stream the first 100 of train", "stream", {"form": "python", "split": "train", "most": 100}),
            ("stream test", "stream", {"form": "arrow", "split": "test"}),
            ("stream train", "stream", {"form": "arrow", "split": "train"}),
        ):
            ours, theirs = count(name, **OURS, **arguments), count(name, **parquet, **arguments)
            detail = f"{ours[0]:.2f} MB in {ours[1]} requests : {theirs[0]:.2f} MB in {theirs[1]}"
            yield Row("fetched", what, "Parquet", ours[0] / theirs[0], "x the bytes", detail=detail)
        sent, requests = count("stream", form="arrow", split="train", num_shards=64, **OURS)
        yield Row("fetched", "stream train, 64 shards, shuffled", "", sent, "MB", detail=f"{requests} requests")


def arrays(bench: Bench) -> Iterator[Row]:
    """The train split as NumPy arrays."""
    members = {}
    with tarfile.open(bench.archive) as tar:
        for role in ("images-idx3", "labels-idx1"):
            path = bench.folder / role
            path.write_bytes(tar.extractfile(f"data/train-{role}-ubyte.gz").read())  # type: ignore[union-attr]
            members[role.partition("-")[0]] = str(path)
    ours, idx2numpy, plain = bench.compare(
        partial(bench.run, "arrays", split="train"),
        partial(bench.run, "arrays_idx2numpy", **members),
        partial(bench.run, "arrays_plain", **members),
    )
    yield faster("arrays", "load_arrays, train", "idx2numpy over gzip", [ours, idx2numpy], 1)
    yield faster("arrays", "load_arrays, train", "gzip + np.frombuffer", [ours, plain], 1)


def epoch(bench: Bench) -> Iterator[Row]:
    """One pass over the train split in NumPy batches of 256."""
    sources = ({"as_array": True, **OURS}, OURS, bench.parquet())
    tasks = [partial(bench.run, "epoch", cache=str(bench.folder / f"epoch{n}"), **s) for n, s in enumerate(sources)]
    for task in tasks:
        task()
    as_array, png, parquet = bench.compare(*tasks)
    yield faster("epoch", "NumPy batches of 256, as_array=True", "from PNG", [as_array, png], 8)
    yield faster("epoch", "NumPy batches of 256, PNG", "Parquet's PNG", [png, parquet])


def growth(bench: Bench) -> Iterator[Row]:
    """How the cost grows with the number of records."""
    folder = bench.folder / "records"
    folder.mkdir()
    bench.run("make_records", archive=bench.archive, folder=str(folder), counts=list(COUNTS))

    def prepared(count: int) -> Result:
        result = bench.run("generate", cache=True, data_dir=str(folder / str(count)))
        return {**result, "value": None, "per record": result["seconds"] / count}

    results = bench.compare(*(partial(prepared, count) for count in COUNTS), runs=max(1, bench.runs // 2))
    for count, given in zip(COUNTS, results, strict=True):
        figure = ratio(given, results[0], "per record")
        detail = f"{median(given, 'per record') * 1e6:.2f} µs per record"
        what = f"prepare {count:,} records"
        if count != COUNTS[0]:
            yield Row("growth", what, f"{COUNTS[0]:,}", figure, "x per record", "≤ 1.15x", figure <= 1.15, detail)
        yield peak("growth", what, given, detail)


BENCHMARKS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    function.__name__: function for function in (prepare, verify, warm, stream, link, fetched, arrays, epoch, growth)
}


def show(row: Row) -> str:
    mark = {True: "reached", False: "NOT reached", None: ""}[row.reached]
    against = f"against {row.against}" if row.against else ""
    return f"{row.what:36} {against:46} {row.figure:8.2f} {row.unit:20} {row.target:8} {mark:12} {row.detail}".rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {names}; all by default")
    parser.add_argument("--runs", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file as well")
    parser.add_argument("--archive", type=Path, default=ARCHIVE, help="the MNIST archive (default: %(default)s)")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown or not options.archive.exists():
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else f"{options.archive} is missing")
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="mnist-idx-benchmarks-") as folder:
        bench = Bench(options.archive.resolve(), Path(folder), options.runs)
        for name in options.names or BENCHMARKS:
            for row in BENCHMARKS[name](bench):
                found.append(row)
                print(show(row), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps([row._asdict() for row in found], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
