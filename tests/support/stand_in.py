"""A stand-in for MNIST: digits of the miniature in as many records, in files of the same form.

What happens to published files is tested on it everywhere. The catalog describes it as it describes
MNIST: with the size and both digests of each file, and no more.
"""

import gzip
import hashlib
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from idx_files import from_idx, make_tar, random_labels, to_idx

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]  # split -> (images, labels)

MEMBERS = {  # split -> the images and the labels in the archive
    "train": ("data/train-images-idx3-ubyte.gz", "data/train-labels-idx1-ubyte.gz"),
    "test": ("data/t10k-images-idx3-ubyte.gz", "data/t10k-labels-idx1-ubyte.gz"),
}
COPIES = {"train": 60, "test": 50}  # of the records of the miniature
LEVEL = 7  # of compression: as small as MNIST, without the time that 9 takes


class StandIn(NamedTuple):
    """The stand-in in each of its forms."""

    tar: Path
    files: dict[str, bytes]  # member name -> content, compressed
    arrays: Arrays
    facts: Path  # what the catalog says of it: see `stand_in_catalog`


def make_stand_in(folder: Path, miniature: Path) -> StandIn:
    """Write the stand-in into a folder. The miniature is an archive of the same members."""
    small = to_arrays(read_archive(miniature))
    arrays: Arrays = {}
    images, labels = {}, {}
    facts: dict[str, dict[str, Any]] = {}
    for split, (images_name, labels_name) in MEMBERS.items():
        arrays[split] = repeat_records(*small[split], COPIES[split])
        images_content, labels_content = map(to_idx, arrays[split])
        images[images_name] = gzip.compress(images_content, LEVEL, mtime=0)
        labels[labels_name] = gzip.compress(labels_content, LEVEL, mtime=0)
        facts[split] = {
            "images": columns(images[images_name], images_content),
            "labels": columns(labels[labels_name], labels_content),
        }
    stand_in = StandIn(
        tar=folder / "mnist_database.tar",
        files={**labels, **images},
        arrays=arrays,
        facts=folder / "facts.json",
    )
    stand_in.tar.write_bytes(make_tar(stand_in.files))
    stand_in.facts.write_text(json.dumps(facts))
    return stand_in


def columns(stored: bytes, content: bytes) -> dict[str, Any]:
    """The columns of the catalog for a file."""
    return {
        "size": len(stored),
        "sha256": hashlib.sha256(stored).hexdigest(),
        "content_sha256": hashlib.sha256(content).hexdigest(),
    }


def repeat_records(
    images: np.ndarray, labels: np.ndarray, copies: int
) -> tuple[np.ndarray, np.ndarray]:
    """Repeat images, with random labels behind the first ones. No two records are alike.

    The first pixel of each image, which is black in MNIST, is the number of its copy.
    """
    repeated = np.tile(images, (copies, 1, 1))
    repeated[:, 0, 0] = np.repeat(np.arange(copies), len(images))
    others = random_labels(len(repeated) - len(labels))
    return repeated, np.concatenate([labels, others])


def read_archive(path: Path) -> dict[str, bytes]:
    """The files in a tar: member name -> content, as it is stored."""
    files = {}
    with tarfile.open(path) as tar:
        for info in tar:
            if info.isfile():
                files[info.name] = tar.extractfile(info).read()  # type: ignore[union-attr]
    return files


def to_arrays(files: Mapping[str, bytes]) -> Arrays:
    """The arrays in the members of MNIST, read without any of the package's code."""
    arrays = {}
    for split, (images, labels) in MEMBERS.items():
        arrays[split] = (
            from_idx(gzip.decompress(files[images])),
            from_idx(gzip.decompress(files[labels])),
        )
    return arrays
