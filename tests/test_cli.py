"""The command line: help that teaches, examples that run, exit codes, errors in its own words."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from clients import ROOT, run_client
from datasets.exceptions import DatasetGenerationError
from hub_client import log_in
from hub_server import HubServer
from idx_files import random_images
from PIL import Image
from test_write import contents, read

import mnist_idx
from mnist_idx import catalog
from mnist_idx.idx import IdxError
from mnist_idx.tools import cli
from mnist_idx.tools.cli import build_parser, explain, main

Capsys, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch
COMMANDS = ("preview", "verify", "convert", "push", "export", "run")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A working folder with what the examples of the help need. The miniature is "mnist", too."""
    tiny = catalog.TINY._replace(sources=(catalog.Source(str(ROOT / "mnist_idx/data/mnist_tiny.tar"), 0),))
    monkeypatch.setitem(catalog.DATASETS, "mnist", tiny)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    place = tmp_path / "workplace"
    for number, name in enumerate(["cat", "dog", "eel"]):
        (place / "photos" / name).mkdir(parents=True)
        for index in range(3):  # in colour, of several sizes, PNG and JPEG
            picture = Image.fromarray(random_images(30 + index, 40 + number, 3))
            picture.save(place / "photos" / name / f"{index}.{'png' if index else 'jpg'}")
    (place / "package").mkdir()
    (place / "package" / "__init__.py").touch()
    for name in ("train", "package/train"):
        (place / f"{name}.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n")
    for seed, name in enumerate("ab"):
        images = list(map(Image.fromarray, random_images(4, 3, 3, seed=seed)))
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        split = datasets.Dataset.from_dict({"image": images, "label": range(4)}, features=features)
        split.to_parquet(place / f"{name}.parquet")
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["mnist-idx"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    return place


def shown_help(command: str, capsys: Capsys) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_command(capsys: Capsys) -> None:
    text = shown_help("", capsys)
    assert re.findall(r"^    (\w+) +\S", text, re.MULTILINE) == list(COMMANDS)
    assert "MNIST_IDX_MIRROR" in text
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"mnist-idx {mnist_idx.__version__}\n"


LIBRARY = {"push": "push_to_hub", "export": "export", "convert": "write_idx"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command: str, capsys: Capsys) -> None:
    text = shown_help(command, capsys)
    for said in (f"mnist-idx {command}", "examples:", "exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted"):
        assert said in text
    parser = build_parser()._subparsers._group_actions[0].choices[command]  # type: ignore[union-attr,index]
    assert all(action.help for action in parser._actions)
    defaults = getattr(mnist_idx, LIBRARY[command]).__kwdefaults__ if command in LIBRARY else {}
    options = set(defaults) - {"compress"}  # is --plain
    assert [option for option in options if f"--{option.replace('_', '-')}" not in text] == []


def examples() -> Iterator[Any]:
    for command in COMMANDS:
        description = inspect.getdoc(getattr(cli, command)) or ""
        for line in re.findall(r"^  (mnist-idx .*?)(?: {2,}.*)?$", description, re.MULTILINE):
            yield pytest.param(line.split()[1:], id=line)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")
@pytest.mark.parametrize("example", list(examples()))
def test_examples_of_the_help_run(example: list[str], workplace: Path, monkeypatch: Patch, capsys: Capsys) -> None:
    if "copy" in example and example[0] != "convert":
        main(["convert", "mnist_idx", "copy", "--name", "tiny"])
    with HubServer() as hub:
        log_in(hub, monkeypatch)
        hub.create("other/mnist_idx")
        before = set(workplace.iterdir())
        assert main(example) == 0
        created = {path.name for path in set(workplace.iterdir()) - before}
        commits = {name: len(repo.history()) - 1 for name, repo in hub.repos.items()}
    printed = capsys.readouterr().out
    target = example[1:3][example[0] == "convert"]
    said, made = {
        "preview": ("train: 1,000 records", "digits.png" if "copy" in example else "tiny.png"),
        "verify": ("4 files, all valid", ""),
        "convert": (f'data_dir="{target}"', target),
        "export": (f"Exported to {workplace / target}", target),
        "push": (f"to {hub.url}" if "--dry-run" in example else f"at {hub.url}", ""),
        "run": (f"__main__ {example[example.index('train.py') + 1 :] if 'train.py' in example else []}\n", ""),
    }[example[0]]
    assert said in printed
    assert created == ({made} if made and "--ascii" not in example else set())
    if example[0] == "push":
        assert sum(commits.values()) == (not {"--create-pr", "--dry-run"} & set(example))


STARTUP = """
import contextlib, io
sys.argv[0] = "/usr/bin/mnist-idx"
from mnist_idx.tools.cli import main
for argv in [["--version"], ["--help"], *([command, "--help"] for command in args["commands"]), ["no such command"]]:
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        main(argv)
result = sorted({name.partition(".")[0] for name in sys.modules} & {"datasets", "numpy", "pyarrow", "huggingface_hub"})
"""


def test_help_and_version_import_no_datasets(hf_home: Path) -> None:
    assert run_client(STARTUP, home=hf_home, args={"commands": COMMANDS}).result == []


USAGE = ["", "nosuch", "preview --num many", "convert mnist_idx", "convert mnist_idx out --size 28"]
USAGE += ["convert mnist_idx out --size 0x4", "convert mnist_idx out --mode CMYK", "export digits --sampling last"]
USAGE += ["push digits --config cifar"]


@pytest.mark.parametrize("line", USAGE)
def test_wrong_usage(line: str, capsys: Capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("usage: mnist-idx")


def raising(error: BaseException) -> Any:
    def check(*args: Any) -> None:
        raise error

    return check


ERRORS = [
    (KeyboardInterrupt(), 130, "mnist-idx: interrupted\n"),
    (ValueError("wrong"), 1, "mnist-idx: wrong\n"),
    (OSError("no disk"), 1, "mnist-idx: no disk\n"),
    (DatasetGenerationError("went wrong"), 1, "mnist-idx: went wrong\n"),
    (IdxError(), 1, "mnist-idx: IdxError\n"),
]


@pytest.mark.parametrize(("error", "code", "message"), ERRORS, ids=repr)
def test_exit_codes(error: BaseException, code: int, message: str, monkeypatch: Patch, capsys: Capsys) -> None:
    monkeypatch.setattr(cli, "check_source", raising(error))
    assert main(["verify", "tiny"]) == code
    assert capsys.readouterr().err == message


def test_errors_in_the_program_are_not_hidden(monkeypatch: Patch) -> None:
    monkeypatch.setattr(cli, "check_source", raising(KeyError("bug")))
    with pytest.raises(KeyError):
        main(["verify", "tiny"])


def test_a_closed_pipe_ends_it_quietly(monkeypatch: Patch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "check_source", raising(BrokenPipeError()))
    monkeypatch.setattr(os, "dup2", lambda *descriptors: None)  # standard output goes nowhere from here on
    assert main(["verify", "tiny"]) == 1
    assert capfd.readouterr() == ("", "")


OPTIONS: dict[str, Any] = dict.fromkeys(["overwrite", "image_column", "private", "prefix", "split", "mode"])
SAID = [
    ("Choose another, or replace it with overwrite=True.", "Choose another, or replace it with --overwrite."),
    ("Name them with image_column=….", "Name them with --image-column."),
    ("or leave out private=False.", "or leave out --no-private."),
    ('Choose one: prefix="one".', "Choose one: --prefix one."),
    ('Convert with mode="L" or mode="RGB".', "Convert with --mode L or --mode RGB."),
    ("num_samples=3: expected at most 2.", "num_samples=3: expected at most 2."),
    ("https://a/b?split=train is gone", "https://a/b?split=train is gone"),
    ("Set cache_dir= or the environment variable HF_HOME.", "Set the environment variable HF_HOME."),
]


@pytest.mark.parametrize(("library", "command_line"), SAID)
def test_errors_speak_of_options_as_they_are_typed(library: str, command_line: str) -> None:
    assert explain(IdxError(library), OPTIONS) == command_line
    wrapped = DatasetGenerationError("An error occurred")
    wrapped.__cause__ = IdxError(library)
    assert explain(wrapped, OPTIONS) == command_line


def test_options_of_a_config_that_is_not_published(capsys: Capsys) -> None:
    for option in (["--seed", "2"], ["--num-samples", "5"], ["--sampling", "uniform"]):
        assert main(["export", "digits", "--config", "tiny", *option]) == 1
        assert f"{option[0]} is an option of subset: add --config subset" in capsys.readouterr().err


# convert


def test_a_folder_of_pictures_becomes_idx_in_one_line(workplace: Path, capsys: Capsys) -> None:
    assert main(["convert", "imagefolder", "idx", "--data-dir", "photos", "--mode", "L", "--size", "28x20"]) == 0
    arrays = read(workplace / "idx")
    assert arrays["train-images-idx3-ubyte"].shape == (9, 28, 20)
    assert arrays["train-labels-idx1-ubyte"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    printed = capsys.readouterr().out
    assert "train-images-idx3-ubyte.gz: 9 x 28 x 20 uint8" in printed
    # What is printed as the way to load it, loads it.
    (command,) = [line.removeprefix("Load with ") for line in printed.splitlines() if line.startswith("Load with ")]
    data = eval(command, {"load_dataset": datasets.load_dataset})
    assert data["train"].features["label"].names == ["cat", "dog", "eel"]
    assert [np.asarray(image).tolist() for image in data["train"]["image"]] == arrays[
        "train-images-idx3-ubyte"
    ].tolist()
    for options, said in (
        ([], r"split 'train', record 0 .*--mode"),
        (["--mode", "L"], r"record 1 is uint8 \(31, 40\), the first record is uint8 \(30, 40\).*--size"),
    ):
        assert main(["convert", "imagefolder", "--data-dir", "photos", "other", *options]) == 1
        assert re.search(said, capsys.readouterr().err)
    assert not (workplace / "other").exists()


def test_options_of_convert(workplace: Path, capsys: Capsys) -> None:
    tiny = ["convert", "mnist_idx", "--name", "tiny"]
    assert main([*tiny, "all", "--plain"]) == 0
    whole = contents(workplace / "all")
    assert {name: len(content) for name, content in whole.items()} == {
        path.name: path.stat().st_size for path in (workplace / "all").iterdir()
    }
    assert main([*tiny, "streamed.tar", "--streaming"]) == 0
    assert contents(workplace / "streamed.tar") == whole
    assert main([*tiny, "part", "--split", "test[:50]"]) == 0
    assert read(workplace / "part")["t10k-images-idx3-ubyte"].shape == (50, 28, 28)
    assert main([*tiny, "part"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*tiny, "part", "--overwrite", "--mode", "RGB"]) == 0
    assert read(workplace / "part")["train-images-idx4-ubyte"].shape == (1000, 28, 28, 3)
    files = ["--data-files=train=a.parquet", "--data-files=train=b.parquet", "--data-files=test=b.parquet"]
    assert main(["convert", "parquet", *files, "several"]) == 0
    assert read(workplace / "several")["train-images-idx3-ubyte"].shape == (8, 3, 3)
    assert main(["convert", "parquet", "--data-files=b.parquet", "one"]) == 0
    second = random_images(4, 3, 3, seed=1)
    np.testing.assert_array_equal(read(workplace / "several")["t10k-images-idx3-ubyte"], second)
    np.testing.assert_array_equal(read(workplace / "one")["train-images-idx3-ubyte"], second)


@pytest.mark.parametrize("source", [["imagefolder", "--data-dir", "no"], ["csv", "--data-files", "no.csv"]])
def test_sources_that_are_not_there(source: list[str], workplace: Path, capsys: Capsys) -> None:
    assert main(["convert", *source, "idx"]) == 1
    assert capsys.readouterr().err.startswith("mnist-idx: ")
    assert not (workplace / "idx").exists()


# run

PROGRAM = """
import sys
from datasets import load_dataset
if __name__ == "__main__":
    data = load_dataset("mnist_idx", "tiny", num_proc=2)
    print(data["train"].num_rows, sys.argv[1:])
    sys.exit(3)
"""


def run_program(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HF_HOME": str(folder / "hf_home"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "mnist_idx", "run", *argv], env=env, cwd=folder, capture_output=True, text=True
    )


@pytest.mark.parametrize("form", [["scripts/program.py"], ["-m", "scripts.program"]], ids=" ".join)
def test_run_a_program_that_never_imports_the_package(form: list[str], tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "program.py").write_text(PROGRAM)
    done = run_program(tmp_path, *form, "--epochs", "3", "-m")
    assert done.stdout == "1000 ['--epochs', '3', '-m']\n", done.stderr
    assert done.returncode == 3


def test_run_in_this_process(workplace: Path, monkeypatch: Patch, capsys: Capsys) -> None:
    (workplace / "folder").mkdir()
    (workplace / "folder" / "helper.py").write_text("value = 5\n")
    (workplace / "folder" / "main.py").write_text("import sys, helper\nprint(helper.value, sys.argv)\n")
    assert main(["run", "folder/main.py", "x"]) == 0
    assert capsys.readouterr().out == "5 ['folder/main.py', 'x']\n", "finds its neighbours"
    for error, code in (("KeyboardInterrupt", 130), ("RuntimeError('of the program')", 1)):
        (workplace / "failing.py").write_text(f"raise {error}\n")
        with pytest.raises(SystemExit) as stop:
            main(["run", "failing.py"])
        assert stop.value.code == code
        printed = capsys.readouterr().err
        assert re.findall(r'File ".*?([^/]*)", line', printed) == ["failing.py"], "nothing of ours"
        assert "mnist-idx: " not in printed
    assert main(["run", "nowhere.py"]) == 1
    assert "nowhere.py: no such program" in capsys.readouterr().err


SPAWNING = """
from datasets import load_dataset
from torch.utils.data import DataLoader
if __name__ == "__main__":
    stream = load_dataset("mnist_idx", "tiny", split="test", streaming=True, num_shards=2, as_array=True)
    loader = DataLoader(stream.with_format("torch"), batch_size=50, num_workers=2, multiprocessing_context="spawn")
    print(sorted(int(label) for batch in loader for label in batch["label"]))
"""


@pytest.mark.beyond
def test_run_a_program_whose_workers_are_spawned(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    (tmp_path / "program.py").write_text(SPAWNING)
    done = run_program(tmp_path, "program.py")
    _, labels = mnist_idx.load_arrays("mnist_idx", "tiny", split="test")
    assert done.stdout == f"{sorted(labels.tolist())}\n", done.stderr  # type: ignore[union-attr]
