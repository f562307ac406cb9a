"""Many workers on one dataset: together they have each record once, and none fetches what another one reads."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import run_client
from conftest import ARCHIVE, MEMBERS
from datasets import IterableDataset, load_dataset
from datasets.distributed import split_dataset_by_node
from http_server import Server
from idx_files import number_of, numbered_images, numbers, to_idx, write_archive

from mnist_idx import IdxError, catalog
from mnist_idx.builder import shard_ranges

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
# Several batches, and no multiple of anything.
COUNT = 5_003


@pytest.fixture(scope="session")
def numbered() -> dict[str, bytes]:
    """Small records that carry their numbers."""
    return {IMAGES: to_idx(numbered_images(COUNT, 6)), LABELS: to_idx((np.arange(COUNT) % 10).astype(np.uint8))}


@pytest.fixture(scope="session")
def large() -> dict[str, bytes]:
    """Numbered records of the size of MNIST's, 16 MB of them."""
    return {IMAGES: to_idx(numbered_images(20_000, 28)), LABELS: to_idx(np.zeros(20_000, np.uint8))}


def packed(content: dict[str, bytes], packing: str) -> dict[str, bytes]:
    if packing == "plain":
        return content
    return {f"{name}.gz": gzip.compress(data, 1) for name, data in content.items()}


