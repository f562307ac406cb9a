"""The least that must be done for what is measured: libraries alone, and nothing checked."""

import gzip
import hashlib
import shutil
import struct
import tarfile
import urllib.request
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
from figures import FILES, RECORDS
from mnist_files import IMAGES, LABELS, MEMBERS
from zlib_ng import gzip_ng, zlib_ng

FEATURES = datasets.Features(
    {"image": datasets.Image(), "label": datasets.ClassLabel(names=[*"0123456789"])}
)
SIDE = 28  # of a digit
PIXELS = SIDE * SIDE
PNG_START = b"\x89PNG\r\n\x1a\n"
# Of a PNG file with a single chunk of data: where that begins, and the bytes behind it.
PNG_DATA_AT, PNG_BEHIND_DATA = 41, 16
AT_ONCE = 1 << 20  # bytes


def read_idx(path: str) -> np.ndarray:
    """An uncompressed IDX file of bytes, as an array that memory is taken for when it is used."""
    with open(path, "rb") as file:
        dimensions = file.read(4)[3]
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
    return np.memmap(path, np.uint8, "r", offset=4 + 4 * dimensions, shape=shape)


def size_of_files(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).iterdir())


def copy_file(path: str) -> None:
    """Copy a file through memory, as what converts its bytes has to."""
    with open(path, "rb") as source, open("copy", "wb") as target:
        shutil.copyfileobj(source, target, AT_ONCE)


def hash_files(folder: str) -> None:
    """Compute the SHA-256 of all files in a folder."""
    for path in Path(folder).iterdir():
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while data := file.read(AT_ONCE):
                digest.update(data)


def gather(folder: str) -> int:
    """Take all records of raw files, in the order of a permutation."""
    images = read_idx(f"{folder}/{IMAGES}")
    labels = read_idx(f"{folder}/{LABELS}")
    order = np.random.default_rng(1).permutation(len(images))
    return min(len(images[order]), len(labels[order]))


def download(urls: list[str], take: int) -> int:
    """Fetch whole files, and return how many records would be taken of them."""
    for url in urls:
        with urllib.request.urlopen(url) as source, open(Path(url).name, "wb") as target:
            shutil.copyfileobj(source, target, AT_ONCE)
    return take


def write_inflated(folder: str) -> int:
    """Inflate the PNG files that the package makes of digits, and write their pixels."""
    data = datasets.load_from_disk(folder)
    column = data.data.column("image")
    count = 0
    with open("pixels", "wb") as target:
        for chunk in column.chunks:
            for file in chunk.field("bytes"):
                lines = zlib_ng.decompress(file.as_buffer()[PNG_DATA_AT:-PNG_BEHIND_DATA])
                rows = np.frombuffer(lines, np.uint8).reshape(SIDE, SIDE + 1)
                target.write(rows[:, 1:].tobytes())
                count += 1
    return count


def write_buffers(folder: str) -> int:
    """Write the values of a column of arrays, as they are in its buffers."""
    data = datasets.load_from_disk(folder)
    count = 0
    with open("pixels", "wb") as target:
        for chunk in data.data.column("image").chunks:
            values = chunk.storage.flatten().flatten().to_numpy()
            target.write(values.tobytes())
            count += len(chunk)
    return count


def write_gzip(images: str, labels: str) -> dict[str, float]:
    """Compress two files with the standard library, at the level that the package takes."""
    for number, path in enumerate((images, labels)):
        with open(path, "rb") as source, gzip.open(f"{number}.gz", "wb", 6) as target:
            shutil.copyfileobj(source, target, AT_ONCE)
    return {RECORDS: len(read_idx(images)), FILES: size_of_files(".") / 1e6}


def prepare_floor(archive: str) -> int:
    """Decompress, encode and write the Arrow files with the libraries that the package uses."""
    written = 0
    with tarfile.open(archive) as tar:
        for split, members in MEMBERS.items():
            images, labels = (gzip_ng.open(tar.extractfile(member)) for member in members)
            images.read(16)
            labels.read(8)
            written += _write_arrow(images, labels, f"{split}.arrow")
    return written


def _write_arrow(images: gzip.GzipFile, labels: gzip.GzipFile, path: str) -> int:
    """Write the records of two files, whose headers are read, as PNG files in an Arrow file."""
    schema = FEATURES.arrow_schema
    written = 0
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        while classes := labels.read(1000):
            count = len(classes)
            # Each line of a PNG starts with its filter.
            lines = np.zeros((count, SIDE, SIDE + 1), np.uint8)
            pixels = np.frombuffer(images.read(count * PIXELS), np.uint8)
            lines[:, :, 1:] = pixels.reshape(count, SIDE, SIDE)
            columns = [pa.array(_png_files(lines), pa.binary()), pa.nulls(count, pa.string())]
            fields = list(schema.field("image").type)
            image = pa.StructArray.from_arrays(columns, fields=fields)
            label = pa.array(np.frombuffer(classes, np.uint8).astype(np.int64))
            writer.write_batch(pa.record_batch([image, label], schema=schema))
            written += count
    return written


def _png_files(lines: np.ndarray) -> list[bytes]:
    start = PNG_START + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0))
    end = chunk(b"IEND", b"")
    files = []
    for image in lines:
        files.append(start + chunk(b"IDAT", zlib_ng.compress(image, 1, 10)) + end)
    return files


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    size, checksum = len(content), zlib_ng.crc32(kind + content)
    return struct.pack(">I", size) + kind + content + struct.pack(">I", checksum)
