"""The benchmarks run; their figures are not judged here, since machines differ."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from clients import ROOT


@pytest.mark.measures
@pytest.mark.slow
def test_a_benchmark_prints_its_table(real_tar: Path) -> None:
    options = ["arrays", "--runs", "1", "--archive", str(real_tar)]
    command = [sys.executable, str(ROOT / "tests/benchmarks/run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^\| arrays \| (.*?) \|.*[1-9].*the seconds \|$", done.stdout, re.MULTILINE)
    assert found == ["idx2numpy", "gzip + np.frombuffer"]
