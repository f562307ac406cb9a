"""Many workers on one data set: together they have each record exactly once, and none reads what is another's."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import ROOT, digest_arrays, run_client
from conftest import ARCHIVE, MEMBERS
from datasets import IterableDataset, load_dataset
from datasets.distributed import split_dataset_by_node
from http_server import Server
from idx_files import to_idx

import mnist_idx  # noqa: F401  (makes the name known)

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
# The same road on every version of `datasets`: what only runs scripts is given the script.
LOAD = """
import datasets
if int(datasets.__version__.partition(".")[0]) < 4:
    name, more = args["script"], {"trust_remote_code": True}
else:
    import mnist_idx
    name, more = "mnist_idx", {}
"""
SCRIPT = {"script": str(ROOT / "mnist_idx")}

needs_reshard = pytest.mark.skipif(
    not hasattr(IterableDataset, "reshard"), reason="reshard() came with datasets 5; num_shards= is for every version"
)


# Of the numbered records: several blocks, and no multiple of anything.
COUNT = 5_003


def numbered_images(count: int, size: int = 6) -> np.ndarray:
    """Images that carry their number in their first four pixels."""
    images = np.random.default_rng(0).integers(0, 256, (count, size, size), dtype=np.uint8)
    images.reshape(count, -1)[:, :4] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
    return images


def numbers(rows: Any) -> list[int]:
    """The numbers of the records in rows of numbered images."""
    pixels = (np.asarray(row["image"], np.uint8).reshape(-1) for row in rows)
    return [int.from_bytes(image[:4].tobytes(), "big") for image in pixels]


@pytest.fixture(scope="session")
def numbered() -> dict[str, bytes]:
    """Small records that carry their numbers."""
    return {IMAGES: to_idx(numbered_images(COUNT)), LABELS: to_idx((np.arange(COUNT) % 10).astype(np.uint8))}


@pytest.fixture(scope="session")
def large() -> dict[str, bytes]:
    """Numbered records of the size of MNIST's, 16 MB of them."""
    return {IMAGES: to_idx(numbered_images(20_000, 28)), LABELS: to_idx(np.zeros(20_000, np.uint8))}


@pytest.fixture(params=["plain", "gzip"])
def packing(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(numbered: dict[str, bytes], packing: str, tmp_path: Path) -> Path:
    """The numbered records as files."""
    for name, content in numbered.items():
        path = tmp_path / "files" / (name if packing == "plain" else f"{name}.gz")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if packing == "plain" else gzip.compress(content, 1))
    return tmp_path / "files"


def stream(folder: Path | str, **options: Any) -> IterableDataset:
    return load_dataset("mnist_idx", data_dir=str(folder), split="train", streaming=True, as_array=True, **options)


def served(server: Server, content: dict[str, bytes]) -> dict[str, list[str]]:
    """`data_files` for files that a server serves."""
    return {"train": [server.put(f"/{name}", data) for name, data in content.items()]}


# num_proc


@pytest.mark.compat
@pytest.mark.parametrize("as_array", [False, True])
def test_num_proc_divides_the_work(
    python: str, as_array: bool, mnist_tar: Path, mnist_arrays: Arrays, hf_home: Path
) -> None:
    code = """
import pyarrow
from clients import digest_arrays, digest_table

def digest(rows):
    if not args["as_array"]:
        return digest_table(rows)
    batch = rows.with_format("numpy")[:]
    return digest_arrays(batch["image"], batch["label"])

def count(file):
    with pyarrow.memory_map(file) as source:
        return pyarrow.ipc.open_stream(source).read_all().num_rows

data = datasets.load_dataset(name, num_proc=3, as_array=args["as_array"], **more)
result = [
    {split: digest(rows) for split, rows in data.items()},
    {split: [count(entry["filename"]) for entry in rows.cache_files] for split, rows in data.items()},
]
"""
    environment = {"MNIST_IDX_MIRROR": str(mnist_tar)}
    arguments = {**SCRIPT, "as_array": as_array}
    digests, counts = run_client(LOAD + code, python=python, home=hf_home, args=arguments, env=environment).result
    assert digests == {split: digest_arrays(*arrays) for split, arrays in mnist_arrays.items()}
    assert counts == {"train": [20_000] * 3, "test": [3_333, 3_333, 3_334]}