@pytest.fixture(scope="module", params=["plain", "gzip"])
def packing(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(numbered: dict[str, bytes], packing: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The numbered records as files."""
    return write_archive(tmp_path_factory.mktemp("files"), packed(numbered, packing))


def stream(folder: Path | str, **options: Any) -> IterableDataset:
    return load_dataset("idxfolder", data_dir=str(folder), split="train", streaming=True, as_array=True, **options)


def stream_files(server: Server, content: dict[str, bytes], **options: Any) -> IterableDataset:
    """Stream files that a server serves."""
    files = {"train": [server.put(f"/{name}", data) for name, data in content.items()]}
    return load_dataset("idxfolder", data_files=files, split="train", streaming=True, as_array=True, **options)


@pytest.mark.parametrize(
    ("start", "stop", "num_shards", "ranges"),
    [
        (0, 10, 1, [(0, 10)]),
        (5, 15, 3, [(5, 8), (8, 11), (11, 15)]),
        (0, 2, 5, [(0, 1), (1, 2)]),
        (7, 7, 3, [(7, 7)]),
    ],
)
def test_shard_ranges(start: int, stop: int, num_shards: int, ranges: list[tuple[int, int]]) -> None:
    assert shard_ranges(start, stop, num_shards) == ranges


EVERYWHERE = """
import datasets, mnist_idx
from idx_files import numbers
options = {"data_dir": args["folder"], "split": "train"}
result = []
data = datasets.load_dataset("idxfolder", num_proc=3, as_array=True, **options)
result.append([numbers(data), [len(datasets.Dataset.from_file(entry["filename"])) for entry in data.cache_files]])
data = datasets.load_dataset("idxfolder", streaming=True, num_shards=7, as_array=True, **options)
result.append([numbers(data), [len(numbers(data.shard(num_shards=7, index=i))) for i in range(7)]])
"""


@pytest.mark.compat
def test_every_version_of_datasets(python: str, numbered: dict[str, bytes], tmp_path: Path, hf_home: Path) -> None:
    args = {"folder": str(write_archive(tmp_path / "files", packed(numbered, "gzip")))}
    found = run_client(EVERYWHERE, python=python, home=hf_home, args=args).result
    lengths = [[1667, 1668, 1668], [714, 715, 715, 714, 715, 715, 715]]
    assert found == [[list(range(COUNT)), length] for length in lengths]


def test_num_proc_of_a_subset(folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"num_samples": 3_000, "seed": 3, "sampling": "uniform", "as_array": True}
    options |= {"data_dir": str(folder), "split": "train"}
    one, many = (
        numbers(load_dataset("idxfolder", cache_dir=str(tmp_path / str(n)), num_proc=n, **options)) for n in (1, 3)
    )
    assert one == many
    assert len(set(one)) == 3_000


# Shards of a stream


def test_reshard(folder: Path) -> None:
    data = stream(folder).reshard()
    assert data.num_shards == 64
    assert numbers(data) == list(range(COUNT))
    assert numbers(data.shard(num_shards=64, index=63)) == list(range(*bounds(63, 64)))
    assert data.reshard().num_shards > 64 * 32


@pytest.mark.parametrize("options", [{}, {"sampling": "uniform"}])
def test_shards_of_a_subset(folder: Path, options: dict[str, Any]) -> None:
    whole = numbers(stream(folder, num_samples=2_500, **options))
    shards = stream(folder, num_samples=2_500, num_shards=9, **options)
    assert numbers(shards) == whole
    parts = [numbers(shards.shard(num_shards=9, index=i)) for i in range(9)]
    assert [number for part in parts for number in part] == whole


@pytest.mark.parametrize(("num_shards", "world_size"), [(1, 2), (8, 4), (64, 3), (7, 2)])
def test_each_node_has_records_of_its_own(folder: Path, num_shards: int, world_size: int) -> None:
    data = stream(folder, num_shards=num_shards)
    parts = [numbers(split_dataset_by_node(data, rank, world_size)) for rank in range(world_size)]
    assert sorted(number for part in parts for number in part) == list(range(COUNT))
    assert max(map(len, parts)) - min(map(len, parts)) <= COUNT // num_shards + 1


def bounds(shard: int, num_shards: int) -> tuple[int, int]:
    return COUNT * shard // num_shards, COUNT * (shard + 1) // num_shards


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
    assert sorted(map(number_of, rows)) == expected
    shares = [sum(row["worker"] == worker for row in rows) for worker in range(4)]
    assert min(shares) > 0.9 * len(expected) / 4


def add_worker(row: dict[str, Any]) -> dict[str, Any]:
    import torch.utils.data

    return {**row, "worker": torch.utils.data.get_worker_info().id}


# What is fetched


def fetch(data: IterableDataset) -> int:
    """Read a stream. Returns the number of records."""
    return sum(table.num_rows for table in data.with_format("arrow").iter(1000))


def test_adjacent_ranges_are_read_in_one_pass(
    large: dict[str, bytes], packing: str, serve: Callable[..., Server]
) -> None:
    server = serve()
    content = packed(large, packing)
    data = stream_files(server, content, num_shards=64)
    with server.counting():
        assert fetch(data) == 20_000
    for name, stored in content.items():
        assert server.sent(f"/{name}") <= len(stored) + (32 << 10)  # the header is read again


def test_a_shard_of_a_plain_file_fetches_its_part(large: dict[str, bytes], serve: Callable[..., Server]) -> None:
    server = serve()
    data = stream_files(server, large, num_shards=64)
    for shard in (1, 40, 0, 63):
        part = data.shard(num_shards=64, index=shard)
        with server.counting():
            count = fetch(part)
        assert count in (312, 313)
        headers = 2 * (32 << 10)
        assert server.sent() <= count * (28 * 28 + 1) + headers
        assert server.count() <= 12


def test_a_shard_of_a_compressed_file_fetches_nothing_behind_it(server: Server, mirror: Callable[[str], None]) -> None:
    mirror(server.url(ARCHIVE))
    data = load_dataset("mnist_idx", split="train", streaming=True, num_shards=64)
    with server.counting():
        assert fetch(data.shard(num_shards=64, index=0)) == 937
    assert server.sent() < 400_000
    with server.counting():
        for shard in range(4):  # none goes on where another one has been, but none starts again
            fetch(data.shard(num_shards=64, index=shard))
    assert server.sent() < 1_600_000


def test_shuffled_shards_of_a_compressed_file_are_fetched_about_once(
    server: Server, mirror: Callable[[str], None], mnist_files: dict[str, bytes]
) -> None:
    mirror(server.url(ARCHIVE))
    data = load_dataset("mnist_idx", split="train", streaming=True, num_shards=64).shuffle(seed=0, buffer_size=1000)
    stored = sum(len(mnist_files[name]) for name in MEMBERS["train"])
    with server.counting():
        assert fetch(data) == 60_000
    assert server.sent() <= 3 * stored


@pytest.mark.parametrize("num_shards", [1, 7, 500])
def test_an_invalid_source_is_not_replaced_after_its_records_were_yielded(
    num_shards: int, tmp_path: Path, mnist_tar: Path, mnist_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest is known to be wrong at the end of the file, in the last shard."""
    images, _ = MEMBERS["test"]
    pixels = bytearray(gzip.decompress(mnist_files[images]))
    pixels[16 + 5 * 784] ^= 1
    bad = write_archive(tmp_path / "bad.tar", mnist_files | {images: gzip.compress(bytes(pixels), 1)})
    sources = (catalog.Source(str(bad), 0), catalog.Source(str(mnist_tar), 0))
    monkeypatch.setitem(catalog.DATASETS, "mnist", catalog.DATASETS["mnist"]._replace(sources=sources))
    with pytest.raises(IdxError, match=r"bad\.tar: found sha256"):
        fetch(load_dataset("mnist_idx", split="test", streaming=True, num_shards=num_shards))
