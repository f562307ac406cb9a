"""Plant faults into copies of the package, one at a time, and list those that no test notices.

cosmic-ray finds the faults, plants them and runs the tests. This program draws some of them, and
`guards.ini` says which tests guard which module. The same seed draws the same faults.

    MNIST_IDX_TEST_ARCHIVE=/path/of/mnist_database.tar python tests/mutation/run.py --jobs 2
"""

import argparse
import ast
import configparser
import contextlib
import functools
import os
import random
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome
from operators import Span, register

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE_VARIABLE = "MNIST_IDX_TEST_ARCHIVE"
MEMORY_BYTES = 8 << 30  # of address space, for each process of the tests: a fault may never end
PYTEST = [
    *(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"),
    *("--hypothesis-seed=0", "-m", "(not slow or guard) and not beyond and not measures"),
]
NO_TESTS_COLLECTED = 5  # pytest's exit code

# Between numbers, None and True these make no difference.
SAME_COMPARISONS = ("_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq")


class Trial(NamedTuple):
    """What came of one fault."""

    fault: MutationSpec
    noticed_by: str | None  # None if it survived
    diff: str
    seconds: float


def module_of(fault: MutationSpec) -> str:
    return fault.module_path.stem


def kind_of(fault: MutationSpec) -> str:
    """Such as ReplaceComparisonOperator, of core/ReplaceComparisonOperator_Lt_LtE."""
    return fault.operator_name.split("/")[1].split("_")[0]


def find_faults(
    project: Path, modules: Container[str], equivalent: Container[str]
) -> list[MutationSpec]:
    """Every fault that may be planted into the modules of a copy, always in the same order."""
    paths = [path for path in sorted(project.glob("mnist_idx/**/*.py")) if path.stem in modules]
    with use_db(":memory:") as database:
        init(paths, database, operator_cfgs={})
        found = [item.mutations[0] for item in database.work_items]
    left_out = {path: list(find_left_out(path, equivalent)) for path in paths}
    faults = []
    for fault in found:
        makes_no_difference = fault.operator_name.endswith(SAME_COMPARISONS)
        if not makes_no_difference and not is_within(fault, left_out[fault.module_path]):
            faults.append(fault)
    faults.sort(key=lambda fault: (fault.module_path, fault.operator_name, fault.occurrence))
    return faults


def find_left_out(path: Path, equivalent: Container[str]) -> Iterator[Span]:
    """What no test has to notice: messages, annotations, and the constants in `equivalent`.

    Nor what only a fault of the package itself could need: assertions, and the like.
    """
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.JoinedStr() | ast.Raise() | ast.Assert():
                yield span_of(node)
            case ast.If(test=condition, body=[ast.Raise(exc=error)]) if is_assertion(error):
                yield span_of(condition)
            case ast.keyword(arg="strict" | "frozen", value=value):
                yield span_of(value)
            case ast.arg(annotation=ast.expr() as annotation):
                yield span_of(annotation)
            case ast.FunctionDef(returns=ast.expr() as annotation):
                yield span_of(annotation)
            case ast.Assign(targets=[target]) if is_one_of(target, equivalent):
                yield span_of(node)
            case ast.AnnAssign(target=target) if is_one_of(target, equivalent):
                yield span_of(node)
            case ast.AnnAssign(annotation=annotation):
                yield span_of(annotation)


def is_assertion(error: ast.expr | None) -> bool:
    match error:
        case ast.Call(func=ast.Name(id="AssertionError")):
            return True
    return False


def is_one_of(target: ast.expr, names: Container[str]) -> bool:
    """Whether a value is assigned to one of the names, or to several of which it is the first."""
    match target:
        case ast.Name(id=name) | ast.Tuple(elts=[ast.Name(id=name), *_]):
            return name.lower() in names
    return False


def span_of(node: ast.stmt | ast.expr) -> Span:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def is_within(fault: MutationSpec, spans: Sequence[Span]) -> bool:
    return any(start <= fault.start_pos and fault.end_pos <= stop for start, stop in spans)


def draw(faults: Sequence[MutationSpec], count: int, seed: int) -> list[MutationSpec]:
    """Draw a module by its number of lines, then one of the kinds of its faults, then a fault."""
    generator = random.Random(seed)
    left = list(faults)
    drawn = []
    while left and len(drawn) < count:
        lines = {(fault.module_path, fault.start_pos[0]) for fault in left}
        path, _ = generator.choice(sorted(lines))
        of_module = [fault for fault in left if fault.module_path == path]
        kind = generator.choice(sorted({kind_of(fault) for fault in of_module}))
        fault = generator.choice([fault for fault in of_module if kind_of(fault) == kind])
        drawn.append(fault)
        left.remove(fault)
    return drawn


@contextlib.contextmanager
def inside_copy(project: Path) -> Iterator[Path]:
    """Let this process work in a copy of the project, in which a fault may damage anything."""
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder, "project")
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        os.environ["PYTHONPATH"] = str(copy)
        os.chdir(copy)
        try:
            yield copy
        finally:
            os.chdir("/")


