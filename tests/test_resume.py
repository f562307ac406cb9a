"""A streamed data set stops anywhere, and goes on with exactly the next record."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import ROOT, run_client
from datasets import IterableDataset, load_dataset
from idx_files import to_idx

import mnist_idx  # noqa: F401  (makes the name known)

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
# Several blocks in each of few shards, and no multiple of anything.
COUNT = 3_503
# The first and the last record, the ends of blocks and of the three shards, and places in the middle.
PLACES = (0, 1, 999, 1000, 1001, 1167, 1168, 2000, 2335, 2336, 3501, 3502, 3503)

LOAD = """
import datasets, io, json, PIL.Image
if int(datasets.__version__.partition(".")[0]) < 4:
    name, more = args["script"], {"trust_remote_code": True}
else:
    import mnist_idx
    name, more = "mnist_idx", {}

def load(**options):
    return datasets.load_dataset(name, data_dir=args["folder"], split="train", streaming=True, **options, **more)

def number(image):
    image = PIL.Image.open(io.BytesIO(image["bytes"])) if isinstance(image, dict) else image
    return int.from_bytes(image.tobytes()[:4], "big")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed files of records that carry their number in their first four pixels."""
    path = tmp_path_factory.mktemp("numbered")
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 5), dtype=np.uint8)
    images.reshape(COUNT, -1)[:, :4] = np.arange(COUNT, dtype=">u4").view(np.uint8).reshape(COUNT, 4)
    (path / IMAGES).write_bytes(gzip.compress(to_idx(images)))
    (path / LABELS).write_bytes(gzip.compress(to_idx((np.arange(COUNT) % 10).astype(np.uint8))))
    return path


def stream(folder: Path, **options: Any) -> IterableDataset:
    return load_dataset("mnist_idx", data_dir=str(folder), split="train", streaming=True, as_array=True, **options)


def number(row: Any) -> int:
    return int.from_bytes(np.asarray(row["image"], np.uint8).tobytes()[:4], "big")


@pytest.mark.compat
@pytest.mark.parametrize("num_shards", [1, 3])
def test_at_any_record(python: str, num_shards: int, folder: Path, hf_home: Path) -> None:
    code = """
states = {}
data = load(num_shards=args["num_shards"])
places = set(args["places"])
done = 0
if done in places:
    states[done] = None
for row in data:
    assert number(row["image"]) == done
    done += 1
    if done in places:
        states[done] = json.loads(json.dumps(data.state_dict()))
result = []
for place, state in states.items():
    rest = load(num_shards=args["num_shards"])
    if state is not None:
        rest.load_state_dict(state)
    found = [number(row["image"]) for row in rest]
    if found != list(range(place, args["count"])):
        result.append([place, len(found), found[:3]])
"""
    arguments = {
        "script": str(ROOT / "mnist_idx"),
        "folder": str(folder),
        "num_shards": num_shards,
        "places": PLACES,
        "count": COUNT,
    }
    assert run_client(LOAD + code, python=python, home=hf_home, args=arguments).result == []


@pytest.mark.compat
def test_across_processes(python: str, folder: Path, hf_home: Path) -> None:
    """One process is killed in the middle; another goes on from the last state that it has written down."""
    arguments = {"script": str(ROOT / "mnist_idx"), "folder": str(folder), "state": str(folder / "state.json")}
    begin = """
import os
data = load(num_shards=3)
for done, row in enumerate(data, 1):
    if done == 2500:
        open(args["state"], "w").write(json.dumps(data.state_dict()))
    if done == 2700:
        os._exit(9)
"""
    assert run_client(LOAD + begin, python=python, home=hf_home, args=arguments, check=False).returncode == 9
    go_on = """