def test_num_proc_of_a_subset(folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"num_samples": 3_000, "seed": 3, "sampling": "uniform", "as_array": True}
    one, many = (
        numbers(
            load_dataset(
                "mnist_idx", data_dir=str(folder), split="train", cache_dir=tmp_path / str(n), num_proc=n, **options
            ).with_format("numpy")
        )
        for n in (1, 3)
    )
    assert one == many
    assert len(set(one)) == 3_000


# Shards of a stream


@pytest.mark.compat
def test_num_shards_on_every_version(python: str, mnist_tar: Path, mnist_arrays: Arrays, hf_home: Path) -> None:
    code = """
from clients import digest
data = datasets.load_dataset(name, split="test", streaming=True, num_shards=7, **more)
result = [data.num_shards, digest(data), [len(list(data.shard(num_shards=7, index=i))) for i in range(7)]]
"""
    answer = run_client(LOAD + code, python=python, home=hf_home, args=SCRIPT, env={"MNIST_IDX_MIRROR": str(mnist_tar)})
    lengths = [1428, 1429, 1428, 1429, 1428, 1429, 1429]
    assert answer.result == [7, digest_arrays(*mnist_arrays["test"]), lengths]


@needs_reshard
def test_reshard(folder: Path) -> None:
    data = stream(folder).reshard()
    assert data.num_shards == 64
    assert numbers(data) == list(range(COUNT))
    assert numbers(data.shard(num_shards=64, index=63)) == list(range(*bounds(63, 64)))
    assert data.reshard().num_shards > 64 * 32


def test_more_shards_than_records(tmp_path: Path) -> None:
    (tmp_path / IMAGES).write_bytes(to_idx(numbered_images(3)))
    data = stream(tmp_path, num_shards=10)
    assert data.num_shards == 3
    assert numbers(data) == [0, 1, 2]
    assert numbers(split_dataset_by_node(data, rank=2, world_size=3)) == [2]


@pytest.mark.parametrize("options", [{}, {"sampling": "uniform"}])
def test_shards_of_a_subset(folder: Path, options: dict[str, Any]) -> None:
    whole = numbers(stream(folder, num_samples=2_500, **options))
    shards = stream(folder, num_samples=2_500, num_shards=9, **options)
    assert numbers(shards) == whole
    parts = [numbers(shards.shard(num_shards=9, index=i)) for i in range(9)]
    assert [number for part in parts for number in part] == whole


@pytest.mark.parametrize(("num_shards", "world_size"), [(1, 2), (8, 4), (64, 3), (7, 2)])
def test_each_node_has_its_own_records(folder: Path, num_shards: int, world_size: int) -> None:
    data = stream(folder, num_shards=num_shards)
    parts = [numbers(split_dataset_by_node(data, rank, world_size)) for rank in range(world_size)]
    assert sorted(number for part in parts for number in part) == list(range(COUNT))
    assert max(map(len, parts)) - min(map(len, parts)) <= COUNT // num_shards + 1


def test_shuffled_shards_hold_each_record_once(folder: Path) -> None:
    data = stream(folder, num_shards=64).shuffle(seed=5, buffer_size=500)
    found = numbers(data)
    assert sorted(found) == list(range(COUNT))
    assert found != list(range(COUNT))
    data.set_epoch(1)
    again = numbers(data)
    assert sorted(again) == list(range(COUNT))
    assert again != found


# Workers


