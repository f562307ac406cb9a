"""The examples run: copied to a folder of their own, with PyTorch, Ray, and where workers are
spawned, as on macOS and Windows.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clients import ROOT
from conftest import ARCHIVE, Arrays
from http_server import Server

pytestmark = pytest.mark.beyond
needs = partial(pytest.importorskip, reason="not installed: pip install 'mnist-idx[beyond]'")

NOTEBOOK = ROOT / "mnist_idx" / "examples" / "notebook.ipynb"
SPAWN = "import multiprocessing\n\nmultiprocessing.set_start_method('spawn', force=True)\n"
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
RAY = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 2}', "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
ACCURACY = r"epoch (\d): (?:([\d,]+) records, )?([\d.]+)% (?:of the test split )?right, [\d.]+ s"


class Place:
    """A folder with nothing in it, of somebody who has installed the package and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        packages = folder / "packages"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "mnist_idx", packages / "mnist_idx", ignore=ignored)
        # Python imports it when it starts.
        (packages / "sitecustomize.py").write_text(SPAWN)
        usual = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "MNIST_IDX_"))
        }
        self.environment = {
            **usual,
            "HF_HOME": str(folder / "hf_home"),
            "PYTHONPATH": str(packages),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *arguments: str, **environment: str) -> str:
        """Run Python. Returns what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_place_is_what_it_is_made_for(place: Place, tmp_path: Path) -> None:
    code = "import multiprocessing, mnist_idx\n"
    code += "print(multiprocessing.get_start_method(), mnist_idx.__file__)"
    printed = place.run("-c", code)
    assert printed == f"spawn {tmp_path / 'packages' / 'mnist_idx' / '__init__.py'}\n"


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        pytest.param("train", 2, id="in memory"),
        pytest.param("stream", 2, id="from a stream, with workers"),
        pytest.param("augment", 1, id="turned pictures, with workers"),
    ],
)
def test_a_copy_trains_without_network(name: str, epochs: int, place: Place) -> None:
    needs("torch")
    place.run("-m", "mnist_idx", "example", name, "--output", "mine.py")
    assert os.listdir(place.folder) == ["mine.py"]
    printed = place.run("mine.py", "--config", "tiny", "--epochs", str(epochs))
    found = re.findall(ACCURACY, printed)
    assert [epoch for epoch, _, _ in found] == [str(number + 1) for number in range(epochs)]
    if name == "stream":
        assert {count for _, count, _ in found} == {"1,000"}
    assert float(found[-1][2]) > 30  # of ten classes, after 8 batches


def test_a_copy_trains_on_two_processes_without_network(place: Place) -> None:
    needs("torch")
    place.run("-m", "mnist_idx", "example", "distributed", "--output", "mine.py")
    printed = place.run("-m", *TORCHRUN, "mine.py", "--config", "tiny", "--epochs", "2")
    found = re.findall(ACCURACY, printed)
    assert [(epoch, count) for epoch, count, _ in found] == [("0", "1000"), ("1", "1000")]
    assert float(found[1][2]) > float(found[0][2])


def test_a_copy_goes_on_without_network(place: Place) -> None:
    needs("torch")
    needs("torchdata")
    place.run("-m", "mnist_idx", "example", "resumable", "--output", "mine.py")
    command = ("mine.py", "--config", "tiny", "--checkpoint", "saved.pt")
    first = place.run(*command, "--epochs", "1")
    assert re.fullmatch(r"epoch 0: 1000 records, [\d.]+% right\n", first)
    second = place.run(*command, "--epochs", "2")
    assert re.fullmatch(
        r"going on behind 0 records of epoch 1\nepoch 1: 1000 records, [\d.]+% right\n", second
    )


def test_a_copy_measures_on_a_cluster_without_network(place: Place) -> None:
    needs("ray.data")
    place.run("-m", "mnist_idx", "example", "cluster", "--output", "mine.py")
    printed = place.run("mine.py", "--config", "tiny", "--split", "test", **RAY)
    assert printed.splitlines()[-1].startswith("200 records, mean 0.")


# With the real archive


def test_training_in_one_process(real_tar: Path, place: Place) -> None:
    needs("torch")
    printed = place.run("-m", "mnist_idx.examples.train", MNIST_IDX_MIRROR=str(real_tar))
    assert "Loaded 60,000 images and 10,000 of the test split in " in printed
    accuracies = [float(percent) for _, _, percent in re.findall(ACCURACY, printed)]
    assert len(accuracies) == 3
    assert accuracies[-1] > 98


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("stream", id="from a stream"),
        pytest.param("augment", id="turned pictures"),
    ],
)
def test_an_epoch_of_mnist(name: str, real_tar: Path, place: Place) -> None:
    needs("torch")
    printed = place.run("-m", f"mnist_idx.examples.{name}", MNIST_IDX_MIRROR=str(real_tar))
    ((_, count, percent),) = re.findall(ACCURACY, printed)
    assert float(percent) > 95
    assert count == ("60,000" if name == "stream" else "")


def test_training_on_two_processes(
    serve: Callable[..., Server], real_tar: Path, place: Place
) -> None:
    needs("torch")
    server = serve({ARCHIVE: real_tar})
    command = ("-m", *TORCHRUN, "-m", "mnist_idx.examples.distributed")
    options = ("--split", "test", "--epochs", "2")
    with server.counting():
        printed = place.run(*command, *options, MNIST_IDX_MIRROR=server.url(ARCHIVE))
    found = re.findall(ACCURACY, printed)
    assert [(epoch, count) for epoch, count, _ in found] == [("0", "10000"), ("1", "10000")]
    assert 70 < float(found[0][2]) < float(found[1][2])
    # Two processes of two workers, two epochs: none of the eight fetches the compressed member once
    # for each shard.
    assert server.sent() < 8 * 2.5 * 1_650_000


def test_a_cluster_reads_each_record_once(
    real_tar: Path, real_arrays: Arrays, place: Place
) -> None:
    needs("ray.data")
    command = ("-m", "mnist_idx.examples.cluster", "--split", "test")
    printed = place.run(*command, MNIST_IDX_MIRROR=str(real_tar), **RAY)
    pixels_of_test = real_arrays["test"][0] / 255
    mean, deviation = pixels_of_test.mean(), pixels_of_test.std()
    assert printed.splitlines()[-1] == (
        f"10000 records, mean {mean:.4f}, deviation {deviation:.4f}"
    )


# The notebook


def test_the_notebook_fits_the_schema() -> None:
    nbformat = needs("nbformat")
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT))


def execute(config: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run all cells of the notebook. Returns the outputs by the id of their cell."""
    nbclient, nbformat = needs("nbclient"), needs("nbformat")
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # What is installed already takes no network.
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    for cell in notebook.cells:
        cell.source = cell.source.replace('CONFIG = "mnist"', f'CONFIG = "{config}"')
    resources = {"metadata": {"path": str(place.folder)}}
    client = nbclient.NotebookClient(notebook, kernel_name="python3", resources=resources)
    client.execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def shown(outputs: dict[str, Any], cell: str) -> dict[str, Any]:
    """What the last line of a cell shows, by its type."""
    (result,) = [output for output in outputs[cell] if output.output_type == "execute_result"]
    data: dict[str, Any] = result.data
    return data