def measure(project: Path, file: str) -> float:
    """The seconds that a file of tests takes without any fault."""
    began = time.monotonic()
    with inside_copy(project):
        run = subprocess.run([*PYTEST, file], capture_output=True, text=True)
    if run.returncode not in (0, NO_TESTS_COLLECTED):
        raise RuntimeError(f"{file} fails without any fault.\n{run.stdout}{run.stderr}")
    return time.monotonic() - began


def try_fault(
    project: Path,
    guards: Mapping[str, Sequence[str]],
    seconds: Mapping[str, float],
    fault: MutationSpec,
) -> Trial:
    """Plant a fault, and run the tests of its module until one fails."""
    files = guards[module_of(fault)]
    limit = 60 + 4 * sum(seconds[file] for file in files)
    began = time.monotonic()
    with inside_copy(project):
        result = mutate_and_test([fault], shlex.join([*PYTEST, "-x", *files]), limit)
    if result.test_outcome not in (TestOutcome.KILLED, TestOutcome.SURVIVED):
        raise RuntimeError(f"{fault} could not be planted.\n{result.output}")
    noticed_by = None
    if result.test_outcome is TestOutcome.KILLED:
        failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", result.output, re.MULTILINE)
        noticed_by = failed[1] if failed else "a crash or the time limit"
    return Trial(fault, noticed_by, result.diff, time.monotonic() - began)


def start_worker() -> None:
    register()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.environ.setdefault("HYPOTHESIS_PROFILE", "thorough")


def find_guards(names: Mapping[str, str]) -> dict[str, list[str]]:
    """The files of the tests that guard each module, whose names are given."""
    files = {path.stem: str(path.relative_to(ROOT)) for path in ROOT.glob("tests/*/test_*.py")}
    guards = {}
    for module, tests in names.items():
        guards[module] = [files[f"test_{test}"] for test in tests.split()]
    return guards


def print_trial(trial: Trial) -> None:
    fault = trial.fault
    line, _ = fault.start_pos
    verdict = f"noticed by {trial.noticed_by}" if trial.noticed_by else "SURVIVED"
    name = fault.operator_name.split("/")[1]
    print(f"{trial.seconds:6.1f} s  {module_of(fault)}:{line}  {name}  {verdict}", flush=True)
    if not trial.noticed_by:
        print(trial.diff, flush=True)


def print_table(trials: Sequence[Trial]) -> None:
    planted = Counter(module_of(trial.fault) for trial in trials)
    noticed = Counter(module_of(trial.fault) for trial in trials if trial.noticed_by)
    print("\n| module | faults | noticed |\n|---|---|---|")
    for module in sorted(planted):
        print(f"| {module} | {planted[module]} | {noticed[module]} |")
    print(f"\n{noticed.total()} of {len(trials)} noticed: {noticed.total() / len(trials):.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="number of faults")
    parser.add_argument("--seed", type=int, default=1, help="draws the faults")
    parser.add_argument("--module", help="change only this one, for example idx")
    parser.add_argument("--jobs", type=int, default=1, help="faults that are tried at once")
    options = parser.parse_args()
    if not os.environ.get(ARCHIVE_VARIABLE):
        parser.error(f"set {ARCHIVE_VARIABLE} to the absolute path of mnist_database.tar")
    config = configparser.ConfigParser()
    config.read(Path(__file__).with_name("guards.ini"), encoding="utf-8")
    guards = find_guards(config["guards"])
    modules = [options.module] if options.module else list(guards)

    register()
    with (
        inside_copy(ROOT) as project,  # what is edited in the meantime does not matter
        ProcessPoolExecutor(options.jobs, initializer=start_worker) as pool,
    ):
        faults = find_faults(Path("."), modules, config["equivalent"])
        drawn = draw(faults, options.count, options.seed)
        print(f"{len(drawn)} of {len(faults)} faults.", flush=True)
        files = sorted({file for fault in drawn for file in guards[module_of(fault)]})
        seconds = dict(
            zip(files, pool.map(functools.partial(measure, project), files), strict=True)
        )
        print(f"Their tests take {sum(seconds.values()):.0f} s without any.\n", flush=True)
        trials = []
        for trial in pool.map(functools.partial(try_fault, project, guards, seconds), drawn):
            print_trial(trial)
            trials.append(trial)
    print_table(trials)


if __name__ == "__main__":
    main()
