"""Many workers on one dataset: together they have each record once, and none fetches what another
one reads.
"""

import gzip
from collections.abc import Callable
from itertools import chain
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

from mnist_idx.builder import shard_ranges

# Several batches, and no multiple of anything.
COUNT = 5_003
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
NUMBERED = {
    IMAGES: to_idx(numbered_images(COUNT, 6)),
    LABELS: to_idx((np.arange(COUNT) % 10).astype(np.uint8)),
}
Mirror = Callable[[Any], None]


def packed(content: dict[str, bytes], packing: str) -> dict[str, bytes]:
    return {
        name: gzip.compress(data, 1) if packing == "gzip" else data
        for name, data in content.items()
    }


@pytest.fixture(scope="module", params=["plain", "gzip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_archive(tmp_path_factory.mktemp("files"), packed(NUMBERED, request.param)))


def stream(**options: Any) -> IterableDataset:
    return load_dataset("idxfolder", split="train", streaming=True, as_array=True, **options)


def fetch(data: IterableDataset) -> int:
    """Read a stream. Returns the number of records."""
    return sum(table.num_rows for table in data.with_format("arrow").iter(1000))


def test_shard_ranges() -> None:
    assert shard_ranges(0, 10, 1) == [(0, 10)]
    assert shard_ranges(5, 15, 3) == [(5, 8), (8, 11), (11, 15)]
    assert shard_ranges(0, 2, 5) == [(0, 1), (1, 2)]
    assert shard_ranges(7, 7, 3) == [(7, 7)]


@pytest.mark.slow
@pytest.mark.compat
def test_every_version_of_datasets(python: str, tmp_path: Path, hf_home: Path) -> None:
    args = {"folder": str(write_archive(tmp_path / "files", packed(NUMBERED, "gzip")))}
    found = run_client("load_in_parts", python=python, home=hf_home, args=args).result
    lengths = [[1667, 1668, 1668], [714, 715, 715, 714, 715, 715, 715]]
    assert found == [[list(range(COUNT)), length] for length in lengths]


def test_reshard(folder: str) -> None:
    data = stream(data_dir=folder).reshard()
    assert data.num_shards == 64
    assert numbers(data) == list(range(COUNT))
    assert numbers(data.shard(num_shards=64, index=63)) == list(
        range(*shard_ranges(0, COUNT, 64)[63])
    )
    assert data.reshard().num_shards > 64 * 32


SUBSETS = [{}, {"num_samples": 2_500}, {"num_samples": 2_500, "sampling": "uniform"}]


@pytest.mark.parametrize("options", SUBSETS, ids=str)
@pytest.mark.parametrize(("num_shards", "world_size"), [(1, 2), (8, 4), (64, 3), (7, 2)])
def test_shards_and_nodes(
    folder: str, options: dict[str, Any], num_shards: int, world_size: int
) -> None:
    options = {"data_dir": folder, **options}
    whole, data = numbers(stream(**options)), stream(num_shards=num_shards, **options)
    assert len(set(whole)) == len(whole) == options.get("num_samples", COUNT)
    shards = [numbers(data.shard(num_shards=num_shards, index=i)) for i in range(num_shards)]
    assert list(chain(*shards)) == numbers(data) == whole
    nodes = [numbers(split_dataset_by_node(data, rank, world_size)) for rank in range(world_size)]
    assert sorted(chain(*nodes)) == sorted(whole)
    assert max(map(len, nodes)) - min(map(len, nodes)) <= len(whole) // num_shards + 1


@pytest.mark.beyond
@pytest.mark.parametrize(
    ("method", "order"), [("fork", "shuffled"), ("fork", "node"), ("spawn", "shuffled")]
)
def test_data_loader(folder: str, method: str, order: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    data = stream(data_dir=folder, num_shards=64)
    expected = list(range(COUNT))
    next(iter(data))  # what this process has open must not disturb its workers
    if order == "shuffled":
        data = data.shuffle(seed=1, buffer_size=200)
    else:
        data = split_dataset_by_node(data, rank=1, world_size=2)
        expected = [
            number for bounds in shard_ranges(0, COUNT, 64)[1::2] for number in range(*bounds)
        ]
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=4, multiprocessing_context=method
    )
    assert sorted(map(number_of, loader)) == expected


@pytest.mark.parametrize("packing", ["plain", "gzip"])
def test_what_the_shards_of_files_fetch(packing: str, server: Server) -> None:
    large = {
        IMAGES: to_idx(numbered_images(20_000, 28)),
        LABELS: to_idx(np.zeros(20_000, np.uint8)),
    }
    content, header = packed(large, packing), 32 << 10
    urls = [server.put(f"/{name}", data) for name, data in content.items()]
    data = stream(data_files={"train": urls}, num_shards=64)
    with server.counting():
        assert fetch(data) == 20_000
    for name, stored in content.items():  # in one pass, but the header is read again
        assert server.sent(f"/{name}") <= len(stored) + header
    for shard in (1, 40, 0, 63) if packing == "plain" else ():
        with server.counting():
            count = fetch(data.shard(num_shards=64, index=shard))
        assert count in (312, 313)
        assert server.sent() <= count * (28 * 28 + 1) + 2 * header
        assert server.count() <= 12


def test_shards_of_a_compressed_file(
    server: Server, mirror: Mirror, mnist_files: dict[str, bytes]
) -> None:
    mirror(server.url(ARCHIVE))
    data = load_dataset("mnist_idx", split="train", streaming=True, num_shards=64)
    with server.counting():
        assert fetch(data.shard(num_shards=64, index=0)) == 937
    assert server.sent() < 400_000  # nothing behind it
    with server.counting():
        for shard in range(4):  # none goes on where another one has been, but none starts again
            fetch(data.shard(num_shards=64, index=shard))
    assert server.sent() < 1_600_000
    with server.counting():
        assert fetch(data.shuffle(seed=0, buffer_size=1000)) == 60_000
    assert server.sent() <= 3 * sum(len(mnist_files[name]) for name in MEMBERS["train"])
