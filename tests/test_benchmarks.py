"""The benchmarks run; their figures are not judged here, since machines differ."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from clients import ROOT


@pytest.mark.slow
def test_a_benchmark_prints_its_table(mnist_tar: Path) -> None:
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "run.py"), "arrays", "--runs", "1"]
    done = subprocess.run([*command, "--archive", str(mnist_tar)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\| arrays \| (.*?) \|.*[1-9].*the seconds \|$", done.stdout, re.MULTILINE) == [
        "idx2numpy",
        "gzip + np.frombuffer",
    ]
