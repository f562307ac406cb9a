"""Small stand-ins for the published datasets: the same layout, and digests of their own.

What is known of a file of the catalog is known of its stand-in, and nothing else.
"""

import hashlib
import zlib
from collections.abc import Mapping

import numpy as np
from idx_files import random_images, to_idx
from packers import PACKINGS, unpack

from mnist_idx.catalog import DATASETS, File, PublishedDataset, Split

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]  # split -> (images, labels)
COUNTS = {"train": 60, "test": 20}


def stand_in(name: str) -> Arrays:
    """Records of the same kind as those of a config: images as stored, and labels."""
    known = DATASETS[name]
    arrays = {}
    for number, split in enumerate(known.splits):
        count = COUNTS[split]
        seed = zlib.crc32(name.encode()) + number
        random = np.random.default_rng(seed)
        first = known.class_names[0] == "N/A"
        labels = random.integers(first, len(known.class_names), count).astype(np.uint8)
        if known.label_parts > 1:
            details = random.integers(0, 280_000, (count, known.label_parts - 1))
            labels = np.column_stack([labels, details]).astype(np.int32)
        arrays[split] = random_images(count, 28, 28, seed=seed), labels
    return arrays


def as_loaded(name: str) -> Arrays:
    """The records as users get them: EMNIST upright, of QMNIST's labels the class."""
    arrays = {}
    for split, (images, labels) in stand_in(name).items():
        if DATASETS[name].transposed:
            images = images.swapaxes(1, 2)
        arrays[split] = images, labels if labels.ndim == 1 else labels[:, 0]
    return arrays


def stand_in_files(name: str) -> dict[str, bytes]:
    """File name -> compressed content."""
    contents = {}
    arrays = stand_in(name)
    for split, known in DATASETS[name].splits.items():
        for file, array in zip((known.images, known.labels), arrays[split], strict=True):
            contents[file.name + file.suffix] = PACKINGS[file.suffix](to_idx(array))
    return contents


def decompressed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files, decompressed, and without the suffixes."""
    return {name.rpartition(".")[0]: unpack(content) for name, content in files.items()}


def stand_in_dataset(name: str, sources: tuple[str, ...]) -> PublishedDataset:
    """The row of the catalog for the stand-in of a config."""
    known = DATASETS[name]
    files = stand_in_files(name)
    splits = {}
    for split, (images, labels, _) in known.splits.items():
        splits[split] = Split(_known_of(images, files), _known_of(labels, files), COUNTS[split])
    return known._replace(splits=splits, sources=sources)


def _known_of(file: File, files: Mapping[str, bytes]) -> File:
    content = files[file.name + file.suffix]
    digest = None
    if file.content_sha256 is not None:
        digest = hashlib.sha256(unpack(content)).hexdigest()
    return file._replace(
        size=len(content), sha256=hashlib.sha256(content).hexdigest(), content_sha256=digest
    )
