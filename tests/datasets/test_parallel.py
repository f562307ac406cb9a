"""Many workers on one dataset: together they have each record once, and none fetches what another
one reads.
"""

import gzip
import itertools
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
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    number_of,
    numbered_images,
    numbers,
    to_idx,
    write_archive,
)

# Several batches, and no multiple of anything.
COUNT = 5_003
NUMBERED = {
    TRAIN_IMAGES: to_idx(numbered_images(COUNT, 6)),
    TRAIN_LABELS: to_idx((np.arange(COUNT) % 10).astype(np.uint8)),
}


def gzip_each(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files, each compressed, under the same names."""
    return {name: gzip.compress(content, 1) for name, content in files.items()}


@pytest.fixture(
    scope="module",
    params=[pytest.param(dict, id="plain-files"), pytest.param(gzip_each, id="gzip-files")],
)
def numbered_folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A folder of images that carry their numbers, and their labels."""
    return str(write_archive(tmp_path_factory.mktemp("files"), request.param(NUMBERED)))


def stream(**options: Any) -> IterableDataset:
    """The split "train" of one's own files."""
    return load_dataset("idxfolder", split="train", streaming=True, as_array=True, **options)


def count_records(data: IterableDataset) -> int:
    """The number of records that are read from a stream."""
    return sum(table.num_rows for table in data.with_format("arrow").iter(1000))


@pytest.mark.slow
@pytest.mark.compat
def test_parts_hold_each_record_once_on_every_version(
    python: str, tmp_path: Path, hf_home: Path
) -> None:
    args = {"folder": str(write_archive(tmp_path / "files", gzip_each(NUMBERED)))}
    found = run_client("load_in_parts", python=python, home=hf_home, args=args).result
    of_processes, of_shards = found
    assert of_processes == [list(range(COUNT)), [1667, 1668, 1668]]
    assert of_shards == [list(range(COUNT)), [714, 715, 715, 714, 715, 715, 715]]


def test_a_resharded_stream_has_more_shards_of_the_same_records(numbered_folder: str) -> None:
    data = stream(data_dir=numbered_folder).reshard()
    assert data.num_shards == 64
    assert numbers(data) == list(range(COUNT))
    assert numbers(data.shard(num_shards=64, index=63)) == list(range(4_924, COUNT))
    assert data.reshard().num_shards > 64 * 32


each_selection = pytest.mark.parametrize(
    ("selection", "count"),
    [
        pytest.param({}, COUNT, id="all-records"),
        pytest.param({"num_samples": 2_500}, 2_500, id="the-first-half"),
        pytest.param(
            {"num_samples": 2_500, "sampling": "uniform"}, 2_500, id="half-drawn-from-all"
        ),
    ],
)


@each_selection
@pytest.mark.parametrize("num_shards", [1, 7, 8, 64])
def test_shards_have_each_record_once(
    num_shards: int, selection: dict[str, Any], count: int, numbered_folder: str
) -> None:
    whole = numbers(stream(data_dir=numbered_folder, **selection))
    assert len(set(whole)) == len(whole) == count
    data = stream(data_dir=numbered_folder, num_shards=num_shards, **selection)
    assert numbers(data) == whole
    shards = [numbers(data.shard(num_shards, index)) for index in range(num_shards)]
    assert list(itertools.chain(*shards)) == whole


@each_selection
@pytest.mark.parametrize(
    ("num_shards", "num_nodes"),
    [
        pytest.param(1, 2, id="1-shard-for-2-nodes"),
        pytest.param(8, 4, id="8-shards-for-4-nodes"),
        pytest.param(64, 3, id="64-shards-for-3-nodes"),
        pytest.param(7, 2, id="7-shards-for-2-nodes"),
    ],
)
def test_nodes_have_each_record_once_and_about_as_many(
    num_shards: int,
    num_nodes: int,
    selection: dict[str, Any],
    count: int,
    numbered_folder: str,
) -> None:
    whole = numbers(stream(data_dir=numbered_folder, **selection))
    data = stream(data_dir=numbered_folder, num_shards=num_shards, **selection)
    nodes = [numbers(split_dataset_by_node(data, rank, num_nodes)) for rank in range(num_nodes)]
    assert sorted(itertools.chain(*nodes)) == sorted(whole)
    lengths = [len(node) for node in nodes]
    assert max(lengths) - min(lengths) <= count // num_shards + 1


each_start_method = pytest.mark.parametrize("start_method", ["fork", "spawn"])


def load_with_workers(data: IterableDataset, start_method: str) -> list[int]:
    """The sorted numbers of the records that four workers of a `DataLoader` read."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=4, multiprocessing_context=start_method
    )
    return sorted(map(number_of, loader))


@pytest.mark.beyond
@each_start_method
def test_workers_of_a_data_loader_have_each_record_once(
    start_method: str, numbered_folder: str
) -> None:
    data = stream(data_dir=numbered_folder, num_shards=64)
    next(iter(data))  # What this process has open must not disturb its workers.
    shuffled = data.shuffle(seed=1, buffer_size=200)
    assert load_with_workers(shuffled, start_method) == list(range(COUNT))


@pytest.mark.beyond
def test_workers_of_a_node_have_the_records_of_its_shards(numbered_folder: str) -> None:
    data = stream(data_dir=numbered_folder, num_shards=64)
    next(iter(data))  # What this process has open must not disturb its workers.
    every_other = [numbers(data.shard(num_shards=64, index=index)) for index in range(1, 64, 2)]
    node = split_dataset_by_node(data, rank=1, world_size=2)
    assert load_with_workers(node, "fork") == list(itertools.chain(*every_other))


# What is fetched

HEADER = 32 << 10  # at most so many bytes are fetched for the header of a file


def put_large_files(
    server: Server, pack: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> tuple[IterableDataset, dict[str, bytes]]:
    """A stream of 20,000 records in 64 shards, and its files on the server by their paths."""
    files = pack(
        {
            TRAIN_IMAGES: to_idx(numbered_images(20_000, 28)),
            TRAIN_LABELS: to_idx(np.zeros(20_000, np.uint8)),
        }
    )
    urls = [server.put(f"/{name}", content) for name, content in files.items()]
    return stream(data_files={"train": urls}, num_shards=64), files


@pytest.mark.slow
@pytest.mark.parametrize(
    "pack", [pytest.param(dict, id="plain-files"), pytest.param(gzip_each, id="gzip-files")]
)
def test_shards_that_are_read_one_after_another_fetch_each_file_once(
    pack: Callable[[dict[str, bytes]], dict[str, bytes]], server: Server
) -> None:
    data, files = put_large_files(server, pack)
    with server.counting():
        assert count_records(data) == 20_000
    for name, content in files.items():
        # In one pass, but the header is read again.
        assert server.sent(f"/{name}") <= len(content) + HEADER


def test_a_shard_of_plain_files_fetches_its_own_records(server: Server) -> None:
    data, _ = put_large_files(server, dict)
    count_records(data)
    for index in (1, 40, 0, 63):
        with server.counting():
            count = count_records(data.shard(num_shards=64, index=index))
        assert count in (312, 313)
        assert server.sent() <= count * (28 * 28 + 1) + 2 * HEADER
        assert server.count() <= 12


@pytest.fixture
def mnist_stream(server: Server, mirror: Callable[[Any], None]) -> IterableDataset:
    """The training split of MNIST in 64 shards, from `server`, whose files are compressed."""
    mirror(server.url(ARCHIVE))
    return load_dataset("mnist_idx", split="train", streaming=True, num_shards=64)


def test_the_first_shard_of_compressed_files_fetches_nothing_behind_it(
    mnist_stream: IterableDataset, server: Server
) -> None:
    with server.counting():
        assert count_records(mnist_stream.shard(num_shards=64, index=0)) == 937
    assert server.sent() < 400_000


def test_shards_of_compressed_files_do_not_start_again_each_time(
    mnist_stream: IterableDataset, server: Server
) -> None:
    count_records(mnist_stream.shard(num_shards=64, index=0))
    with server.counting():
        for index in range(4):  # None of them goes on where another one has been.
            count_records(mnist_stream.shard(num_shards=64, index=index))
    assert server.sent() < 1_600_000


@pytest.mark.slow
def test_a_shuffled_stream_of_compressed_files_fetches_them_three_times_at_most(
    mnist_stream: IterableDataset, server: Server, mnist_files: dict[str, bytes]
) -> None:
    with server.counting():
        assert count_records(mnist_stream.shuffle(seed=0, buffer_size=1000)) == 60_000
    assert server.sent() <= 3 * sum(len(mnist_files[name]) for name in MEMBERS["train"])
