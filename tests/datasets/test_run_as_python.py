"""A program that `mnist-idx run` runs sees what it sees when Python runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clients import ROOT

PROGRAM = ROOT / "tests" / "support" / "user_programs" / "describe_itself.py"
COMMAND_LINE = "import sys; from mnist_idx.tools.cli import main; sys.exit(main())"


def output_of(folder: Path, *argv: str) -> str:
    env = {**os.environ, "HF_HOME": str(folder / "hf_home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *argv]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        pytest.param(["scripts/program.py"], id="file"),
        pytest.param(["-m", "scripts.program"], id="module"),
    ],
)
def test_a_program_sees_what_python_shows_it(program: list[str], tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(PROGRAM, tmp_path / "scripts" / "program.py")
    expected = output_of(tmp_path, *program, "--epochs", "3")
    assert "42" in expected
    assert output_of(tmp_path, "-c", COMMAND_LINE, "run", *program, "--epochs", "3") == expected
