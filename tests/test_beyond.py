"""With what the package itself does not need: PyTorch, Ray, a notebook."""

import base64
import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from clients import ROOT, pixels
from conftest import ARCHIVE, Arrays
from datasets import load_dataset
from http_server import Server
from idx_files import to_idx
from PIL import Image

import mnist_idx

pytestmark = pytest.mark.beyond
RECIPES = Path(__file__).parent / "recipes"


def needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install 'mnist-idx[beyond]'")


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Run a recipe as a user would, with a cache of its own. Returns what it prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "MNIST_IDX_"))}
    kept |= {"HF_HOME": str(folder / "hf_home"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=kept | environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_streaming_to_torch(server: Server, mirror: Callable[[str], None], mnist_arrays: Arrays) -> None:
    needs("torch")
    from torch.utils.data import DataLoader

    mirror(server.url(ARCHIVE))
    images, labels = mnist_arrays["test"]
    stream: Any = load_dataset("mnist_idx", split="test", streaming=True, num_shards=4).with_format("torch")
    assert np.array_equal(np.squeeze(next(iter(stream))["image"].numpy()), images[0])
    loader = DataLoader(stream, batch_size=256, num_workers=2)
    assert sorted(int(label) for batch in loader for label in batch["label"]) == sorted(labels.tolist())


def test_training_in_one_process(mnist_tar: Path, tmp_path: Path) -> None:
    needs("torch")
    printed = run([sys.executable, str(RECIPES / "train.py"), "40"], tmp_path, MNIST_IDX_MIRROR=str(mnist_tar))
    accuracies = [float(found) for found in re.findall(r"([\d.]+)% of the test split right", printed)]
    assert len(accuracies) == 3
    assert accuracies[2] > 80


def test_training_on_two_processes(server: Server, tmp_path: Path) -> None:
    needs("torch")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    recipe = [str(RECIPES / "distributed.py"), "--split", "test", "--epochs", "2"]
    with server.counting():
        printed = run([*command, *recipe], tmp_path, MNIST_IDX_MIRROR=server.url(ARCHIVE))
    found = re.findall(r"epoch (\d): (\d+) records, ([\d.]+)% right", printed)
    assert [(epoch, count) for epoch, count, _ in found] == [("0", "10000"), ("1", "10000")]
    assert 70 < float(found[0][2]) < float(found[1][2])
    # Two processes of two workers, two epochs: none of the eight fetches the compressed member once for each shard.
    assert server.sent() < 8 * 2.5 * 1_650_000


def test_a_large_file_becomes_parquet_on_a_cluster(serve: Callable[..., Server], tmp_path: Path) -> None:
    needs("ray")
    count, tasks = 20_000, 16
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    images.reshape(count, -1)[:, :4] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
    labels = np.arange(count).astype(np.uint8) % 10
    server = serve()
    content = {"/train-images-idx3-ubyte": to_idx(images), "/train-labels-idx1-ubyte": to_idx(labels)}
    urls = [server.put(path, data) for path, data in content.items()]
    recipe = [sys.executable, str(RECIPES / "to_parquet.py"), *urls, str(tmp_path / "parquet"), "--tasks", str(tasks)]
    ray = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 2}', "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    with server.counting():
        assert f"{tasks} tasks are done" in run(recipe, tmp_path, **ray)

    # Every task has read its own range and, for the header, the start of the file.
    head, size = 32 << 10, count // tasks * 784
    ranges = [request.range for request in server.requests if "images" in request.path and request.range]
    spans = [tuple(map(int, re.findall(r"\d+", span))) for span in ranges]
    own = [(first, last) for first, last in spans if first > 0]
    assert len({(first - 16) // size for first, _ in own}) >= tasks - 1
    assert all((first - 16) // size == (last - 16) // size for first, last in own)
    assert server.sent("/train-images-idx3-ubyte") <= images.nbytes + 2 * tasks * head

    files = sorted((tmp_path / "parquet").glob("*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in files) == count
    data = load_dataset("parquet", data_dir=str(tmp_path / "parquet"), split="train", cache_dir=tmp_path / "cache")
    found = {}
    for row in data.with_format("arrow").iter(1000):
        for image, label in zip(row["image"].to_pylist(), row["label"].to_pylist(), strict=True):
            content = pixels(image)
            found[int.from_bytes(content[:4], "big")] = (content, label)
    assert len(found) == count
    assert all(found[number] == (images[number].tobytes(), labels[number]) for number in range(count))


def test_a_notebook_shows_the_contact_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("nbclient")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = (
        'import datasets, mnist_idx\nmnist_idx.contact_sheet(datasets.load_dataset("mnist_idx", "tiny", split="test"))'
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for output in notebook.cells[0].outputs if output.output_type == "execute_result"]
    assert len(shown) == 1
    picture = Image.open(io.BytesIO(base64.b64decode(shown[0].data["image/png"])))
    expected = mnist_idx.contact_sheet(load_dataset("mnist_idx", "tiny", split="test"))
    assert np.array_equal(np.asarray(picture), np.asarray(expected))
