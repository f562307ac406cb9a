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
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
MEMORY_BYTES = 8 << 30  # of address space, for a run of tests
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
# No result depends on these statements.
NO_EFFECT = re.compile(r"(logger|\S*bar)\.|\S+\.(close|flush|join|shutdown)\(")
# They take arguments in any order, or fail at once. Those of `range` are moved instead.
NOT_SWAPPED = ("min", "max", "isinstance", "issubclass", "range")


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


class Module:
    """The code of a module, and where its nodes are in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.code = path.read_bytes()
        lengths = [len(line) for line in self.code.splitlines(keepends=True)]
        self._line_starts = [0, *itertools.accumulate(lengths)]

    def span(self, node: Any) -> tuple[int, int]:
        """The bytes of a node, from the first to behind the last."""
        start = self._line_starts[node.lineno - 1] + node.col_offset
        stop = self._line_starts[node.end_lineno - 1] + node.end_col_offset
        return start, stop

    def text(self, node: Any) -> str:
        start, stop = self.span(node)
        return self.text_between(start, stop)

    def text_between(self, start: int, stop: int) -> str:
        return self.code[start:stop].decode()

    def fault(self, kind: str, start: int, stop: int, new: str) -> Fault:
        """The fault that some bytes are others."""
        change = " ".join(f"{kind}: {self.text_between(start, stop)} → {new}".split())
        line = self.code.count(b"\n", 0, start) + 1
        code = self.code[:start] + new.encode() + self.code[stop:]
        return Fault(self.path, line, kind, change, code)


def find_faults(path: Path, equivalent: Container[str]) -> Iterator[Fault]:
    """Every fault that can be put into a module."""
    module = Module(path)
    for node in walk(ast.parse(module.code), equivalent):
        yield from flip_operators(module, operands(node))
        yield from move_bounds(module, bounds(node))
        yield from swap_fields(module, fields(module, node))
        yield from change_node(module, node)


def operands(node: ast.AST) -> list[ast.expr]:
    """What the operators of a node stand between."""
    match node:
        case ast.Compare():
            return [node.left, *node.comparators]
        case ast.BoolOp():
            return node.values
    return []


def bounds(node: ast.AST) -> list[ast.expr | None]:
    """The first and the last of what a node counts."""
    match node:
        case ast.Slice():
            return [node.lower, node.upper]
        case ast.Call(func=ast.Name(id="range")):
            return [*node.args[:2]]
    return []


def fields(module: Module, node: ast.AST) -> list[ast.expr]:
    """Arguments, or returned values, that depend on their order."""
    match node:
        case ast.Call(func=function) if module.text(function) not in NOT_SWAPPED:
            return node.args
        case ast.Return(value=ast.Tuple(elts=values)) | ast.Yield(value=ast.Tuple(elts=values)):
            return values
    return []


def flip_operators(module: Module, operands: list[ast.expr]) -> Iterator[Fault]:
    for left, right in itertools.pairwise(operands):
        start, stop = module.span(left)[1], module.span(right)[0]
        old = OPERATOR.search(module.text_between(start, stop))
        assert old is not None
        new = OPPOSITES[" ".join(old[0].split())]
        yield module.fault("flip operator", start + old.start(), start + old.end(), new)


def move_bounds(module: Module, bounds: list[ast.expr | None]) -> Iterator[Fault]:
    for bound in bounds:
        if bound is None or isinstance(bound, ast.Constant):
            continue
        for step in ("+ 1", "- 1"):
            yield module.fault("move bound", *module.span(bound), f"({module.text(bound)}) {step}")


def swap_fields(module: Module, fields: list[ast.expr]) -> Iterator[Fault]:
    for left, right in itertools.pairwise(fields):
        if isinstance(left, ast.Constant) or isinstance(right, ast.Constant):
            continue
        if module.text(left) == module.text(right):
            continue
        between = module.text_between(module.span(left)[1], module.span(right)[0])
        swapped = module.text(right) + between + module.text(left)
        yield module.fault("swap fields", module.span(left)[0], module.span(right)[1], swapped)


def change_node(module: Module, node: ast.AST) -> Iterator[Fault]:
    """Drop a `not`, a check or a statement, or change a number by one."""
    match node:
        case ast.UnaryOp(op=ast.Not()):
            start, _ = module.span(node)
            yield module.fault("drop not", start, start + len("not"), "")
        case ast.If(body=[*_, ast.Raise()]):
            yield module.fault("drop check", *module.span(node.test), "False")
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            for other in (value + 1, value - 1):
                yield module.fault("off by one", *module.span(node), str(other))
        case ast.AugAssign() | ast.Expr(value=ast.Call()):
            if not NO_EFFECT.match(module.text(node)):
                yield module.fault("drop statement", *module.span(node), "pass")


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
    env = {"HYPOTHESIS_PROFILE": "thorough", **os.environ, "PYTHONPATH": root}
    code = None
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


def find_guards(names: Mapping[str, str]) -> dict[str, list[str]]:
    """The files of the tests that guard each module, whose names are given."""
    files = {path.stem: str(path.relative_to(ROOT)) for path in ROOT.glob("tests/*/test_*.py")}
    return {
        module: [files[f"test_{test}"] for test in tests.split()] for module, tests in names.items()
    }


def limit_memory() -> None:
    """What never ends may also fill the memory."""
    import resource  # not every system has it

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


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
    options = parser.parse_args()
    config = configparser.ConfigParser()
    config.read(Path(__file__).with_name("guards.ini"), encoding="utf-8")
    guards = find_guards(config["guards"])
    limit_memory()
    with project_copy(ROOT) as project:  # what is edited in the meantime does not matter
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
