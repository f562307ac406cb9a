"""The README does what it says: its code and its commands run, in a folder that has what they speak
of.
"""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import datasets
import pytest
from clients import ROOT, run_snippet
from hub_client import log_in
from hub_server import HubServer
from idx_files import random_images
from PIL import Image

from mnist_idx import MnistIdx
from mnist_idx.tools.cli import main

README = (ROOT / "README.md").read_text(encoding="utf-8")


TABLES = "\n".join(line for line in README.splitlines() if line.startswith("|"))


def blocks(language: str) -> list[str]:
    """The blocks of code in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_first_block_says_what_to_do_first() -> None:
    first = blocks("bash")[0]
    assert "mnist-idx preview tiny" in first
    assert "pytest" in first.partition("mnist-idx preview tiny")[2]


@pytest.mark.parametrize("name", MnistIdx.builder_configs)
def test_each_config_is_in_a_table(name: str) -> None:
    assert f"`{name}`" in TABLES


@pytest.mark.parametrize(
    "option",
    [
        "as_array",
        "num_samples",
        "num_shards",
        "sampling",
        "seed",
        "transpose",
        "data_dir",
        "data_files",
        "label_names",
        "prefix",
    ],
)
def test_each_option_has_a_row(option: str) -> None:
    assert f"| `{option}`" in TABLES


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README)
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def run_code(code: str, home: Path, mirror: Path) -> str:
    """Run a program that publishes as alice. Returns what it prints."""
    code = code.replace('"user/', '"alice/')
    with HubServer() as hub:
        env = {"MNIST_IDX_MIRROR": str(mirror), **hub.environment("writer")}
        return run_snippet(code, home=home, env=env, timeout=300).stdout


def test_the_code_prints_what_its_comments_say(hf_home: Path, mnist_tar: Path) -> None:
    code = "\n".join(block for block in blocks("python") if "torch" not in block)
    printed = run_code(code, hf_home, mnist_tar).splitlines()
    shown = re.findall(r"^print\(.*\) +# (.*)$", code, re.MULTILINE)
    assert shown
    for line, pattern in zip(printed, shown, strict=True):
        assert re.fullmatch(re.escape(pattern).replace("…", ".*"), line)


@pytest.mark.beyond
def test_the_code_for_training_runs(hf_home: Path, mnist_tar: Path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    code = "\n".join(blocks("python"))
    code = code.replace("range(3)", "range(1)").replace(".split(128)", ".split(128)[:20]")
    code += "\nbatch = next(iter(loader))\nassert batch[0].numel() == 784 * len(batch[1])"
    run_code(code, hf_home, mnist_tar)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")
def test_the_commands_run(
    tmp_path: Path, mnist_tar: Path, mirror: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror(mnist_tar)
    monkeypatch.chdir(tmp_path)
    # A setting of the environment, which `datasets` has read when it was imported.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name in ("cat", "dog"):
        Path("photos", name).mkdir(parents=True)
        Image.fromarray(random_images(30, 40, 3)).save(f"photos/{name}/0.png")
    lines = []
    for block in blocks("bash")[1:]:
        lines += [line.partition("#")[0].strip() for line in block.splitlines()]
    commands = {line.split()[1] for line in lines}
    assert commands >= {"preview", "verify", "convert", "push", "export"}
    assert main(["convert", "mnist_idx", "my_idx", "--name", "tiny"]) == 0  # as the code does
    with HubServer() as hub:
        log_in(hub, monkeypatch)
        for line in lines:
            program, *arguments = shlex.split(line.replace("user/", "alice/"))
            assert program == "mnist-idx"
            assert main(arguments) == 0, line
    assert {"my_idx.png", "letters", "digits"} <= set(os.listdir())