data = load(num_shards=3)
data.load_state_dict(json.load(open(args["state"])))
result = [number(row["image"]) for row in data]
"""
    answer = run_client(LOAD + go_on, python=python, home=hf_home, args=arguments)
    assert answer.result == list(range(2500, COUNT))


@pytest.mark.parametrize("num_shards", [1, 5])
@pytest.mark.parametrize("batch_size", [1, 64, 1000, 1500])
@pytest.mark.parametrize("format", ["numpy", "arrow"])
def test_in_batches(format: str, batch_size: int, num_shards: int, folder: Path) -> None:
    def batches(state: dict[str, Any] | None, most: int | None = None) -> tuple[list[int], dict[str, Any]]:
        data = stream(folder, num_shards=num_shards).with_format(format)
        if state is not None:
            data.load_state_dict(state)
        found: list[int] = []
        for count, batch in enumerate(data.iter(batch_size), 1):
            images = batch["image"].to_pylist() if format == "arrow" else batch["image"]
            found += [number({"image": image}) for image in images]
            if count == most:
                break
        return found, json.loads(json.dumps(data.state_dict()))

    first, state = batches(None, most=1700 // batch_size + 1)
    rest, _ = batches(state)
    assert first + rest == list(range(COUNT))


def test_what_is_done_to_the_records_is_resumed_too(folder: Path) -> None:
    def made() -> IterableDataset:
        return stream(folder, num_shards=4).filter(is_even).map(add_number, remove_columns=["image"])

    data = made()
    found = []
    for row in data:
        found.append(row["number"])
        if len(found) == 777:
            break
    rest = made()
    rest.load_state_dict(data.state_dict())
    assert found + [row["number"] for row in rest] == list(range(0, COUNT, 2))


def is_even(row: dict[str, Any]) -> bool:
    return number(row) % 2 == 0


def add_number(row: dict[str, Any]) -> dict[str, Any]:
    return {"number": number(row)}


def test_subsets_and_later_epochs(folder: Path) -> None:
    """The order of the shards in an epoch is part of the state."""
    options: dict[str, Any] = {"num_samples": 2_000, "seed": 4, "sampling": "uniform", "num_shards": 8}
    whole = [number(row) for row in stream(folder, **options)]
    data = stream(folder, **options)
    data.set_epoch(2)
    order = [number(row) for row in data]
    assert order != whole
    assert sorted(order) == sorted(whole)
    for done, _ in enumerate(data, 1):
        if done == 1_234:
            break
    rest = stream(folder, **options)
    rest.set_epoch(2)
    rest.load_state_dict(data.state_dict())
    assert [number(row) for row in rest] == order[1_234:]


class Loop:
    """What a `StatefulDataLoader` does: batches from workers in turn, and states of the workers from which to go on."""

    def __init__(self, folder: Path, workers: int, batch_size: int) -> None:
        self.shards = [
            stream(folder, num_shards=2 * workers).shard(num_shards=workers, index=worker, contiguous=False)
            for worker in range(workers)
        ]
        self.batch_size = batch_size
        self.states: list[Any] = [None] * workers
        self.turn = 0

    def state_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps({"states": self.states, "turn": self.turn}))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.states, self.turn = state["states"], state["turn"]
        for shard, shard_state in zip(self.shards, self.states, strict=True):
            if shard_state is not None:
                shard.load_state_dict(shard_state)

    def __iter__(self) -> Any:
        iterators: dict[int, Any] = {worker: iter(shard) for worker, shard in enumerate(self.shards)}
        while iterators:
            worker = self.turn % len(self.shards)
            self.turn += 1
            if worker not in iterators:
                continue
            batch = [number(row) for _, row in zip(range(self.batch_size), iterators[worker], strict=False)]
            self.states[worker] = self.shards[worker].state_dict()
            if len(batch) < self.batch_size:
                del iterators[worker]
            yield batch


@pytest.mark.parametrize("stop", [1, 7, 50])
def test_a_loop_over_workers(folder: Path, stop: int) -> None:
    whole = [batch for batch in Loop(folder, workers=3, batch_size=32) if batch]
    assert sorted(number for batch in whole for number in batch) == list(range(COUNT))
    first = Loop(folder, workers=3, batch_size=32)
    begun = [batch for _, batch in zip(range(stop), first, strict=False)]
    rest = Loop(folder, workers=3, batch_size=32)
    rest.load_state_dict(first.state_dict())
    assert begun + [batch for batch in rest if batch] == whole


@pytest.mark.beyond
def test_a_stateful_data_loader(folder: Path) -> None:
    torchdata = pytest.importorskip("torchdata.stateful_dataloader", reason="needs torchdata: mnist-idx[beyond]")

    def loader() -> Any:
        data = stream(folder, num_shards=8).map(add_number, remove_columns=["image"])
        return torchdata.StatefulDataLoader(data, batch_size=50, num_workers=2)

    whole = [batch["number"].tolist() for batch in loader()]
    assert sorted(number for batch in whole for number in batch) == list(range(COUNT))
    begun = loader()
    first = [batch["number"].tolist() for _, batch in zip(range(9), begun, strict=False)]
    rest = loader()
    rest.load_state_dict(begun.state_dict())
    assert first + [batch["number"].tolist() for batch in rest] == whole
