"""Runs the sides of comparisons, each in a process of its own with an empty cache."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from figures import CACHE, FETCHED, MEMORY, RECORDS, REQUESTS, SECONDS
from http_server import Server

HERE = Path(__file__).resolve().parent
SUPPORT = HERE.parent / "support"
LONGEST_REASON = 100  # letters of an error in a table
ROOM = 3  # times an input: itself, and what is made of it

Figures: TypeAlias = dict[str, float]  # by the names in `figures`


@dataclass(frozen=True)
class Failure:
    """A side that gave no figures."""

    reason: str  # one line


Result: TypeAlias = Figures | Failure


@dataclass(frozen=True)
class Side:
    """One way to do something, as a Python program that prints figures."""

    command: tuple[str, ...]  # the arguments of Python
    # What it needs besides the extra `test`. Their names on PyPI are those of the modules.
    modules: tuple[str, ...] = ()
    mirror: str | None = None  # of MNIST; None is the archive
    served: Mapping[str, str] = field(default_factory=dict)  # file by path on the server
    before: "Side | None" = None  # what is run once, and not measured


@dataclass(frozen=True)
class Known:
    """A side that is not run: its figures are known."""

    figures: Mapping[str, float]


@dataclass(frozen=True)
class Input:
    """Files that comparisons read."""

    path: str
    made_by: Side
    num_bytes: int = 0  # 0 where it takes little
    of: tuple["Input", ...] = ()  # the inputs that it is made of


@dataclass(frozen=True)
class Comparison:
    """A way of the package, and what else could be used for the same."""

    name: str
    measures: str  # one sentence
    ours: Side
    others: Mapping[str, Side | Known]
    figures: tuple[str, ...] = (SECONDS, MEMORY)
    needs: tuple[Input, ...] = ()


def task(
    function: str,
    *,
    module: str = "tasks",
    modules: tuple[str, ...] = (),
    mirror: str | None = None,
    served: Mapping[str, str] | None = None,
    **arguments: object,
) -> Side:
    """A function of a module in this folder, timed without imports."""
    command = (str(HERE / "timed.py"), module, function, json.dumps(arguments), *modules)
    return Side(command, modules, mirror, served or {})


def program(*arguments: str, modules: tuple[str, ...] = (), before: Side | None = None) -> Side:
    """A whole program, from the start of Python to its end."""
    return Side((str(HERE / "launch.py"), *arguments), modules, before=before)


def program_file(
    name: str, *arguments: str, modules: tuple[str, ...] = (), before: Side | None = None
) -> Side:
    """A whole program in the folder `programs`."""
    path = HERE / "programs" / f"{name}.py"
    return program(str(path), *arguments, modules=modules, before=before)


class Runner:
    """Runs sides, and makes their inputs once.

    Args:
        archive: the MNIST archive.
        folder: where inputs and caches are.
        timeout: seconds until a side is given up.
    """

    def __init__(self, archive: str, folder: str, server: Server, timeout: float) -> None:
        self._archive, self._folder, self._server = archive, folder, server
        self._timeout = timeout
        self._made: list[Input] = []
        self._done_before: list[tuple[Side, Path]] = []

    def make(self, needed: Input, package: Path) -> None:
        """Make an input, unless it is there already."""
        if needed in self._made:
            return
        for source in needed.of:
            self.make(source, package)
        free = shutil.disk_usage(self._folder).free
        if free < ROOM * needed.num_bytes:
            found = f"{self._folder}: {free / 1e9:.1f} GB are free"
            expected = f"{ROOM * needed.num_bytes / 1e9:.1f} GB are needed"
            raise SystemExit(f"{found}, {expected}. Set TMPDIR, or pass a smaller --records.")
        result = self._run_alone(needed.made_by, package, timeout=None)
        if isinstance(result, Failure):
            raise SystemExit(f"{needed.path} cannot be made: {result.reason}")
        self._made.append(needed)

    def run(self, side: Side | Known, package: Path) -> Result:
        """Run a side with the package in a folder. What it waits for is not measured."""
        if isinstance(side, Known):
            return dict(side.figures)
        if side.before is not None and (side, package) not in self._done_before:
            prepared = self._run_alone(side.before, package, self._timeout)
            if isinstance(prepared, Failure):
                return prepared
            self._done_before.append((side, package))
        if not side.served:
            return self._run_alone(side, package, self._timeout)
        for path, file in side.served.items():
            if path not in self._server.content:
                self._server.put(path, file)
        with self._server.counting():
            result = self._run_alone(side, package, self._timeout)
        if isinstance(result, Failure):
            return result
        fetched = {FETCHED: self._server.sent() / 1e6, REQUESTS: float(self._server.count())}
        return result | fetched

    def _run_alone(self, side: Side, package: Path, timeout: float | None) -> Result:
        """Run Python with a home of its own, where its cache and its working folder are."""
        with tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True) as home:
            cache, work = Path(home, "cache"), Path(home, "work")
            cache.mkdir()
            work.mkdir()
            environment = self._environment(side, package, cache)
            result = run_process(side.command, environment, work, timeout)
            if not isinstance(result, Failure):
                result[CACHE] = size_of_folder(cache) / 1e6
        return result

    def _environment(self, side: Side, package: Path, cache: Path) -> dict[str, str]:
        kept = {}
        for name, value in os.environ.items():
            if not name.startswith(("HF_", "MNIST_IDX_")):
                kept[name] = value
        # What is installed is compiled; a checkout would be compiled for each process.
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        kept["HF_HOME"] = str(cache)
        kept["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
        # Where PyTorch is installed, `datasets` imports it: a second, and 200 MB, on all sides.
        kept["USE_TORCH"] = "0"
        kept["MNIST_IDX_MIRROR"] = side.mirror or self._archive
        kept["PYTHONPATH"] = os.pathsep.join([str(package), str(SUPPORT)])
        return kept


def run_process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, timeout: float | None
) -> Result:
    """Run Python, and end whatever it has started. Returns the figures that it prints."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return Failure(f"takes more than {timeout:g} s")
    finally:
        # Whoever is left of a side would slow down the next one.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if process.returncode != 0:
        return Failure(last_line(errors) or f"exit code {process.returncode}")
    figures: Figures = json.loads(last_line(output))
    return figures


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def size_of_folder(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def missing_modules(side: Side | Known) -> list[str]:
    """The modules that a side needs and this Python has not."""
    if isinstance(side, Known):
        return []
    return [name for name in side.modules if importlib.util.find_spec(name) is None]


# Rounds, and the rows that are made of them

Round: TypeAlias = dict[str, Result]  # by the label of the side


def run_rounds(
    runner: Runner, sides: Mapping[str, tuple[Side | Known, Path]], runs: int
) -> list[Round]:
    """Run the sides in turn, in each round beginning with another one.

    A side that fails is not run again.

    Args:
        sides: each with the folder of the package, by its label.
    """
    order = list(sides)
    failed: Round = {}
    rounds: list[Round] = []
    for _ in range(runs):
        results: Round = {}
        for label in order:
            result = failed.get(label)
            if result is None:
                result = runner.run(*sides[label])
            if isinstance(result, Failure):
                failed[label] = result
            results[label] = result
        rounds.append(results)
        order.append(order.pop(0))
    return rounds


def rows_of(
    comparison: Comparison, rounds: list[Round], ours: str, other: str
) -> Iterator[tuple[str, ...]]:
    """A row of cells for each figure that both sides have: of the round with the worst ratio."""
    failures = {}
    for label in (ours, other):
        failures[label] = next((r[label] for r in rounds if isinstance(r[label], Failure)), None)
    if failures[ours] is not None or failures[other] is not None:
        yield from failed_rows(comparison, rounds[0], failures, ours, other)
        return
    difference = different_records(rounds, ours, other)
    if difference is not None:
        yield (comparison.name, other, RECORDS, *difference, "fails: not the same")
        return
    for figure in comparison.figures:
        pairs = [(results[ours], results[other]) for results in rounds]
        values = [(a[figure], b[figure]) for a, b in pairs if figure in a and figure in b]
        if values:
            worst = max(values, key=lambda pair: ratio(*pair))
            shown = number(ratio(*worst)) if worst[1] > 0 else "-"
            yield (comparison.name, other, figure, number(worst[0]), number(worst[1]), shown)


def failed_rows(
    comparison: Comparison,
    results: Round,
    failures: Mapping[str, Result | None],
    ours: str,
    other: str,
) -> Iterator[tuple[str, ...]]:
    """Rows with the reason in place of the figures of the side that failed."""
    for figure in comparison.figures:
        cells = []
        for label in (ours, other):
            failure, result = failures[label], results[label]
            if isinstance(failure, Failure):
                cells.append(f"fails: {shortened(failure.reason)}")
            elif not isinstance(result, Failure) and figure in result:
                cells.append(number(result[figure]))
            else:
                cells.append("-")
        yield (comparison.name, other, figure, *cells, "-")


def different_records(rounds: list[Round], ours: str, other: str) -> tuple[str, str] | None:
    """How many records each side has read, where that is not the same."""
    for results in rounds:
        counts = []
        for label in (ours, other):
            result = results[label]
            if not isinstance(result, Failure) and RECORDS in result:
                counts.append(f"{result[RECORDS]:,.0f}")
        if len(counts) == 2 and counts[0] != counts[1]:
            return counts[0], counts[1]
    return None


def ratio(ours: float, other: float) -> float:
    if other <= 0:
        return 0 if ours <= 0 else float("inf")
    return ours / other


def number(value: float) -> str:
    """Three digits, without an exponent.

    >>> number(0.01234), number(1.5), number(12345.6)
    ('0.0123', '1.5', '12,346')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def shortened(reason: str) -> str:
    """An error in a cell of a table."""
    text = reason.replace("|", "/")
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"
