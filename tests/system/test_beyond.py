"""With what the package itself does not need: PyTorch, Ray, a notebook."""

import base64
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
from clients import ROOT, pixels
from conftest import ARCHIVE
from datasets import ClassLabel, Image, load_dataset
from http_server import Server
from idx_files import numbered_images, to_idx

import mnist_idx

pytestmark = pytest.mark.beyond
needs = partial(pytest.importorskip, reason="not installed: pip install 'mnist-idx[beyond]'")


def run(
    folder: Path, recipe: str, *options: str, launcher: Sequence[str] = (), **environment: str
) -> str:
    """Run a recipe as a user would, with a cache of its own. Returns what it prints."""
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("HF_", "MNIST_IDX_"))
    }
    env |= {
        "HF_HOME": str(folder / "hf_home"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    command = [sys.executable, *launcher, str(ROOT / "tests" / "recipes" / recipe), *options]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_training_in_one_process(real_tar: Path, tmp_path: Path) -> None:
    needs("torch")
    printed = run(tmp_path, "train.py", MNIST_IDX_MIRROR=str(real_tar))
    accuracies = re.findall(r"([\d.]+)% of the test split right", printed)
    assert len(accuracies) == 3
    assert float(accuracies[2]) > 98


def test_training_on_two_processes(
    serve: Callable[..., Server], real_tar: Path, tmp_path: Path
) -> None:
    needs("torch")
    server = serve({ARCHIVE: real_tar})
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    options = ("--split", "test", "--epochs", "2")
    with server.counting():
        printed = run(
            tmp_path,
            "distributed.py",
            *options,
            launcher=launcher,
            MNIST_IDX_MIRROR=server.url(ARCHIVE),
        )
    found = re.findall(r"epoch (\d): (\d+) records, ([\d.]+)% right", printed)
    assert [(epoch, count) for epoch, count, _ in found] == [("0", "10000"), ("1", "10000")]
    assert 70 < float(found[0][2]) < float(found[1][2])
    # Two processes of two workers, two epochs: none of the eight fetches the compressed member once
    # for each shard.
    assert server.sent() < 8 * 2.5 * 1_650_000


def test_a_large_file_becomes_parquet_on_a_cluster(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    needs("ray")
    count, tasks = 20_000, 16
    images, labels = numbered_images(count, 28), np.arange(count, dtype=np.uint8) % 10
    server = serve()
    content = {
        "/train-images-idx3-ubyte": to_idx(images),
        "/train-labels-idx1-ubyte": to_idx(labels),
    }
    urls = [server.put(path, data) for path, data in content.items()]
    ray = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 2}', "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    with server.counting():
        printed = run(
            tmp_path,
            "to_parquet.py",
            *urls,
            str(tmp_path / "parquet"),
            "--tasks",
            str(tasks),
            **ray,
        )
    assert f"{tasks} tasks are done" in printed

    # Every task has read its own range and, for the header, the start of the file.
    requests = [
        request for request in server.requests if request.path == "/train-images-idx3-ubyte"
    ]
    ranges = sum(request.sent for request in requests if request.range)
    assert images.nbytes <= ranges <= images.nbytes + 2 * tasks * (32 << 10)
    # `datasets` asks for the whole file to see whether it exists, and leaves it. How much is on the
    # way by then is not ours.
    assert all(request.sent < images.nbytes // 8 for request in requests if not request.range)

    converted = load_dataset(str(tmp_path / "parquet"), cache_dir=str(tmp_path / "cache"))["train"]
    assert isinstance(converted.features["image"], Image)
    assert converted.features["label"] == ClassLabel(names=[str(number) for number in range(10)])

    missing = set(range(count))
    for row in pq.read_table(tmp_path / "parquet").to_pylist():
        content = pixels(row["image"])
        number = int.from_bytes(content[:4], "big")
        missing.remove(number)
        assert content == images[number].tobytes()
        assert row["label"] == labels[number]
    assert missing == set()


def test_a_notebook_shows_the_contact_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient, nbformat = needs("nbclient"), needs("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    load = 'mnist_idx.contact_sheet(load_dataset("mnist_idx", "tiny", split="test"))'
    cell = nbformat.v4.new_code_cell(f"from datasets import load_dataset\nimport mnist_idx\n{load}")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, kernel_name="python3", resources=resources).execute()
    (shown,) = [
        output for output in notebook.cells[0].outputs if output.output_type == "execute_result"
    ]
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(shown.data["image/png"])))
    expected = mnist_idx.contact_sheet(load_dataset("mnist_idx", "tiny", split="test"))
    assert np.array_equal(np.asarray(picture), np.asarray(expected))
