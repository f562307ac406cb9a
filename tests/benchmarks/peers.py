"""What the package is measured against: a stock loading script, and the least that has to be done."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from zlib_ng import gzip_ng, zlib_ng

MEMBERS = {
    "train": ("data/train-images-idx3-ubyte.gz", "data/train-labels-idx1-ubyte.gz"),
    "test": ("data/t10k-images-idx3-ubyte.gz", "data/t10k-labels-idx1-ubyte.gz"),
}
FEATURES = datasets.Features(
    {"image": datasets.Image(), "label": datasets.ClassLabel(names=[str(digit) for digit in range(10)])}
)


class Stock(datasets.GeneratorBasedBuilder):
    """A loading script as they are usually written: `iter_archive`, and an example at a time with a NumPy image."""

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=FEATURES)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        archive = dl_manager.download(self.config.data_dir)
        return [
            datasets.SplitGenerator(split, gen_kwargs={"members": members, "archive": dl_manager.iter_archive(archive)})
            for split, members in MEMBERS.items()
        ]

    def _generate_examples(self, members: tuple[str, str], archive: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        import gzip

        content = {name: gzip.decompress(file.read()) for name, file in archive if name in members}
        images = np.frombuffer(content[members[0]], np.uint8, offset=16).reshape(-1, 28, 28)
        labels = np.frombuffer(content[members[1]], np.uint8, offset=8)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield number, {"image": image, "label": label}


def floor(archive: str, folder: str) -> int:
    """Decompress, encode and write the Arrow files with the libraries that the package uses, and nothing else."""
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema({"image": kind, "label": pa.int64()}, FEATURES.arrow_schema.metadata)
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0))
    end = _chunk(b"IEND", b"")
    size = 28 * 29
    written = 0
    with tarfile.open(archive) as tar:
        for split, members in MEMBERS.items():
            with (
                gzip_ng.open(tar.extractfile(members[0])) as images,
                gzip_ng.open(tar.extractfile(members[1])) as labels,
                pa.OSFile(f"{folder}/{split}.arrow", "wb") as file,
                pa.ipc.new_stream(file, schema) as writer,
            ):
                images.read(16)
                labels.read(8)
                while classes := labels.read(1000):
                    count = len(classes)
                    lines = np.zeros((count, 28, 29), np.uint8)
                    lines[:, :, 1:] = np.frombuffer(images.read(count * 784), np.uint8).reshape(count, 28, 28)
                    pixels = lines.reshape(-1).data
                    files = []
                    for first in range(0, count * size, size):
                        data = b"IDAT" + zlib_ng.compress(pixels[first : first + size], 1, 10)
                        checksum = struct.pack(">I", zlib_ng.crc32(data))
                        files.append(b"".join((start, struct.pack(">I", len(data) - 4), data, checksum, end)))
                    image = pa.StructArray.from_arrays(
                        [pa.array(files, pa.binary()), pa.nulls(count, pa.string())], fields=list(kind)
                    )
                    label = pa.array(np.frombuffer(classes, np.uint8).astype(np.int64))
                    writer.write_batch(pa.record_batch([image, label], schema=schema))
                    written += count
    return written


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib_ng.crc32(kind + content))
