"""Measures the package against what else could be used: `python tests/benchmarks/run.py [NAME ...]`.

Each figure is a ratio of things that are measured in turn, each in a process of its own, on the real archive. Seconds
differ from machine to machine and from minute to minute; ratios tell.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from http_server import Server  # noqa: E402  (found by the path above)

ARCHIVE = HERE.parents[2] / "shared" / "data" / "mnist_database.tar"
COUNTS = (10_000, 100_000, 1_000_000)
LINK = 100e6 / 8  # bytes per second


class Row(NamedTuple):
    """A line of the table: what was measured, against what, the figure, and what it should be."""

    name: str
    what: str
    against: str
    figure: float
    unit: str
    target: str
    reached: bool | None
    detail: str


class Bench:
    """Runs tasks, and keeps what they need in a folder."""

    def __init__(self, archive: Path, folder: Path, runs: int) -> None:
        self.archive = str(archive)
        self.folder = folder
        self.runs = runs
        self.made: set[str] = set()

    def run(self, name: str, mirror: str | None = None, **arguments: Any) -> dict[str, Any]:
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
        try:
            done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
        finally:
            shutil.rmtree(home, ignore_errors=True)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def compare(self, *tasks: Callable[[], dict[str, Any]], runs: int | None = None) -> list[list[dict[str, Any]]]:
        """Run tasks in turn, several times, beginning with another one each time; by task, what they gave."""
        results: list[list[dict[str, Any]]] = [[] for _ in tasks]
        for number in range(runs or self.runs):
            for offset in range(len(tasks)):
                index = (number + offset) % len(tasks)
                results[index].append(tasks[index]())
        values = {json.dumps(result["value"]) for given in results for result in given}
        if len(values) > 1:
            raise SystemExit(f"what is compared has not done the same: {values}")
        return results

    def parquet(self) -> dict[str, str]:
        """The data set as Parquet."""
        if "parquet" not in self.made:
            self.run("make_parquet", archive=self.archive, folder=str(self.folder))
            self.made.add("parquet")
        return {split: str(self.folder / f"{split}.parquet") for split in ("train", "test")}

    def members(self) -> dict[str, str]:
        """The packed IDX files of the train split, on their own."""
        with tarfile.open(self.archive) as tar:
            for role in ("images-idx3", "labels-idx1"):
                (self.folder / role).write_bytes(tar.extractfile(f"data/train-{role}-ubyte.gz").read())  # type: ignore[union-attr]
        return {role.partition("-")[0]: str(self.folder / role) for role in ("images-idx3", "labels-idx1")}


def ratio(theirs: list[dict[str, Any]], ours: list[dict[str, Any]], key: str = "seconds") -> float:
    """How many times as much one takes as the other, round by round."""
    return statistics.median(one[key] / other[key] for one, other in zip(theirs, ours, strict=True))


def median(results: list[dict[str, Any]], key: str = "seconds") -> float:
    return statistics.median(result[key] for result in results)


def times(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    return f"{median(ours):.3f} s : {median(theirs):.3f} s"


def faster(
    name: str,
    what: str,
    against: str,
    ours: list[dict[str, Any]],
    theirs: list[dict[str, Any]],
    target: float | None = None,
) -> Row:
    figure = ratio(theirs, ours)
    goal = "" if target is None else f"≥ {target:g}x"
    reached = None if target is None else figure >= target
    return Row(name, what, against, figure, "x as fast", goal, reached, times(ours, theirs))


def slower(
    name: str, what: str, against: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], target: float
) -> Row:
    figure = ratio(ours, theirs)
    return Row(name, what, against, figure, "x the time", f"≤ {target:g}x", figure <= target, times(ours, theirs))


def peak(name: str, what: str, results: list[dict[str, Any]], detail: str = "") -> Row:
    figure = median(results, "memory") / 1e6
    return Row(name, what, "bare import", figure, "MB more at the peak", "≤ 60 MB", figure <= 60, detail)


def prepare(bench: Bench) -> Iterator[Row]:
    """From the local archive to Arrow files, 70,000 records."""
    files = bench.parquet()
    ours, parquet, floor = bench.compare(
        lambda: bench.run("prepare", cache=True),
        lambda: bench.run("prepare_parquet", cache=True, files=files),
        lambda: bench.run("prepare_floor", cache=True, archive=bench.archive),
    )
    again, stock = bench.compare(
        lambda: bench.run("prepare", cache=True),
        lambda: bench.run("prepare_stock", cache=True, archive=bench.archive),
        runs=max(1, bench.runs // 2),
    )
    what = "prepare from the local tar"
    yield faster("prepare", what, "stock loading script", again, stock, 10)
    yield slower("prepare", what, "Parquet, local", ours, parquet, 5)
    yield slower("prepare", what, "floor: unpack, encode, write", ours, floor, 1.35)
    yield peak("prepare", what, ours)


def verify(bench: Bench) -> Iterator[Row]:
    """What checking every byte costs."""
    ours, without = bench.compare(
        lambda: bench.run("prepare", cache=True), lambda: bench.run("prepare_unverified", cache=True)
    )
    figure = (ratio(ours, without) - 1) * 100
    yield Row(
        "verify",
        "prepare, every byte verified",
        "nothing verified",
        figure,
        "% more time",
        "",
        None,
        times(ours, without),
    )


def warm(bench: Bench) -> Iterator[Row]:
    """Loading what has been prepared before."""
    files = bench.parquet()
    ours_cache, their_cache = str(bench.folder / "warm"), str(bench.folder / "warm_parquet")
    bench.run("prepare", cache=ours_cache)
    bench.run("prepare_parquet", cache=their_cache, files=files)
    ours, parquet = bench.compare(
        lambda: bench.run("prepare", cache=ours_cache),
        lambda: bench.run("prepare_parquet", cache=their_cache, files=files),
    )
    yield slower("warm", "load_dataset once prepared", "Parquet, once prepared", ours, parquet, 1)


def stream(bench: Bench) -> Iterator[Row]:
    """Streaming from the local disk."""
    files = bench.parquet()
    for form, most, what in (
        ("python", 1, "first streamed example"),
        ("python", 10_000, "stream, Python objects"),
        ("numpy", 10_000, "stream, NumPy batches"),
        ("arrow", 60_000, "stream, Arrow batches"),
    ):
        ours, parquet = bench.compare(
            lambda: bench.run("stream", form=form, split="train", most=most),  # noqa: B023
            lambda: bench.run("stream_parquet", form=form, split="train", most=most, files=files),  # noqa: B023
        )
        yield slower("stream", what, "Parquet, local", ours, parquet, 1.0)
    yield peak("stream", what, ours)


def link(bench: Bench) -> Iterator[Row]:
    """Over a link of 100 Mbit/s, download included."""
    files = bench.parquet()
    with ExitStack() as stack:
        names = {"/mnist_database.tar": bench.archive, "/train.parquet": files["train"], "/test.parquet": files["test"]}
        server = stack.enter_context(Server(names))
        server.behave("*", bandwidth=LINK)
        urls = {split: server.url(f"/{split}.parquet") for split in files}
        mirror = server.url("/mnist_database.tar")
        ours, parquet = bench.compare(
            lambda: bench.run("prepare", cache=True, mirror=mirror),
            lambda: bench.run("prepare_parquet", cache=True, files=urls),
        )
        yield slower("link", "download and prepare, 100 Mbit/s", "Parquet", ours, parquet, 1.0)
        for form, most in (("python", 10_000), ("numpy", 10_000), ("arrow", 60_000)):
            ours, parquet = bench.compare(
                lambda: bench.run("stream", form=form, split="train", most=most, mirror=mirror),  # noqa: B023
                lambda: bench.run("stream_parquet", form=form, split="train", most=most, files=urls),  # noqa: B023
            )
            yield slower("link", f"stream {most:,}, {form}, 100 Mbit/s", "Parquet", ours, parquet, 1.0)


def fetched(bench: Bench) -> Iterator[Row]:
    """Bytes and requests."""
    files = bench.parquet()
    with ExitStack() as stack:
        names = {"/mnist_database.tar": bench.archive, "/train.parquet": files["train"], "/test.parquet": files["test"]}
        server = stack.enter_context(Server(names))
        urls = {split: server.url(f"/{split}.parquet") for split in files}
        mirror = server.url("/mnist_database.tar")

        def count(name: str, **arguments: Any) -> tuple[int, int]:
            with server.counting():
                bench.run(name, mirror=mirror, **arguments)
            return server.sent(), server.count()

        for what, ours, theirs in (
            ("prepare", ("prepare", {"cache": True}), ("prepare_parquet", {"cache": True})),
            (
                "stream the first 100 of train",
                ("stream", {"most": 100, "form": "python"}),
                ("stream_parquet", {"most": 100, "form": "python"}),
            ),
            ("stream test", ("stream", {"split": "test"}), ("stream_parquet", {"split": "test"})),
            ("stream train", ("stream", {}), ("stream_parquet", {})),
            ("stream train, 64 shards, shuffled", ("stream_shuffled", {"split": "train"}), None),
        ):
            streamed = {"form": "arrow", "split": "train"} if ours[0] == "stream" else {}
            sent, requests = count(ours[0], **streamed | ours[1])
            if theirs is None:
                yield Row("fetched", what, "", sent / 1e6, "MB", "", None, f"{requests} requests")
                continue
            other, others = count(theirs[0], files=urls, **streamed | theirs[1])
            detail = f"{sent / 1e6:.2f} MB in {requests} requests : {other / 1e6:.2f} MB in {others}"
            yield Row("fetched", what, "Parquet", sent / other, "x the bytes", "", None, detail)


def arrays(bench: Bench) -> Iterator[Row]:
    """The train split as NumPy arrays."""
    members = bench.members()
    ours, idx2numpy, plain = bench.compare(
        lambda: bench.run("arrays", split="train"),
        lambda: bench.run("arrays_idx2numpy", **members),
        lambda: bench.run("arrays_plain", **members),
    )
    yield faster("arrays", "load_arrays, train", "idx2numpy over gzip", ours, idx2numpy, 1)
    yield faster("arrays", "load_arrays, train", "gzip + np.frombuffer", ours, plain, 1)


def epoch(bench: Bench) -> Iterator[Row]:
    """One pass over the train split in NumPy batches of 256."""
    files = bench.parquet()
    caches = [str(bench.folder / f"epoch{number}") for number in range(3)]
    contestants = (
        lambda: bench.run("epoch", cache=caches[0], as_array=True),
        lambda: bench.run("epoch", cache=caches[1]),
        lambda: bench.run("epoch_parquet", cache=caches[2], files=files),
    )
    for contestant in contestants:
        contestant()
    as_array, png, parquet = bench.compare(*contestants)
    yield faster("epoch", "NumPy batches of 256, as_array=True", "from PNG", as_array, png, 8)
    yield faster("epoch", "NumPy batches of 256, PNG", "Parquet's PNG", png, parquet)


def growth(bench: Bench) -> Iterator[Row]:
    """How the cost grows with the number of records."""
    folder = bench.folder / "records"
    folder.mkdir()
    bench.run("make_records", archive=bench.archive, folder=str(folder), counts=list(COUNTS))

    def prepared(count: int) -> dict[str, Any]:
        result = bench.run("generate", cache=True, data_dir=str(folder / str(count)))
        return {**result, "value": None, "per record": result["seconds"] / count}

    results = bench.compare(*(lambda count=count: prepared(count) for count in COUNTS), runs=max(1, bench.runs // 2))
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
    return f"{row.what:36} {against:38} {row.figure:8.2f} {row.unit:20} {row.target:8} {mark:12} {row.detail}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)}; all by default")
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
