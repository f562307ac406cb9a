"""Mutation testing, run by hand: put one small fault at a time into a copy of the package, and see
if a test fails.

The tests of the unchanged copy run first: they must pass, and their durations set the time limits.
The same seed gives the same faults. `guards.ini` has the tests of each module, and the constants
whose values are left alone.
"""

import argparse
import ast
import configparser
import contextlib
import itertools
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
PYTEST = [
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "-m",
    "not slow and not beyond",
    "--hypothesis-seed=0",
]

OPPOSITES = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "and": "or",
    "or": "and",
}
OPPOSITES |= {"in": "not in", "not in": "in", "is": "is not", "is not": "is"}
OPERATOR = re.compile(r"[<>]=?|[!=]=|\b(?:not\s+in|in|is\s+not|is|and|or)\b")
NO_EFFECT = re.compile(
    r"(logger|\S*bar)\.|\S+\.(close|flush|join|shutdown)\("
)  # no result depends on them
NOT_SWAPPED = ("min", "max", "isinstance", "issubclass")  # they take any order, or fail at once


class Fault(NamedTuple):
    path: Path
    line: int
    kind: str
    change: str
    code: bytes  # of the whole module, with the fault


def walk(node: ast.AST, equivalent: Container[str]) -> Iterator[ast.AST]:
    """The nodes that faults may touch: not those of messages and of the `equivalent` constants."""
    yield node
    for child in ast.iter_child_nodes(node):
        target = getattr(child, "targets", [getattr(child, "target", None)])[0]
        is_equivalent = getattr(target, "id", "").lower() in equivalent
        if not is_equivalent and not isinstance(child, (ast.JoinedStr, ast.Raise, ast.Assert)):
            yield from walk(child, equivalent)


def find_faults(path: Path, equivalent: Container[str]) -> Iterator[Fault]:
    """Every fault that can be put into a module."""
    code = path.read_bytes()
    line_starts = [0, *itertools.accumulate(len(line) for line in code.splitlines(keepends=True))]

    def span(node: Any) -> tuple[int, int]:
        return line_starts[node.lineno - 1] + node.col_offset, line_starts[
            node.end_lineno - 1
        ] + node.end_col_offset

    def text(node: Any) -> str:
        return code[slice(*span(node))].decode()

    def fault(kind: str, start: int, stop: int, new: str) -> Fault:
        change = " ".join(f"{kind}: {code[start:stop].decode()} → {new}".split())
        return Fault(
            path,
            code.count(b"\n", 0, start) + 1,
            kind,
            change,
            code[:start] + new.encode() + code[stop:],
        )

    for node in walk(ast.parse(code), equivalent):
        operands, bounds, fields = [], [], []
        match node:
            case ast.Compare():
                operands = [node.left, *node.comparators]
            case ast.BoolOp():
                operands = node.values
            case ast.UnaryOp(op=ast.Not()):
                yield fault("drop not", span(node)[0], span(node)[0] + len("not"), "")
            case ast.If(body=[*_, ast.Raise()]):
                yield fault("drop check", *span(node.test), "False")
            case ast.Constant(value=int(value)) if not isinstance(value, bool):
                yield from (
                    fault("off by one", *span(node), str(other)) for other in (value + 1, value - 1)
                )
            case ast.Slice():
                bounds = [node.lower, node.upper]
            case ast.Call(func=ast.Name(id="range")):
                bounds = node.args[:2]
            case ast.Call(func=function) if text(function) not in NOT_SWAPPED:
                fields = node.args
            case ast.Return(value=ast.Tuple(elts=fields)) | ast.Yield(value=ast.Tuple(elts=fields)):
                pass
            case ast.AugAssign() | ast.Expr(value=ast.Call()) if not NO_EFFECT.match(text(node)):
                yield fault("drop statement", *span(node), "pass")
        for left, right in itertools.pairwise(operands):
            start, stop = span(left)[1], span(right)[0]
            old = OPERATOR.search(code[start:stop].decode())
            yield fault(
                "flip operator",
                start + old.start(),
                start + old.end(),
                OPPOSITES[" ".join(old[0].split())],
            )
        for bound in bounds:
            if bound is not None and not isinstance(bound, ast.Constant):
                yield from (
                    fault("move bound", *span(bound), f"({text(bound)}) {by}")
                    for by in ("+ 1", "- 1")
                )
        for left, right in itertools.pairwise(fields):
            if text(left) != text(right) and not any(
                isinstance(field, ast.Constant) for field in (left, right)
            ):
                swapped = text(right) + code[span(left)[1] : span(right)[0]].decode() + text(left)
                yield fault("swap fields", span(left)[0], span(right)[1], swapped)


