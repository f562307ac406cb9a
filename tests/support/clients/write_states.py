"""Stream numbered images, and save states on the way from which reading goes on."""

import itertools
import json
from typing import Any

import datasets
from idx_files import number_of

import mnist_idx

AFTERWARDS = 150  # records that are read from each state on
State = dict[str, Any]


def load(folder: str, num_shards: int) -> datasets.IterableDataset:
    return datasets.load_dataset(
        "idxfolder", data_dir=folder, split="train", streaming=True, num_shards=num_shards
    )


def read_with_states(
    data: datasets.IterableDataset, places: list[int]
) -> tuple[list[int], dict[int, State]]:
    """The records that are not where they should be, and the states by the records before them."""
    wrong, states = [], {}
    for done, row in enumerate(data, 1):
        if number_of(row) != done - 1:
            wrong.append(done)
        if done in places:
            states[done] = json.loads(json.dumps(data.state_dict()))
    return wrong, states


def main(folder: str, places: list[int], count: int) -> list[Any]:
    """What is wrong, and the states by number of shards and place."""
    wrong: list[Any] = []
    states: dict[int, dict[int, State]] = {}
    for num_shards in (1, 3):
        misplaced, states[num_shards] = read_with_states(load(folder, num_shards), places)
        wrong += [[num_shards, done] for done in misplaced]
        for place, state in states[num_shards].items():
            rest = load(folder, num_shards)
            rest.load_state_dict(state)
            found = [number_of(row) for row in itertools.islice(rest, AFTERWARDS)]
            if found != list(range(place, min(place + AFTERWARDS, count))):
                wrong.append([num_shards, place, len(found), found[:3]])
    return [wrong, states]
