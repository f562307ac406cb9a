"""A streamed dataset stops anywhere, and continues with exactly the next record."""

import gzip
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import run_client
from datasets import IterableDataset, load_dataset
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    number_of,
    numbered_images,
    numbers,
    to_idx,
    write_archive,
)

# Several batches in each of few shards, and no multiple of anything.
COUNT = 3_503
# The first and the last record, the ends of batches and of the three shards, and places in the
# middle.
PLACES = (1, 99, 100, 101, 999, 1099, 1100, 1101, 1167, 1168, 2000, 2335, 2336, 3501, 3502, 3503)


@pytest.fixture(scope="module")
def numbered_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a folder of gzip files, the records of which carry their numbers."""
    images = numbered_images(COUNT, 5)
    labels = (np.arange(COUNT) % 10).astype(np.uint8)
    files = {
        f"{TRAIN_IMAGES}.gz": gzip.compress(to_idx(images)),
        f"{TRAIN_LABELS}.gz": gzip.compress(to_idx(labels)),
    }
    return str(write_archive(tmp_path_factory.mktemp("numbered"), files))


def stream(folder: str, **options: Any) -> IterableDataset:
    """The records of a folder as arrays."""
    return load_dataset(
        "idxfolder", data_dir=folder, split="train", streaming=True, as_array=True, **options
    )


@pytest.mark.slow
@pytest.mark.compat
def test_a_stream_continues_at_any_record_also_in_another_process(
    python: str, numbered_folder: str, hf_home: Path
) -> None:
    args = {"folder": numbered_folder, "places": PLACES, "count": COUNT}
    wrong, states = run_client("write_states", python=python, home=hf_home, args=args).result
    assert wrong == []
    for num_shards in (1, 3):
        states_by_place = states[str(num_shards)]
        assert sorted(map(int, states_by_place)) == sorted(PLACES)
        rest = stream(numbered_folder, num_shards=num_shards)
        rest.load_state_dict(states_by_place["1168"])
        assert [number_of(row) for row in rest] == list(range(1168, COUNT))


@pytest.mark.slow
def test_a_shuffled_subset_continues_in_a_later_epoch(numbered_folder: str) -> None:
    """The order of the shards in an epoch is part of the state."""
    options: dict[str, Any] = {
        "num_samples": 2_000,
        "seed": 4,
        "sampling": "uniform",
        "num_shards": 8,
    }
    data = stream(numbered_folder, **options)
    first_epoch = numbers(data)
    data.set_epoch(2)
    order = [number_of(row) for row in data]
    assert order != first_epoch
    assert sorted(order) == sorted(first_epoch)
    taken = list(itertools.islice(data, 1_234))
    assert len(taken) == 1_234
    rest = stream(numbered_folder, **options)
    rest.set_epoch(2)
    rest.load_state_dict(data.state_dict())
    assert [number_of(row) for row in rest] == order[1_234:]
