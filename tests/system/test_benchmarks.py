"""The benchmarks run; their figures are not judged here, since machines differ."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from clients import ROOT

PROGRAM = ROOT / "tests/benchmarks/run.py"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def rows_of(output: str) -> list[list[str]]:
    """The cells of each row below the head of the table."""
    lines = [line for line in output.splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


@pytest.mark.slow
def test_each_benchmark_prints_its_rows(real_tar: Path) -> None:
    listed = run("--list")
    names = re.findall(r"^(\S+) ", listed.stdout, re.MULTILINE)
    assert len(names) > 20
    done = run("--quick", "--archive", str(real_tar))
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    assert "fails" not in done.stdout
    # Peers that are not installed have no row, and a line that says what to install.
    left_out = re.findall(r"^(\S+): no row for .*: pip install \w+", done.stderr, re.MULTILINE)
    assert {name for name, *_ in rows} | set(left_out) == set(names)
    for _, _, figure, ours, theirs, ratio in rows:
        assert re.fullmatch(r"seconds|requests|MB .*", figure)
        for number in (ours, theirs):
            assert float(number.replace(",", "")) >= 0
        assert ratio == "-" or float(ratio.replace(",", "")) >= 0


@pytest.mark.slow
def test_a_side_that_takes_too_long_fails_in_its_rows(real_tar: Path) -> None:
    options = ["program", "--quick", "--timeout", "0.01", "--archive", str(real_tar)]
    done = run(*options, "--beside", str(ROOT))
    assert done.returncode == 0, done.stderr
    cells = ["program", str(ROOT), "seconds", *2 * ["fails: takes more than 0.01 s"], "-"]
    assert rows_of(done.stdout)[0] == cells


def test_what_is_unknown_is_refused() -> None:
    done = run("prepare", "prepair", "--list")
    assert done.returncode != 0
    assert done.stderr.startswith("unknown: prepair. There are: prepare, ")
