"""The README does what it says: each block of code runs alone, each command and each link works."""

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from clients import ROOT
from hub_client import log_in
from hub_server import HubServer
from idx_files import TRAIN_IMAGES, TRAIN_LABELS, random_images, to_idx, write_archive
from pasted import assert_prints_what_it_says, blocks_of, run_as_file, run_as_notebook
from PIL import Image

from mnist_idx.catalog import DATASETS
from mnist_idx.tools.cli import main

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = blocks_of(README, "bash")


def is_for_pytorch(code: str) -> bool:
    return "import torch" in code


def trains(code: str) -> bool:
    return "cross_entropy" in code


def named(code: str) -> Any:
    """A block of code as a parameter, with a name that says what it does."""
    words = ("contact_sheet", "load_arrays", "streaming", "num_samples", "write_idx")
    words += ("cross_entropy", "map", "with_transform", "num_workers")
    return pytest.param(code, id=", ".join(word for word in words if word in code) or "first")


PROGRAMS = [named(code) for code in blocks_of(README, "python") if not is_for_pytorch(code)]
OF_PYTORCH = [named(code) for code in blocks_of(README, "python") if is_for_pytorch(code)]


def test_the_first_block_is_two_commands() -> None:
    show, test = COMMANDS[0].splitlines()
    assert show == "pip install . && mnist-idx preview tiny"
    assert test.endswith("&& pytest")


def test_commands_have_no_comments() -> None:
    """zsh does not take them for comments where commands are pasted."""
    assert [line for block in COMMANDS for line in block.splitlines() if "#" in line] == []


# Tables and links


def rows_under(heading: str) -> dict[str, list[str]]:
    """The first table under a heading: name -> the other cells."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[name.split("`")[1]] = cells
    return rows


def test_each_dataset_has_a_row() -> None:
    assert list(rows_under("Datasets")) == list(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_the_row_of_a_dataset_has_its_counts(name: str) -> None:
    known = DATASETS[name]
    train, test, classes, *_ = rows_under("Datasets")[name]
    for split, cell in (("train", train), ("test", test)):
        if split not in known.splits:
            assert cell == "none"
            continue
        count = known.splits[split].num_records
        assert cell == f"{min(count, known.num_samples or count):,}"
    assert classes == str(len(known.class_names))


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README)
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_links_lead_to_sections() -> None:
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", README))
    assert links
    assert links <= anchors


# Programs


def test_there_are_programs() -> None:
    assert PROGRAMS
    assert OF_PYTORCH


@pytest.mark.parametrize("code", PROGRAMS)
def test_a_block_runs_alone(tmp_path: Path, mnist_tar: Path, code: str) -> None:
    printed = run_as_file(code, tmp_path, {"MNIST_IDX_MIRROR": str(mnist_tar)})
    assert_prints_what_it_says(code, printed)


@pytest.mark.beyond
@pytest.mark.parametrize("code", [code for code in OF_PYTORCH if not trains(code.values[0])])
def test_a_block_for_pytorch_runs_alone(tmp_path: Path, mnist_tar: Path, code: str) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    printed = run_as_file(code, tmp_path, {"MNIST_IDX_MIRROR": str(mnist_tar)})
    assert_prints_what_it_says(code, printed)


@pytest.mark.beyond
@pytest.mark.parametrize("code", PROGRAMS + OF_PYTORCH)
def test_a_block_runs_in_a_notebook(tmp_path: Path, mnist_tar: Path, code: str) -> None:
    pytest.importorskip("nbclient", reason="needs nbclient: pip install 'mnist-idx[beyond]'")
    if is_for_pytorch(code):
        pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    printed = run_as_notebook(code, tmp_path, {"MNIST_IDX_MIRROR": str(mnist_tar)})
    assert_prints_what_it_says(code, printed)


@pytest.mark.beyond
def test_the_program_for_training_learns(tmp_path: Path, real_tar: Path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    (code,) = filter(trains, blocks_of(README, "python"))
    printed = run_as_file(code, tmp_path, {"MNIST_IDX_MIRROR": str(real_tar)})
    accuracies = re.findall(r"^epoch \d: ([\d.]+)% of the test split right$", printed, re.MULTILINE)
    assert len(accuracies) == 3
    assert float(accuracies[-1]) > 98


@pytest.mark.beyond
def test_the_program_with_map_keeps_labels_of_300_classes(tmp_path: Path) -> None:
    """A cast of all columns to bytes would make class 43 of class 299."""
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    labels = np.arange(300, dtype=np.int16)
    files = {TRAIN_IMAGES: to_idx(random_images(300, 5, 4)), TRAIN_LABELS: to_idx(labels)}
    folder = write_archive(tmp_path / "set", files)
    (code,) = [code for code in blocks_of(README, "python") if "ds.map(" in code]
    code = code.replace('"mnist_idx"', f'"idxfolder", data_dir="{folder}"')
    code += "\nprint(images.dtype, labels.tolist() == list(range(300)))"
    assert run_as_file(code, tmp_path, {}) == "torch.uint8 True\n"


# Commands


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")
def test_the_commands_run(
    tmp_path: Path,
    mnist_tar: Path,
    mirror: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror(mnist_tar)
    monkeypatch.chdir(tmp_path)
    # A setting of the environment, which `datasets` has read when it was imported.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name in ("cat", "dog"):
        Path("photos", "train", name).mkdir(parents=True)
        Image.fromarray(random_images(30, 40, 3)).save(f"photos/train/{name}/0.png")
    rows = ["label," + ",".join(f"pixel{number}" for number in range(784))]
    rows.append(",".join(["7"] + ["0"] * 784))
    Path("train.csv").write_text("\n".join(rows))
    inline = re.findall(r"`(mnist-idx (?:convert|export) [^`]*[^`A-Z])`", README)
    lines = [line for block in COMMANDS[1:] for line in block.splitlines()]
    assert {line.split()[1] for line in lines} >= {"preview", "verify", "convert", "push", "export"}
    assert main(["convert", "mnist_idx", "my_idx", "--name", "tiny"]) == 0  # as the code does
    with HubServer() as hub:
        log_in(hub, monkeypatch)
        for line in lines + inline:
            if line == "hf auth login":  # done
                continue
            program, *arguments = shlex.split(line.replace("user/", "alice/"))
            assert program == "mnist-idx"
            if Path(arguments[-1]).exists() and arguments[0] in ("convert", "export"):
                arguments.append("--overwrite")
            assert main(arguments) == 0, line
    assert {"my_idx.png", "letters", "letters_parquet", "pictures", "tiny.npz"} <= set(os.listdir())
