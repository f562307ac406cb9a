"""Sets of IDX files on a server, in versions of the same size, and what may be read of them."""

import gzip
from typing import Any

import numpy as np
from http_server import Server
from idx_files import make_tar, random_images, random_labels, to_idx
from loading import Arrays, read_all

import mnist_idx

FORMS = ("tar", "tar.gz", "files", "files.gz")
STREAMED = ("streamed", "streamed arrays")
WAYS = (*STREAMED, "prepared", "arrays")
IMAGES, LABELS = "/train-images-idx3-ubyte", "/train-labels-idx1-ubyte"


def make_set(version: int = 0, count: int = 400) -> Arrays:
    """Random records, which no compression makes smaller: 400 of them take 314 kB."""
    return {
        "train": (random_images(count, 28, 28, seed=version), random_labels(count, seed=version))
    }


def publish(server: Server, form: str, arrays: Arrays, **headers: str) -> dict[str, Any]:
    """Put a set on a server, in place of the version before. Returns the options that load it."""
    images, labels = (to_idx(array) for array in arrays["train"])
    if form.startswith("tar"):
        tar = make_tar({IMAGES[1:]: images, LABELS[1:]: labels})
        # Level 0 only wraps the content, so that versions have the same size.
        content = gzip.compress(tar, 0, mtime=0) if form.endswith(".gz") else tar
        return {"data_dir": server.put(f"/set.{form}", content, **headers)}
    ending = form.removeprefix("files")
    urls = []
    for path, content in ((IMAGES, images), (LABELS, labels)):
        packed = gzip.compress(content, 0, mtime=0) if ending else content
        urls.append(server.put(path + ending, packed, **headers))
    return {"data_files": {"train": urls}}


def read(way: str, path: str = "idxfolder", name: str | None = None, **options: Any) -> Arrays:
    """Read all records of the split "train" in one of the ways."""
    if way == "streamed arrays":
        return read_all("arrays", path, name, ("train",), streaming=True, **options)
    return read_all(way, path, name, ("train",), **options)


def read_or_refuse(way: str, path: str = "idxfolder", **options: Any) -> Arrays | None:
    """The records, or None after an `IdxError`."""
    try:
        return read(way, path, **options)
    except mnist_idx.IdxError:
        return None


def stack(rows: list[dict[str, Any]]) -> Arrays:
    """Rows that were streamed as arrays, as what `read` returns."""
    images = np.array([row["image"] for row in rows], np.uint8)
    return {"train": (images, np.array([row["label"] for row in rows]))}


def which(found: Arrays, *versions: Arrays) -> int:
    """The number of the version that was read.

    A mix of two, or anything else, is none of them: -1.
    """
    for number, arrays in enumerate(versions):
        pairs = zip(found["train"], arrays["train"], strict=True)
        if all(np.array_equal(one, other) for one, other in pairs):
            return number
    return -1