@pytest.mark.beyond
@pytest.mark.parametrize(
    ("method", "order"), [("fork", "file"), ("fork", "shuffled"), ("fork", "node"), ("spawn", "shuffled")]
)
def test_data_loader(folder: Path, method: str, order: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    data = stream(folder, num_shards=64)
    expected = list(range(COUNT))
    next(iter(data))  # what this process has open must not disturb its workers
    if order == "shuffled":
        data = data.shuffle(seed=1, buffer_size=200)
    if order == "node":
        data = split_dataset_by_node(data, rank=1, world_size=2)
        expected = sorted(number for shard in range(1, 64, 2) for number in range(*bounds(shard, 64)))
    loader = torch.utils.data.DataLoader(
        data.map(add_worker), batch_size=None, num_workers=4, multiprocessing_context=method, prefetch_factor=64
    )
    rows = list(loader)
    assert sorted(numbers(rows)) == expected
    shares = [sum(row["worker"] == worker for row in rows) for worker in range(4)]
    assert min(shares) > 0.9 * len(expected) / 4  # all are fed


def add_worker(row: dict[str, Any]) -> dict[str, Any]:
    import torch.utils.data

    return {**row, "worker": torch.utils.data.get_worker_info().id}


def bounds(shard: int, num_shards: int) -> tuple[int, int]:
    return COUNT * shard // num_shards, COUNT * (shard + 1) // num_shards


# What is fetched


def fetch(data: IterableDataset) -> int:
    """Read a stream; how many records it has."""
    return sum(table.num_rows for table in data.with_format("arrow").iter(1000))


def test_adjacent_ranges_are_read_in_one_pass(
    large: dict[str, bytes], packing: str, serve: Callable[..., Server]
) -> None:
    server = serve()
    content = large if packing == "plain" else {f"{name}.gz": gzip.compress(data, 1) for name, data in large.items()}
    data = load_dataset(
        "mnist_idx", data_files=served(server, content), split="train", streaming=True, num_shards=64, as_array=True
    )
    with server.counting():
        assert fetch(data) == 20_000
    for name, stored in content.items():
        assert server.sent(f"/{name}") <= len(stored) + (32 << 10)  # the header is read again


def test_a_shard_of_a_plain_file_fetches_its_part(large: dict[str, bytes], serve: Callable[..., Server]) -> None:
    server = serve()
    data = load_dataset(
        "mnist_idx", data_files=served(server, large), split="train", streaming=True, num_shards=64, as_array=True
    )
    for shard in (1, 40, 0, 63):
        part = data.shard(num_shards=64, index=shard)
        with server.counting():
            count = fetch(part)
        assert count in (312, 313)
        headers = 2 * (32 << 10)
        assert server.sent() <= count * (28 * 28 + 1) + headers
        assert server.count() <= 12


def test_a_shard_of_a_packed_archive_fetches_nothing_behind_it(server: Server, mirror: Callable[[str], None]) -> None:
    mirror(server.url(ARCHIVE))
    data = load_dataset("mnist_idx", split="train", streaming=True, num_shards=64)
    with server.counting():
        assert fetch(data.shard(num_shards=64, index=0)) == 937
    assert server.sent() < 400_000
    with server.counting():
        for shard in range(4):  # nobody reads on from where another has been, but none begins again
            fetch(data.shard(num_shards=64, index=shard))
    assert server.sent() < 1_600_000


def test_shuffled_shards_of_a_packed_archive_are_fetched_about_once(
    server: Server, mirror: Callable[[str], None], mnist_files: dict[str, bytes]
) -> None:
    mirror(server.url(ARCHIVE))
    data = load_dataset("mnist_idx", split="train", streaming=True, num_shards=64).shuffle(seed=0, buffer_size=1000)
    stored = sum(len(mnist_files[name]) for name in MEMBERS["train"])
    with server.counting():
        assert fetch(data) == 60_000
    assert server.sent() <= 3 * stored