def accuracies_in(outputs: dict[str, Any]) -> list[float]:
    printed = "".join(output.get("text", "") for output in outputs["train"])
    return [float(percent) for percent in re.findall(r"([\d.]+)% of the test split", printed)]


def check_cells_on_own_files_and_pictures(outputs: dict[str, Any]) -> None:
    assert shown(outputs, "own-compare") == {"text/plain": "True"}
    for cell in ("picture", "row-picture", "filter", "own-load", "mistakes"):
        assert "image/png" in shown(outputs, cell)
    assert "'label': 5" in shown(outputs, "row")["text/plain"]


def test_the_notebook_runs_without_network(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("torch")
    outputs = execute("tiny", place, monkeypatch)
    check_cells_on_own_files_and_pictures(outputs)
    assert shown(outputs, "parts")["text/plain"] == "(100, 900, 100, 750)"
    assert len(accuracies_in(outputs)) == 2


def test_the_notebook_runs_on_mnist(
    real_tar: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("torch")
    monkeypatch.setenv("MNIST_IDX_MIRROR", str(real_tar))
    outputs = execute("mnist", place, monkeypatch)
    check_cells_on_own_files_and_pictures(outputs)
    assert shown(outputs, "parts")["text/plain"] == "(100, 54000, 6000, 750)"
    assert accuracies_in(outputs)[-1] > 97.5
