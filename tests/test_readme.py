"""The README does what it says: its code and its commands run, in a folder that has what they speak of."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
from clients import ROOT, run_client
from conftest import Arrays
from hub_client import log_in
from hub_server import HubServer
from idx_files import random_images
from PIL import Image

from mnist_idx import MnistIdx, write_idx
from mnist_idx.tools.cli import build_parser, main

README = (ROOT / "README.md").read_text(encoding="utf-8")
# Not to be run here: they set up, test, measure, or need several processes.
OTHER_COMMANDS = ("pip ", "python ", "torchrun ", "pytest", "hf ", "export ")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The lines of all blocks but the first, which sets up."""
    lines = [re.sub(r"( {2,}|\t)#.*", "", line).strip() for block in blocks("bash")[1:] for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture
def workplace(tmp_path: Path, mnist_arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "workplace"
    images, labels = mnist_arrays["test"]
    splits = {"train": (images[:50], labels[:50]), "test": (images[50:60], labels[50:60])}
    for name in ("my_idx", "my_idx_folder"):
        write_idx(splits, place / name)
    for name in ("cat", "dog"):
        (place / "photos" / name).mkdir(parents=True)
        Image.fromarray(random_images(30, 40, 3)).save(place / "photos" / name / "0.png")
    (place / "train.py").write_text("from datasets import load_dataset\nload_dataset('mnist_idx', 'tiny')\n")
    monkeypatch.chdir(place)
    return place


def test_the_first_block_sets_up() -> None:
    lines = [line for line in blocks("bash")[0].splitlines() if not line.startswith("#")]
    assert len(lines) == 2
    assert "mnist-idx preview tiny" in lines[0]
    assert "pytest" in lines[1]


def test_every_config_is_in_the_table() -> None:
    table = "\n".join(line for line in README.splitlines() if line.startswith("|"))
    assert [name for name in MnistIdx.builder_configs if f"`{name}`" not in table] == []


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README)
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []


def test_every_kind_of_command_is_known() -> None:
    shown = [line for line in commands() if line.startswith("mnist-idx ")]
    assert {line.split()[1] for line in shown} >= {"preview", "verify", "convert", "push", "export"}
    assert [line for line in commands() if line not in shown and not line.startswith(OTHER_COMMANDS)] == []
    for line in shown:
        build_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")
def test_the_commands_run(
    workplace: Path, mnist_tar: Path, mirror: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mirror(mnist_tar)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(sys, "path", [*sys.path])
    with HubServer() as hub:
        log_in(hub, monkeypatch)
        for line in commands():
            if line.startswith("mnist-idx "):
                argv = shlex.split(line)[1:]
                monkeypatch.setattr(sys, "argv", ["mnist-idx"])
                assert main([argument.replace("user/", "alice/") for argument in argv]) == 0, line
                os.chdir(workplace)


def test_the_code_runs(workplace: Path, hf_home: Path, mnist_tar: Path) -> None:
    """All blocks in one program, which publishes as alice."""
    code = "\n".join(blocks("python")).replace('"user/', '"alice/')
    with HubServer() as hub:
        env = {"MNIST_IDX_MIRROR": str(mnist_tar), **hub.environment("writer")}
        run_client(code, home=hf_home, cwd=workplace, env=env)
