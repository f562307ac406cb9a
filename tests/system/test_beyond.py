"""With what the package itself does not need: a cluster of Ray, a notebook."""

import base64
import contextlib
import io
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from clients import ROOT
from datasets import ClassLabel, Image, load_dataset
from exports import contents_without_name
from http_server import Server
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    number_of,
    numbered_images,
    numbers,
    to_idx,
    write_archive,
)

import mnist_idx

pytestmark = pytest.mark.beyond
needs = partial(pytest.importorskip, reason="not installed: pip install 'mnist-idx[beyond]'")


RAY = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 2}', "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def start(folder: Path, module: str, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Start a module as a user would, in a folder, with a cache of its own."""
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("HF_", "MNIST_IDX_"))
    }
    env |= {
        "HF_HOME": str(folder / "hf_home"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    command = [sys.executable, "-m", module, *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, cwd=folder, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a program. Returns what it prints."""
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr[-4000:]
    return stdout


# Resuming


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"num_shards": 1}, id="in order"),
        pytest.param({"num_shards": 7}, id="in shards"),
        pytest.param({"num_shards": 7, "seed": 3}, id="shuffled in shards"),
    ],
)
@pytest.mark.parametrize("form", ["torch", "arrow"])
def test_a_loader_is_resumed_in_the_middle_of_an_epoch(
    form: str, options: dict[str, int], num_workers: int, tmp_path: Path
) -> None:
    loaders = needs("torchdata.stateful_dataloader")
    count = 600
    write_set(tmp_path / "set", count)

    def make_loader() -> Any:
        stream = load_dataset(
            "idxfolder",
            split="train",
            streaming=True,
            as_array=True,
            data_dir=str(tmp_path / "set"),
            **options,
        )
        stream = stream.with_format(form)
        if form == "torch":
            return loaders.StatefulDataLoader(stream, batch_size=32, num_workers=num_workers)
        return loaders.StatefulDataLoader(
            stream.batch(32), batch_size=None, num_workers=num_workers, collate_fn=images_of
        )

    whole = [numbers_of(batch["image"]) for batch in make_loader()]
    assert sorted(itertools.chain.from_iterable(whole)) == list(range(count))
    for num_seen in (1, 10, len(whole) - 1):
        loader = make_loader()
        batches = itertools.islice(loader, num_seen)
        seen = [numbers_of(batch["image"]) for batch in batches]
        state = loader.state_dict()
        del loader
        resumed = make_loader()
        resumed.load_state_dict(state)
        assert seen + [numbers_of(batch["image"]) for batch in resumed] == whole


def images_of(table: Any) -> dict[str, np.ndarray]:
    """The images of a batch, which is a table of one row."""
    return {"image": np.array(table["image"][0].as_py(), np.uint8)}


def numbers_of(images: Any) -> list[int]:
    """The numbers that numbered images carry."""
    return [number_of({"image": image}) for image in np.asarray(images)]


def test_training_goes_on_where_it_was_killed(real_tar: Path, tmp_path: Path) -> None:
    """The model becomes the same as without the kill: each record has been seen once."""
    torch = needs("torch")
    needs("torchdata")
    mirror = {"MNIST_IDX_MIRROR": str(real_tar)}
    arguments = ["mnist_idx.examples.resumable", "--epochs", "2", "--checkpoint"]
    whole = finish(start(tmp_path, *arguments, "whole.pt", **mirror))
    assert re.findall(r"epoch (\d): (\d+) records", whole) == [("0", "60000"), ("1", "60000")]

    killed = start(tmp_path, *arguments, "killed.pt", **mirror)
    wait_until(killed, (tmp_path / "killed.pt").exists)
    killed.kill()
    assert killed.communicate()[0] == ""  # in the first epoch
    resumed = finish(start(tmp_path, *arguments, "killed.pt", **mirror))
    first_line, _, others = resumed.partition("\n")
    going_on = re.fullmatch(r"going on behind (\d+) records of epoch 0", first_line)
    assert going_on is not None
    assert 0 < int(going_on[1]) < 60_000
    assert others == whole

    models = [torch.load(tmp_path / name)["model"] for name in ("whole.pt", "killed.pt")]
    for name, weights in models[0].items():
        assert torch.equal(weights, models[1][name])


# Exports on a cluster


def write_set(folder: Path, count: int) -> dict[str, bytes]:
    """Write numbered records. Returns the files by their names."""
    images, labels = numbered_images(count, 28), (np.arange(count) % 10).astype(np.uint8)
    files = {TRAIN_IMAGES: to_idx(images), TRAIN_LABELS: to_idx(labels)}
    write_archive(folder, files)
    return files


def start_export(folder: Path, *options: str) -> subprocess.Popen[str]:
    return start(folder, "mnist_idx", "export", *options, **RAY)


def test_the_tasks_of_a_cluster_read_their_own_ranges(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    needs("ray")
    count, tasks = 20_000, 8
    files = write_set(tmp_path / "set", count)
    server = serve()
    urls = [server.put(f"/{name}", content) for name, content in files.items()]
    by_split = [f"--data-files=train={url}" for url in urls]
    with server.counting():
        line = ["out", *by_split, "--num-shards", str(tasks), "--ray"]
        printed = finish(start_export(tmp_path, *line))
    assert f"train: {count:,} records in {tasks} Parquet files" in printed

    # Every task has read its own range and, for the header, the start of the file. The size of
    # files is found out by the first records.
    size = len(files[TRAIN_IMAGES])
    requests = [request for request in server.requests if request.path == f"/{TRAIN_IMAGES}"]
    ranges = sum(request.sent for request in requests if request.range)
    assert size <= ranges <= size + 2 * (tasks + 2) * (32 << 10) + (1 << 20)

    loaded = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    assert isinstance(loaded.features["image"], Image)
    assert loaded.features["label"] == ClassLabel(names=[str(number) for number in range(10)])
    assert numbers(loaded) == list(range(count))
    assert loaded["label"] == [number % 10 for number in range(count)]


def test_a_worker_that_is_killed_costs_its_shard_only(tmp_path: Path) -> None:
    needs("ray")
    write_set(tmp_path / "set", 60_000)
    running = start_export(tmp_path, "set", "out", "--num-shards", "24", "--ray")
    notes = tmp_path / ".mnist_idx-out.unfinished" / "notes" / "data"
    wait_until(running, lambda: len(list(notes.glob("*.json"))) >= 3)
    wait_until(running, lambda: len(workers_of(tmp_path)) > 0)
    os.kill(workers_of(tmp_path)[0], signal.SIGKILL)
    assert "train: 60,000 records in 24 Parquet files" in finish(running)
    finish(start_export(tmp_path, "set", "here", "--num-shards", "24", "--num-proc", "2"))
    on_cluster = contents_without_name(tmp_path / "out", "out")
    assert on_cluster == contents_without_name(tmp_path / "here", "here")
    assert not notes.exists()


def workers_of(folder: Path) -> list[int]:
    """The processes of Ray that write a shard, and that a program in a folder has started."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_writing = (process / "cmdline").read_bytes().startswith(b"ray::_write_in_task")
            if is_writing and os.fsencode(folder / "hf_home") in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def wait_until(running: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Wait for what a program does, a minute at most."""
    until = time.monotonic() + 60
    while not condition():
        assert running.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)


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
