"""An error names a record by its number in the file, whatever was selected of it."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from idx_files import TRAIN_IMAGES, TRAIN_LABELS, random_images, to_idx, write_archive
from loading import MODES, refusal

import mnist_idx

SELECTIONS: dict[str, dict[str, Any]] = {
    "everything": {},
    "seed": {"seed": 3},
    "first": {"num_samples": 25, "seed": 4},
    "uniform": {"num_samples": 29, "sampling": "uniform"},
}
each_selection = pytest.mark.parametrize("selection", SELECTIONS)


def write_labels(folder: Path, wrong: int, dtype: str) -> str:
    """Write 30 records, of which number 17 has the label `wrong`. Returns the folder."""
    labels = (np.arange(30) % 3).astype(dtype)
    labels[17] = wrong
    files = {TRAIN_IMAGES: to_idx(random_images(30, 4, 4)), TRAIN_LABELS: to_idx(labels)}
    return str(write_archive(folder, files))


@each_selection
@pytest.mark.parametrize("mode", MODES)
def test_a_label_that_is_no_class(selection: str, mode: str, tmp_path: Path) -> None:
    options = {"label_names": ["a", "b", "c"], "cache_dir": str(tmp_path / "cache")}
    folder = write_labels(tmp_path / "set", 9, "uint8")
    message = refusal(mode, "idxfolder", data_dir=folder, **options, **SELECTIONS[selection])
    assert message.startswith(f"{folder}/{TRAIN_LABELS}: record 17 has the label 9, expected 0")


@each_selection
@pytest.mark.parametrize("mode", ["prepared", "streamed"])
def test_a_label_that_does_not_fit_the_features(selection: str, mode: str, tmp_path: Path) -> None:
    label = datasets.Value("uint8")
    features = datasets.Features({"image": datasets.Image(), "label": label})
    options = {"features": features, "cache_dir": str(tmp_path / "cache")}
    folder = write_labels(tmp_path / "set", 900, "int32")
    message = refusal(mode, "idxfolder", data_dir=folder, **options, **SELECTIONS[selection])
    assert message == (
        f"{folder}/{TRAIN_LABELS}: record 17 has a label that does not fit the features: "
        "Integer value 900 not in range: 0 to 255. Correct features=."
    )


@pytest.mark.parametrize("num_shards", [1, 4])
def test_each_shard_counts_from_the_start_of_the_file(num_shards: int, tmp_path: Path) -> None:
    folder = write_labels(tmp_path / "set", 9, "uint8")
    stream = datasets.load_dataset(
        "idxfolder",
        data_dir=folder,
        split="train",
        streaming=True,
        label_names=["a", "b", "c"],
        num_shards=num_shards,
    )
    with pytest.raises(mnist_idx.IdxError, match="record 17 has the label 9"):
        list(stream)
