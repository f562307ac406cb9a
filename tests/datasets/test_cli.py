"""The command line: help that teaches, examples that run, exit codes, errors in its own words."""

import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import datasets
import numpy as np
import pytest
from clients import ROOT, run_client
from datasets.exceptions import DatasetGenerationError
from hub_client import log_in
from hub_server import HubServer
from idx_files import random_images, write_archive
from pictures import pictures
from PIL import Image
from representatives import slow_but_first
from written import contents, read

import mnist_idx
from mnist_idx import catalog
from mnist_idx.errors import IdxError
from mnist_idx.tools import cli
from mnist_idx.tools.cli import main

Capsys, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch
USER_PROGRAMS = ROOT / "tests" / "support" / "user_programs"
COMMANDS = ("preview", "verify", "convert", "push", "export", "run")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A working folder with what the examples of the help need. The miniature is "mnist", too."""
    tiny = catalog.TINY._replace(sources=(str(ROOT / "mnist_idx/data/mnist_tiny.tar"),))
    for name in ("mnist", "subset"):
        monkeypatch.setitem(catalog.DATASETS, name, tiny)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    place = tmp_path / "workplace"
    for number, name in enumerate(["cat", "dog", "eel"]):
        (place / "photos" / name).mkdir(parents=True)
        for index in range(3):  # in colour, of several sizes, PNG and JPEG
            picture = Image.fromarray(random_images(30 + index, 40 + number, 3))
            picture.save(place / "photos" / name / f"{index}.{'png' if index else 'jpg'}")
    program = b"import sys\nprint(__name__, sys.argv[1:])\n"
    write_archive(
        place, {"package/__init__.py": b"", "package/train.py": program, "train.py": program}
    )
    for seed, name in enumerate("ab"):
        pictures(random_images(4, 3, 3, seed=seed), range(4)).to_parquet(place / f"{name}.parquet")
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["mnist-idx"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    return place


def stopped(line: str, code: int, capsys: Capsys) -> str:
    """What is printed by a command line that ends at once."""
    with pytest.raises(SystemExit, match=rf"^{code}$"):
        main(line.split())
    return "".join(capsys.readouterr())


LIBRARY = {"push": "push_to_hub", "export": "export", "convert": "write_idx"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command: str, capsys: Capsys) -> None:
    text = stopped(f"{command} --help", 0, capsys)
    for said in (
        f"mnist-idx {command}",
        "examples:",
        "exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted",
    ):
        assert said in text
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
def test_examples_of_the_help_run(
    example: list[str], workplace: Path, monkeypatch: Patch, capsys: Capsys
) -> None:
    needs_copy = any(word.partition("=")[2].startswith("copy/") for word in example)
    needs_copy |= "copy" in example and example[0] != "convert"
    if needs_copy:
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
        "preview": ("train: 1,000 records", "digits.png" if needs_copy else "tiny.png"),
        "verify": ("all valid", ""),
        "convert": (f'data_dir="{target}"', target),
        "export": (f"Exported to {workplace / target}", target),
        "push": (f"to {hub.url}" if "--dry-run" in example else f"at {hub.url}", ""),
        "run": ("__main__ [", ""),
    }[example[0]]
    assert said in printed
    assert created == ({made} if made and "--ascii" not in example else set())
    if example[0] == "push":
        assert sum(commits.values()) == (not {"--create-pr", "--dry-run"} & set(example))


USAGE = ["nosuch", "preview --num many", "convert mnist_idx", "convert mnist_idx out --size 28"]
USAGE += [
    "convert mnist_idx out --size 0x4",
    "convert mnist_idx out --mode CMYK",
    "export digits --sampling last",
]
USAGE += ["push digits --config cifar"]


@pytest.mark.parametrize("line", USAGE)
def test_wrong_usage(line: str, capsys: Capsys) -> None:
    assert stopped(line, 2, capsys).startswith("usage: mnist-idx")


def test_help_and_version(hf_home: Path, capsys: Capsys) -> None:
    text = stopped("--help", 0, capsys)
    assert re.findall(r"^    (\w+) +\S", text, re.MULTILINE) == list(COMMANDS)
    assert "MNIST_IDX_MIRROR" in text
    assert stopped("--version", 0, capsys) == f"mnist-idx {mnist_idx.__version__}\n"
    assert run_client("modules_of_the_help", home=hf_home).result == [], "answers at once"


ERRORS = [
    (KeyboardInterrupt(), 130, "mnist-idx: interrupted\n"),
    (ValueError("wrong"), 1, "mnist-idx: wrong\n"),
    (OSError("no disk"), 1, "mnist-idx: no disk\n"),
    (DatasetGenerationError("went wrong"), 1, "mnist-idx: went wrong\n"),
    (IdxError(), 1, "mnist-idx: IdxError\n"),
    (BrokenPipeError(), 1, ""),
]


@pytest.mark.parametrize(("error", "code", "message"), ERRORS, ids=repr)
def test_exit_codes(
    error: BaseException, code: int, message: str, monkeypatch: Patch, capfd: Any
) -> None:
    monkeypatch.setattr(os, "dup2", lambda *descriptors: None)  # a closed pipe is replaced for good
    monkeypatch.setattr(cli, "check_source", Mock(side_effect=error))
    assert main(["verify", "tiny"]) == code
    assert capfd.readouterr() == ("", message)
    monkeypatch.setattr(cli, "check_source", Mock(side_effect=KeyError("a bug")))
    with pytest.raises(KeyError):
        main(["verify", "tiny"])


def test_options_of_a_config_that_is_not_published(capsys: Capsys) -> None:
    for option, value in (("--seed", "2"), ("--num-samples", "5"), ("--sampling", "uniform")):
        assert main(["export", "digits", "--config", "tiny", option, value]) == 1
        assert re.search(f"{option} .*--config subset", capsys.readouterr().err)


# convert


def test_a_folder_of_pictures_becomes_idx_in_one_line(workplace: Path, capsys: Capsys) -> None:
    assert (
        main(
            [
                "convert",
                "imagefolder",
                "idx",
                "--data-dir",
                "photos",
                "--mode",
                "L",
                "--size",
                "28x20",
            ]
        )
        == 0
    )
    arrays = read(workplace / "idx")
    images, labels = arrays["train-images-idx3-ubyte"], arrays["train-labels-idx1-ubyte"]
    assert (images.shape, labels.tolist()) == ((9, 28, 20), [0, 0, 0, 1, 1, 1, 2, 2, 2])
    printed = capsys.readouterr().out
    assert "train-images-idx3-ubyte.gz: 9 x 28 x 20 uint8" in printed
    # What is printed as the way to load it, loads it.
    data = eval(printed.partition("Load with ")[2], {"load_dataset": datasets.load_dataset})[
        "train"
    ]
    assert data.features["label"].names == ["cat", "dog", "eel"]
    np.testing.assert_array_equal([np.asarray(image) for image in data["image"]], images)
    for line, said in (
        ("imagefolder other --data-dir photos", "'train', record 0 .*--mode"),
        (
            "imagefolder other --data-dir photos --mode L",
            r"record 1 .*\(31, 40\).*\(30, 40\).*--size",
        ),
        ("imagefolder other --data-dir no", "^mnist-idx: "),
    ):
        assert main(["convert", *line.split()]) == 1
        assert re.search(said, capsys.readouterr().err)
    assert not (workplace / "other").exists()


def test_options_of_convert(workplace: Path) -> None:
    def shapes(line: str) -> list[tuple[int, ...]]:
        assert main(["convert", *line.split()]) == 0
        return [
            array.shape
            for name, array in sorted(read(workplace / line.split()[1]).items())
            if "images" in name
        ]

    tiny = "--name tiny"
    assert shapes(f"mnist_idx all {tiny} --plain") == [(200, 28, 28), (1000, 28, 28)]
    whole = contents(workplace / "all")
    assert whole.keys() == set(os.listdir("all")), "no names that end in .gz"
    shapes(f"mnist_idx streamed.tar {tiny} --streaming")
    assert contents(workplace / "streamed.tar") == whole
    assert shapes(f"mnist_idx part {tiny} --split test[:50]") == [(50, 28, 28)]
    assert shapes(f"mnist_idx part {tiny} --overwrite --mode RGB") == [
        (200, 28, 28, 3),
        (1000, 28, 28, 3),
    ]
    files = "--data-files=train=a.parquet --data-files=train=b.parquet --data-files=test=b.parquet"
    assert shapes(f"parquet several {files}") == [(4, 3, 3), (8, 3, 3)]
    assert shapes("parquet one --data-files=b.parquet") == [(4, 3, 3)]
    for target, name in (("several", "t10k-images-idx3-ubyte"), ("one", "train-images-idx3-ubyte")):
        np.testing.assert_array_equal(
            read(workplace / target)[name], random_images(4, 3, 3, seed=1)
        )


# run


def run_program(folder: Path, *argv: str) -> Any:
    main = "import sys; sys.argv[0] = 'mnist-idx'; "
    main += "from mnist_idx.tools.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", main, "run", *argv]
    env = {**os.environ, "HF_HOME": str(folder / "hf_home"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("form", slow_but_first(["scripts/program.py", "-m scripts.program"]))
def test_run_a_program_that_never_imports_the_package(form: str, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(USER_PROGRAMS / "count_records.py", tmp_path / "scripts" / "program.py")
    done = run_program(tmp_path, *form.split(), "--epochs", "3", "-m")
    assert done.stdout == "1000 ['--epochs', '3', '-m']\n", done.stderr
    assert done.returncode == 3


@pytest.mark.slow
def test_a_program_finds_all_public_names(tmp_path: Path) -> None:
    program = "import mnist_idx\nfrom mnist_idx import *\n"
    program += "print(mnist_idx.write_idx is write_idx, IdxFolder.__name__)"
    (tmp_path / "program.py").write_text(program)
    assert run_program(tmp_path, "program.py").stdout == "True IdxFolder\n"


def test_run_in_this_process(workplace: Path, monkeypatch: Patch, capsys: Capsys) -> None:
    program = b"import sys, helper\nprint(helper.value, sys.argv)\n"
    write_archive(workplace / "folder", {"helper.py": b"value = 5\n", "main.py": program})
    assert main(["run", "folder/main.py", "x"]) == 0
    assert capsys.readouterr().out == "5 ['folder/main.py', 'x']\n", "finds its neighbours"
    for error in (KeyboardInterrupt, ValueError, SystemExit):
        (workplace / "failing.py").write_text(f"raise {error.__name__}(3)\n")
        with pytest.raises(error, match="3"):
            main(["run", "failing.py"])
        assert capsys.readouterr().err == ""
    assert main(["run", "nowhere.py"]) == 1
    assert "nowhere.py: no such program" in capsys.readouterr().err


def test_without_arguments_the_help_is_printed(capsys: Capsys) -> None:
    assert main([]) == 0
    assert "preview" in capsys.readouterr().out


def test_the_package_is_the_command_line(tmp_path: Path) -> None:
    env = {**os.environ, "HF_HOME": str(tmp_path / "hf_home"), "PYTHONPATH": str(ROOT)}
    for arguments in (["--version"], ["verify", "tiny"]):
        command = [sys.executable, "-m", "mnist_idx", *arguments]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert ("4 files, all valid" in done.stdout) == (arguments != ["--version"])


@pytest.mark.beyond
def test_run_a_program_whose_workers_are_spawned(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    shutil.copy(USER_PROGRAMS / "spawn_workers.py", tmp_path / "program.py")
    done = run_program(tmp_path, "program.py")
    _, labels = mnist_idx.load_arrays("mnist_idx", "tiny", split="test")
    assert done.stdout == f"{sorted(labels.tolist())}\n", done.stderr  # type: ignore[union-attr]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_command_that_nohup_starts_survives_the_end_of_its_terminal() -> None:
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with cli.ending_on_sigterm():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, usual)
