"""A streamed dataset stops anywhere, and continues with exactly the next record."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import run_client
from datasets import IterableDataset, load_dataset
from idx_files import number_of, numbered_images, numbers, to_idx, write_archive
from packers import PACKINGS

# Several batches in each of few shards, and no multiple of anything.
COUNT = 3_503
# The first and the last record, the ends of batches and of the three shards, and places in the
# middle.
PLACES = (1, 99, 100, 101, 999, 1099, 1100, 1101, 1167, 1168, 2000, 2335, 2336, 3501, 3502, 3503)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compressed files of records that carry their numbers."""
    images, labels = numbered_images(COUNT, 5), (np.arange(COUNT) % 10).astype(np.uint8)
    files = {
        "train-images-idx3-ubyte.gz": to_idx(images),
        "train-labels-idx1-ubyte.gz": to_idx(labels),
    }
    files = {name: PACKINGS[".gz"](content) for name, content in files.items()}
    return write_archive(tmp_path_factory.mktemp("numbered"), files)


def stream(folder: Path, **options: Any) -> IterableDataset:
    return load_dataset(
        "idxfolder", data_dir=str(folder), split="train", streaming=True, as_array=True, **options
    )


@pytest.mark.slow
@pytest.mark.compat
def test_any_record_and_another_process(python: str, folder: Path, hf_home: Path) -> None:
    args = {"folder": str(folder), "places": PLACES, "count": COUNT}
    wrong, states = run_client("write_states", python=python, home=hf_home, args=args).result
    assert wrong == []
    for num_shards in (1, 3):
        assert sorted(map(int, states[str(num_shards)])) == sorted(PLACES)
        rest = stream(folder, num_shards=num_shards)
        rest.load_state_dict(states[str(num_shards)]["1168"])
        assert [number_of(row) for row in rest] == list(range(1168, COUNT))


def test_subsets_and_later_epochs(folder: Path) -> None:
    """The order of the shards in an epoch is part of the state."""
    options: dict[str, Any] = {
        "num_samples": 2_000,
        "seed": 4,
        "sampling": "uniform",
        "num_shards": 8,
    }
    data, rest = stream(folder, **options), stream(folder, **options)
    whole = numbers(data)
    data.set_epoch(2)
    order = [number_of(row) for row in data]
    assert order != whole and sorted(order) == sorted(whole)
    assert len(list(itertools.islice(data, 1_234))) == 1_234
    rest.set_epoch(2)
    rest.load_state_dict(data.state_dict())
    assert [number_of(row) for row in rest] == order[1_234:]
