"""The benchmarks run; their figures are not judged here, since machines differ."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from clients import ROOT


@pytest.mark.slow
def test_a_benchmark_prints_its_table_and_writes_its_figures(mnist_tar: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "run.py"), "arrays", "--runs", "1"]
    more = ["--archive", str(mnist_tar), "--json", str(tmp_path / "figures.json")]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [row["against"] for row in figures] == ["idx2numpy over gzip", "gzip + np.frombuffer"]
    assert all(row["figure"] > 0 for row in figures)
    assert len(done.stdout.splitlines()) == len(figures)
