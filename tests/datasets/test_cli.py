"""The command line: help that teaches, examples that run, exit codes, errors in its own words."""

import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from clients import ROOT, run_client
from datasets.exceptions import DatasetGenerationError
from hub_client import log_in
from hub_server import HubServer
from idx_files import random_images, write_archive
from pictures import pictures
from PIL import Image
from written import contents, read

import mnist_idx
from mnist_idx import IdxError, catalog
from mnist_idx.tools import cli
from mnist_idx.tools.cli import main

Capsys, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch
USER_PROGRAMS = ROOT / "tests" / "support" / "user_programs"
of_the_hub_client = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A working folder with what the examples of the help need. The miniature is "mnist", too."""
    tiny = catalog.TINY._replace(sources=(str(ROOT / "mnist_idx/data/mnist_tiny.tar"),))
    for name in ("mnist", "subset"):
        monkeypatch.setitem(catalog.DATASETS, name, tiny)
    # A setting of the environment, which `datasets` has read when it was imported.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    place = tmp_path / "workplace"
    write_photos(place / "photos")
    program = b"import sys\nprint(__name__, sys.argv[1:])\n"
    programs = {"package/__init__.py": b"", "package/train.py": program, "train.py": program}
    write_archive(place, programs)
    pictures(random_images(4, 3, 3, seed=0), range(4)).to_parquet(place / "a.parquet")
    pictures(random_images(4, 3, 3, seed=1), range(4)).to_parquet(place / "b.parquet")
    (place / "train.csv").write_text("label,pixel0,pixel1,pixel2,pixel3\n7,0,1,2,255\n")
    monkeypatch.chdir(place)
    # `mnist-idx run` changes both for the program.
    monkeypatch.setattr(sys, "argv", ["mnist-idx"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    return place


def write_photos(folder: Path) -> None:
    """Three pictures of each of three classes: in color, of several sizes, PNG and JPEG."""
    for number, name in enumerate(["cat", "dog", "eel"]):
        (folder / name).mkdir(parents=True)
        for index, ending in enumerate(["jpg", "png", "png"]):
            picture = Image.fromarray(random_images(30 + index, 40 + number, 3))
            picture.save(folder / name / f"{index}.{ending}")


def printed_at_the_end(line: str, code: int, capsys: Capsys) -> str:
    """What a command line prints that ends the program with an exit code."""
    with pytest.raises(SystemExit, match=rf"^{code}$"):
        main(line.split())
    return "".join(capsys.readouterr())


# Help


@pytest.mark.parametrize(
    "command", ["preview", "verify", "convert", "push", "export", "example", "run"]
)
def test_help_teaches(command: str, capsys: Capsys) -> None:
    text = printed_at_the_end(f"{command} --help", 0, capsys)
    assert f"mnist-idx {command}" in text
    assert "examples:" in text
    assert "exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted" in text


@pytest.mark.parametrize(
    ("command", "function", "others"),
    [
        pytest.param("push", mnist_idx.push_to_hub, set(), id="push"),
        pytest.param("export", mnist_idx.export, set(), id="export"),
        pytest.param(
            "convert",
            mnist_idx.write_idx,
            {"compress", "progress"},
            id="convert-has-plain-and-always-a-bar",
        ),
    ],
)
def test_each_option_of_the_function_is_one_of_the_command(
    command: str, function: Callable[..., Any], others: set[str], capsys: Capsys
) -> None:
    text = printed_at_the_end(f"{command} --help", 0, capsys)
    options = set(function.__kwdefaults__) - others
    assert [option for option in options if f"--{option.replace('_', '-')}" not in text] == []


def test_the_help_lists_the_commands(capsys: Capsys) -> None:
    text = printed_at_the_end("--help", 0, capsys)
    listed = re.findall(r"^    ([a-z-]+)(?: +\S|$)", text, re.MULTILINE)
    published = ["preview", "verify", "convert", "push", "export", "catalog-row"]
    assert listed == [*published, "example", "run"]
    assert "MNIST_IDX_MIRROR" in text


def test_without_arguments_the_help_is_printed(capsys: Capsys) -> None:
    assert main([]) == 0
    assert "preview" in capsys.readouterr().out


def test_the_help_imports_no_heavy_package(hf_home: Path) -> None:
    assert run_client("modules_of_the_help", home=hf_home).result == []


def test_the_version_is_that_of_the_package(capsys: Capsys) -> None:
    text = printed_at_the_end("--version", 0, capsys)
    assert text == f"mnist-idx {mnist_idx.__version__}\n"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("nosuch", id="unknown-command"),
        pytest.param("preview --num many", id="number-that-is-none"),
        pytest.param("convert mnist_idx", id="convert-without-a-target"),
        pytest.param("convert mnist_idx out --size 28", id="size-of-one-number"),
        pytest.param("convert mnist_idx out --size 0x4", id="size-of-no-rows"),
        pytest.param("convert mnist_idx out --mode CMYK", id="unknown-mode"),
        pytest.param("export digits --sampling last", id="unknown-sampling"),
        pytest.param("push digits --config cifar", id="unknown-config"),
    ],
)
def test_wrong_usage(line: str, capsys: Capsys) -> None:
    assert printed_at_the_end(line, 2, capsys).startswith("usage: mnist-idx")


# The examples of the help


def examples_of(command: Callable[..., Any]) -> list[Any]:
    """The arguments in each example of a command, with the example as its id."""
    text = inspect.getdoc(command) or ""
    lines = re.findall(r"^  (mnist-idx .*?)(?: {2,}.*)?$", text, re.MULTILINE)
    assert lines
    return [pytest.param(line.split()[1:], id=line) for line in lines]


@pytest.fixture
def copy_of_tiny(workplace: Path) -> Path:
    """A folder, "copy", in the working folder, which examples speak of."""
    assert main(["convert", "mnist_idx", "copy", "--name", "tiny"]) == 0
    return workplace / "copy"


def files_in(folder: Path) -> set[str]:
    """The names of files and folders."""
    return {path.name for path in folder.iterdir()}


@pytest.mark.usefixtures("copy_of_tiny")
@pytest.mark.parametrize("arguments", examples_of(cli.preview))
def test_an_example_of_preview_draws_a_picture(
    arguments: list[str], workplace: Path, capsys: Capsys
) -> None:
    before = files_in(workplace)
    assert main(arguments) == 0
    assert re.search("(train: 1,000|test: 200) records", capsys.readouterr().out)
    if "--ascii" in arguments:
        made = set()
    elif "--output" in arguments:
        made = {arguments[arguments.index("--output") + 1]}
    else:
        made = {"tiny.png"}
    assert files_in(workplace) - before == made


@pytest.mark.usefixtures("copy_of_tiny")
@pytest.mark.parametrize("arguments", examples_of(cli.verify))
def test_an_example_of_verify_checks_its_files(
    arguments: list[str], workplace: Path, capsys: Capsys
) -> None:
    before = files_in(workplace)
    assert main(arguments) == 0
    count = "1 file" if "--data-files" in arguments else "4 files"
    assert capsys.readouterr().out.endswith(f"\n{count}, all valid\n")
    assert files_in(workplace) == before


@pytest.mark.parametrize("arguments", examples_of(cli.convert))
def test_an_example_of_convert_writes_its_target(
    arguments: list[str], workplace: Path, capsys: Capsys
) -> None:
    before = files_in(workplace)
    assert main(arguments) == 0
    target = arguments[2]
    assert f'data_dir="{target}"' in capsys.readouterr().out
    assert files_in(workplace) - before == {target}


@pytest.mark.usefixtures("copy_of_tiny")
@pytest.mark.parametrize("arguments", examples_of(cli.export))
def test_an_example_of_export_writes_its_folder(
    arguments: list[str], workplace: Path, capsys: Capsys
) -> None:
    before = files_in(workplace)
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    if "--config" not in arguments:
        target = arguments[2]  # after the source
        assert "Load with: " in printed
    else:
        target = arguments[1]
        assert f"Exported to {workplace / target}" in printed
    assert files_in(workplace) - before == {target}


@of_the_hub_client
@pytest.mark.parametrize("arguments", examples_of(cli.push))
def test_an_example_of_push_publishes_or_proposes(
    arguments: list[str], workplace: Path, monkeypatch: Patch, capsys: Capsys
) -> None:
    before = files_in(workplace)
    with HubServer() as hub:
        log_in(hub, monkeypatch)
        hub.create("other/mnist_idx")
        assert main(arguments) == 0
        commits = sum(len(repo.history()) - 1 for repo in hub.repos.values())
    printed = capsys.readouterr().out
    if "--dry-run" in arguments:
        assert f"to {hub.url}" in printed
        assert commits == 0
    elif "--create-pr" in arguments:
        assert f"at {hub.url}" in printed
        assert commits == 0, "of the main branch"
    else:
        assert f"at {hub.url}" in printed
        assert commits == 1
    assert files_in(workplace) == before


@pytest.mark.parametrize("arguments", examples_of(cli.run))
def test_an_example_of_run_runs_its_program(
    arguments: list[str], workplace: Path, capsys: Capsys
) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("__main__ [")


# Exit codes


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        pytest.param(KeyboardInterrupt(), 130, "mnist-idx: interrupted\n", id="interrupt"),
        pytest.param(ValueError("wrong"), 1, "mnist-idx: wrong\n", id="value-error"),
        pytest.param(OSError("no disk"), 1, "mnist-idx: no disk\n", id="os-error"),
        pytest.param(
            DatasetGenerationError("went wrong"),
            1,
            "mnist-idx: went wrong\n",
            id="error-of-datasets",
        ),
        pytest.param(IdxError(), 1, "mnist-idx: IdxError\n", id="error-without-a-message"),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: Capsys
) -> None:
    def command() -> int:
        raise error

    assert cli.call(command, {}) == code
    assert capsys.readouterr() == ("", said)


def test_a_bug_is_no_line() -> None:
    def command() -> int:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        cli.call(command, {})


@pytest.mark.skipif(sys.platform == "win32", reason="this system has other pipes")
def test_a_reader_that_has_seen_enough_is_no_error(hf_home: Path) -> None:
    command = [sys.executable, "-m", "mnist_idx", "verify", "tiny"]
    env = {**os.environ, "HF_HOME": str(hf_home), "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONUNBUFFERED", None)  # Something is left to write when the program ends.
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(command, env=env, stdout=write_end, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write_end)
    assert done.returncode == 1
    assert done.stderr == ""


def sizes_of_export(line: str) -> dict[str, int]:
    """The records of the training split of each config that a command exports."""
    assert main(["export", *line.split()]) == 0
    folder = Path(line.split()[0] if "--config" in line else line.split()[1])
    return {path.parent.name: pq.read_metadata(path).num_rows for path in folder.glob("*/train-*")}


def test_records_of_a_config_are_selected_as_those_of_idx_files(workplace: Path) -> None:
    assert sizes_of_export("tiny few --num-samples 7") == {"tiny": 7}
    assert sizes_of_export("both --config tiny --config subset -n 7") == {"tiny": 1000, "subset": 7}
    orders = []
    for name, option in [("plain", ""), ("shuffled", " --seed 2")]:
        assert sizes_of_export(f"{name} --config tiny{option}") == {"tiny": 1000}
        orders.append(
            pq.read_table(f"{name}/tiny/train-00000-of-00001.parquet")["label"].to_pylist()
        )
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


# convert


def test_a_folder_of_pictures_becomes_idx_in_one_line(workplace: Path, capsys: Capsys) -> None:
    line = "convert imagefolder idx --data-dir photos --mode L --size 28x20"
    assert main(line.split()) == 0
    assert "train-images-idx3-ubyte.gz: 9 x 28 x 20 uint8" in capsys.readouterr().out
    arrays = read(workplace / "idx")
    assert arrays["train-images-idx3-ubyte"].shape == (9, 28, 20)
    assert arrays["train-labels-idx1-ubyte"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_what_convert_prints_as_the_way_to_load_it_loads_it(
    workplace: Path, capsys: Capsys
) -> None:
    line = "convert imagefolder idx --data-dir photos --mode L --size 28x20"
    assert main(line.split()) == 0
    loaded: dict[str, Any] = {}
    exec(capsys.readouterr().out.partition("Load with\n")[2], loaded)
    data = loaded["ds"]["train"]
    assert data.features["label"].names == ["cat", "dog", "eel"]
    images = [np.asarray(image) for image in data["image"]]
    np.testing.assert_array_equal(images, read(workplace / "idx")["train-images-idx3-ubyte"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param("--data-dir photos", "'train', record 0 .*--mode", id="color-without-mode"),
        pytest.param(
            "--data-dir photos --mode L",
            r"record 1 .*\(31, 40\).*\(30, 40\).*--size",
            id="several-sizes-without-size",
        ),
        pytest.param("--data-dir no", "^mnist-idx: ", id="folder-that-is-not-there"),
    ],
)
def test_pictures_that_do_not_fit_are_refused_with_the_option_that_helps(
    options: str, said: str, workplace: Path, capsys: Capsys
) -> None:
    assert main(["convert", "imagefolder", "other", *options.split()]) == 1
    assert re.search(said, capsys.readouterr().err)
    assert not (workplace / "other").exists()


def shapes_of_images(target: Path) -> dict[str, tuple[int, ...]]:
    """The shape in each file of images that was written, by its name before the first hyphen."""
    shapes = {}
    for name, array in read(target).items():
        if "images" in name:
            shapes[name.partition("-")[0]] = array.shape
    return shapes


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        pytest.param(
            "mnist_idx set --name tiny --plain",
            {"train": (1000, 28, 28), "t10k": (200, 28, 28)},
            id="plain",
        ),
        pytest.param(
            "mnist_idx set --name tiny --split test[:50]", {"t10k": (50, 28, 28)}, id="split"
        ),
        pytest.param(
            "mnist_idx set --name tiny --mode RGB",
            {"train": (1000, 28, 28, 3), "t10k": (200, 28, 28, 3)},
            id="mode",
        ),
        pytest.param(
            "parquet set --data-files=train=a.parquet --data-files=train=b.parquet"
            " --data-files=test=b.parquet",
            {"train": (8, 3, 3), "t10k": (4, 3, 3)},
            id="data-files-by-split",
        ),
        pytest.param(
            "parquet set --data-files=b.parquet", {"train": (4, 3, 3)}, id="data-files-of-no-split"
        ),
    ],
)
def test_options_of_convert(
    options: str, shapes: dict[str, tuple[int, ...]], workplace: Path
) -> None:
    assert main(["convert", *options.split()]) == 0
    assert shapes_of_images(workplace / "set") == shapes
    is_plain = "--plain" in options
    assert all(name.endswith(".gz") != is_plain for name in os.listdir("set"))


@pytest.mark.parametrize(
    ("split", "name"), [("test", "t10k-images-idx3-ubyte"), ("train", "train-images-idx3-ubyte")]
)
def test_data_files_become_the_split_they_are_of(split: str, name: str, workplace: Path) -> None:
    assert main(["convert", "parquet", "set", f"--data-files={split}=b.parquet"]) == 0
    images = read(workplace / "set")[name]
    np.testing.assert_array_equal(images, random_images(4, 3, 3, seed=1))


def test_a_stream_is_converted_to_the_same(workplace: Path) -> None:
    assert main(["convert", "mnist_idx", "prepared", "--name", "tiny"]) == 0
    assert main(["convert", "mnist_idx", "streamed.tar", "--name", "tiny", "--streaming"]) == 0
    assert contents(workplace / "streamed.tar") == contents(workplace / "prepared")


def test_a_target_is_replaced_if_the_user_says_so(workplace: Path) -> None:
    assert main(["convert", "mnist_idx", "set", "--name", "tiny"]) == 0
    assert main(["convert", "parquet", "set", "--data-files=b.parquet", "--overwrite"]) == 0
    assert shapes_of_images(workplace / "set") == {"train": (4, 3, 3)}


# run


def run_program(folder: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    """Run `mnist-idx run …` in a folder, in a process of its own."""
    code = "import sys; sys.argv[0] = 'mnist-idx'; "
    code += "from mnist_idx.tools.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "run", *argv]
    env = {**os.environ, "HF_HOME": str(folder / "hf_home"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(["scripts/program.py"], id="file"),
        pytest.param(["-m", "scripts.program"], id="module", marks=pytest.mark.slow),
    ],
)
def test_run_a_program_that_never_imports_the_package(program: list[str], tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(USER_PROGRAMS / "count_records.py", tmp_path / "scripts" / "program.py")
    done = run_program(tmp_path, *program, "--epochs", "3", "-m")
    assert done.stdout == "1000 ['--epochs', '3', '-m']\n", done.stderr
    assert done.returncode == 3


@pytest.mark.slow
def test_a_program_finds_all_public_names(tmp_path: Path) -> None:
    program = "import mnist_idx\nfrom mnist_idx import *\n"
    program += "print(mnist_idx.write_idx is write_idx, IdxFolder.__name__)"
    (tmp_path / "program.py").write_text(program)
    assert run_program(tmp_path, "program.py").stdout == "True IdxFolder\n"


def test_a_program_finds_its_neighbours(workplace: Path, capsys: Capsys) -> None:
    program = b"import sys, helper\nprint(helper.value, sys.argv)\n"
    write_archive(workplace / "folder", {"helper.py": b"value = 5\n", "main.py": program})
    assert main(["run", "folder/main.py", "x"]) == 0
    assert capsys.readouterr().out == "5 ['folder/main.py', 'x']\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_error_of_a_program_is_its_own(
    error: type[BaseException], workplace: Path, capsys: Capsys
) -> None:
    (workplace / "failing.py").write_text(f"raise {error.__name__}(3)\n")
    with pytest.raises(error, match="3"):
        main(["run", "failing.py"])
    assert capsys.readouterr().err == ""


def test_a_missing_program_is_refused(workplace: Path, capsys: Capsys) -> None:
    assert main(["run", "nowhere.py"]) == 1
    assert "nowhere.py: no such program" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        pytest.param(["--version"], f"mnist-idx {mnist_idx.__version__}\n", id="version"),
        pytest.param(["verify", "tiny"], "4 files, all valid\n", id="verify"),
    ],
)
def test_the_package_is_the_command_line(
    arguments: list[str], printed: str, tmp_path: Path
) -> None:
    env = {**os.environ, "HF_HOME": str(tmp_path / "hf_home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mnist_idx", *arguments]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(printed)


@pytest.mark.beyond
def test_run_a_program_whose_workers_are_spawned(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    shutil.copy(USER_PROGRAMS / "spawn_workers.py", tmp_path / "program.py")
    done = run_program(tmp_path, "program.py")
    _, labels = mnist_idx.load_arrays("mnist_idx", "tiny", split="test")
    assert done.stdout == f"{sorted(labels.tolist())}\n", done.stderr  # type: ignore[union-attr]


@pytest.fixture
def hangups_are_ignored() -> Iterator[None]:
    """As `nohup` starts a command."""
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, usual)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.usefixtures("hangups_are_ignored")
def test_a_command_that_nohup_starts_survives_the_end_of_its_terminal() -> None:
    with cli.ending_on_sigterm():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