def choose(faults: dict[Path, list[Fault]], count: int, seed: int) -> list[Fault]:
    """Choose `count` faults: from each module as many as its share of the lines, of all kinds in
    turn.
    """
    lines = [len({fault.line for fault in found}) for found in faults.values()]
    stops = [round(count * part / sum(lines)) for part in itertools.accumulate(lines)]
    chosen = []
    for (path, found), start, stop in zip(faults.items(), [0, *stops], stops, strict=False):
        generator, seen = random.Random(f"{seed} {path.stem}"), defaultdict(itertools.count)
        ranked = [
            (next(seen[f.kind]), generator.random(), f) for f in generator.sample(found, len(found))
        ]
        chosen += [fault for *_, fault in sorted(ranked)[: stop - start]]
    return chosen


@contextlib.contextmanager
def project_copy(project: str | Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as folder:
        Path(folder, "shared").symlink_to(
            Path(project).resolve().parent / "shared"
        )  # the real archive
        try:
            yield shutil.copytree(
                project, f"{folder}/project", ignore=shutil.ignore_patterns(".*", "__pycache__")
            )
        # End the clients that tests left behind: they have the folder in their environment.
        finally:
            for environment in Path("/proc").glob("[0-9]*/environ"):
                with contextlib.suppress(OSError):
                    if f"{folder}/".encode() in environment.read_bytes():
                        os.kill(int(environment.parent.name), signal.SIGKILL)


def run_tests(root: str, args: Sequence[str], limit: float | None = None) -> tuple[int | None, str]:
    """Run tests in a copy of the project.

    Returns the exit code, None at the time limit, and what was printed.
    """
    env, code = {**os.environ, "PYTHONPATH": root}, None
    with tempfile.TemporaryFile() as log:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = subprocess.run(
                [*PYTEST, *args], cwd=root, env=env, stdout=log, stderr=log, timeout=limit
            ).returncode
        log.seek(0)
        return code, log.read().decode(errors="replace")


def measure(root: str, files: Sequence[str], keep_going: bool) -> tuple[Counter[str], list[str]]:
    """Run the tests of the unchanged copy.

    Returns the seconds of each file, and options that leave out what fails.
    """
    code, output = run_tests(root, [f"--junitxml={root}/times.xml", *files])
    if code and not (code == 1 and keep_going):
        sys.exit(f"{output}\nTests fail without any fault.")
    seconds, left_out = Counter(), []
    for case in ElementTree.parse(f"{root}/times.xml").iter("testcase"):
        file = case.get("classname").replace(".", "/") + ".py"
        seconds[file] += float(case.get("time"))
        if {"failure", "error"} & {child.tag for child in case}:
            left_out.append(f"--deselect={file}::{case.get('name')}")
    print(f"The tests take {seconds.total():.0f} s. Left out: {left_out or 'none'}.\n", flush=True)
    return seconds, left_out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=80, help="number of faults")
    parser.add_argument("--seed", type=int, default=1, help="chooses the faults")
    parser.add_argument("--module", help="change only this one, for example idx")
    parser.add_argument("--jobs", type=int, default=1, help="faults that are tried at once")
    parser.add_argument(
        "--keep-going", action="store_true", help="leave out tests that fail without any fault"
    )
    parser.add_argument("--project", default=ROOT, help="folder that holds mnist_idx/ and tests/")
    parser.add_argument("--guards", type=Path, default=Path(__file__).with_name("guards.ini"))
    options = parser.parse_args()
    config = configparser.ConfigParser()
    config.read(options.guards)
    guards = {
        name: [f"tests/test_{test}.py" for test in tests.split()]
        for name, tests in config["guards"].items()
    }
    resource.setrlimit(
        resource.RLIMIT_AS, (8 << 30, 8 << 30)
    )  # what never ends may also fill the memory
    with project_copy(options.project) as project:  # what is edited in the meantime does not matter
        paths = [
            path for path in sorted(Path(project).glob("mnist_idx/**/*.py")) if path.stem in guards
        ]
        faults = {
            p: list(find_faults(p, config["equivalent"]))
            for p in paths
            if options.module in (None, p.stem)
        }
        chosen = choose(faults, options.count, options.seed)
        with project_copy(project) as root:
            files = sorted({file for fault in chosen for file in guards[fault.path.stem]})
            seconds, left_out = measure(root, files, options.keep_going)

        def judge(fault: Fault) -> bool:
            """Whether the tests notice a fault. Prints a row of the table."""
            files, began = guards[fault.path.stem], time.monotonic()
            with project_copy(project) as root:
                Path(root, fault.path.relative_to(project)).write_bytes(fault.code)
                code, output = run_tests(
                    root, ["-x", *left_out, *files], 60 + 4 * sum(seconds[file] for file in files)
                )
            failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", output, re.MULTILINE)
            verdict = (
                f"noticed by {failed[1] if failed else 'a crash or the time limit'}"
                if code != 0
                else "survived"
            )
            place = f"{fault.path.stem:12}{fault.line:4}{time.monotonic() - began:6.1f} s"
            print(f"{place}  {fault.change:.100}  {verdict}", flush=True)
            return code != 0

        with ThreadPoolExecutor(options.jobs) as pool:
            noticed = sum(pool.map(judge, chosen))
    print(f"\n{noticed} of {len(chosen)} noticed: {noticed / len(chosen):.1%}")


if __name__ == "__main__":
    main()
