"""The README does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from clients import ROOT, run_client

from mnist_idx import MnistIdx, write_idx
from mnist_idx.cli import build_parser

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_two_commands_do_the_set_up() -> None:
    commands = [line for line in blocks("bash")[0].splitlines() if not line.startswith("#")]
    assert len(commands) == 2
    assert "mnist-idx preview tiny" in commands[0]
    assert "pytest" in commands[1]


def test_every_config_is_in_the_table() -> None:
    table = "\n".join(line for line in README.splitlines() if line.startswith("|"))
    assert [name for name in MnistIdx.builder_configs if f"`{name}`" not in table] == []


def test_every_command_that_is_shown_is_one() -> None:
    shown = re.findall(r"^mnist-idx (.*?)(?: +#.*)?$", "\n".join(blocks("bash")), re.MULTILINE)
    assert {line.split()[0] for line in shown} >= {"preview", "verify", "convert", "push", "export"}
    for line in shown:
        build_parser().parse_args(line.split())


def test_the_code_runs(mnist_tar: Path, mnist_arrays: dict, tmp_path: Path, hf_home: Path) -> None:
    """Each block that needs nothing but the data set, in one program, in a folder that has what they speak of."""
    work = tmp_path / "work"
    work.mkdir()
    images, labels = mnist_arrays["test"]
    write_idx({"train": (images[:50], labels[:50]), "test": (images[50:60], labels[50:60])}, work / "my_idx_folder")
    code = "\n".join(block for block in blocks("python") if "push_to_hub" not in block and "torchrun" not in block)
    outcome = run_client(code, home=hf_home, cwd=work, env={"MNIST_IDX_MIRROR": str(mnist_tar)})
    assert outcome.returncode == 0


@pytest.mark.parametrize("command", ["", "preview", "verify", "convert", "push", "export"])
def test_help_teaches(command: str) -> None:
    arguments = [sys.executable, "-m", "mnist_idx", *command.split(), "--help"]
    shown = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert "mnist-idx" in shown
    assert "xample" in shown or not command
