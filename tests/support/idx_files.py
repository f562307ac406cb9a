"""IDX files and archives of them, made without the code of the package."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from packers import PACKINGS

CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
TARS = tuple(f"set.tar{suffix}" for suffix in PACKINGS)
ARCHIVES = ("folder", *TARS, "stored.zip", "deflated.zip")
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def to_idx(array: Any) -> bytes:
    """An array as the content of an IDX file."""
    array = np.asarray(array)
    header = struct.pack(
        f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.name], array.ndim, *array.shape
    )
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def from_idx(content: bytes) -> np.ndarray:
    """The array in the content of an IDX file."""
    kind = {code: name for name, code in CODES.items()}[content[2]]
    shape = np.frombuffer(content, ">u4", content[3], offset=4)
    return np.frombuffer(
        content, np.dtype(kind).newbyteorder(">"), offset=4 + 4 * content[3]
    ).reshape(shape)


def four_files(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[str, bytes]:
    """The files of two splits, each of which is images and labels, by the names of MNIST."""
    return {
        TRAIN_IMAGES: to_idx(train[0]),
        TRAIN_LABELS: to_idx(train[1]),
        TEST_IMAGES: to_idx(test[0]),
        TEST_LABELS: to_idx(test[1]),
    }


def make_tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_archive(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files as a folder, a tar or a zip, by the name of `path`."""
    if path.suffix == ".zip":
        method = zipfile.ZIP_DEFLATED if path.stem == "deflated" else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif ".tar" in path.suffixes:
        pack = PACKINGS[path.suffix.removeprefix(".tar")]
        path.write_bytes(pack(make_tar(files)))
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


def numbered_images(count: int, size: int) -> np.ndarray:
    """Random images `(count, size, size)` that carry their number in their first four pixels."""
    images = random_images(count, size, size)
    images.reshape(count, -1)[:, :4] = (
        np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
    )
    return images


def number_of(row: Mapping[str, Any]) -> int:
    """The number of a row that holds a numbered image."""
    return int.from_bytes(np.asarray(row["image"], np.uint8).tobytes()[:4], "big")


def numbers(data: Any) -> list[int]:
    """The numbers of the records in a dataset of numbered images, loaded `as_array`."""
    return [
        number_of({"image": image})
        for batch in data.with_format("numpy").iter(1000)
        for image in batch["image"]
    ]


def random_images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def random_labels(count: int, classes: int = 10, seed: int = 0) -> np.ndarray:
    """Labels of which the largest is `classes - 1`."""
    labels = np.random.default_rng(seed).integers(0, classes, count, dtype=np.uint8)
    labels[-1:] = classes - 1
    return labels
