"""Writes IDX files."""

import gzip
import re
import zlib
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from ..errors import IdxError
from ..idx import Header
from .idx_target import IdxTarget, open_target

# How the names of files spell element types.
TYPE_SUFFIXES = {
    "uint8": "ubyte",
    "int8": "byte",
    "int16": "short",
    "int32": "int",
    "float32": "float",
    "float64": "double",
}
FILE_NAME = re.compile(
    rf"[^/]+-(images|labels)-idx[0-9]+-({'|'.join(TYPE_SUFFIXES.values())})(\.gz)?"
)


class WrittenFile(NamedTuple):
    name: str  # for example train-images-idx3-ubyte.gz
    header: Header


class IdxWriter:
    """Writes one IDX file, batch by batch.

    The first batch, which may be empty, settles the element type and the shape of a record, and
    with them the name of the file.

    Args:
        folder: where the file appears.
        stem: of its name, for example "train-images".
        compress: whether it is a gzip file. Equal records give equal bytes.
        title: of the split, for errors.
    """

    def __init__(self, folder: Path, stem: str, compress: bool, title: str) -> None:
        self._folder = folder
        self._stem = stem
        self._compress = compress
        self._title = title
        self._target: IdxTarget | None = None
        self._header: Header | None = None

    def __enter__(self) -> "IdxWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._target is not None:
            self._target.close()

    def write(self, batch: np.ndarray) -> None:
        """Append records, (n, …).

        Raises:
            IdxError: IDX has no such records, or the first ones were of another kind.
        """
        dtype, record_shape = batch.dtype.newbyteorder("="), batch.shape[1:]
        header = self._header
        if header is None or self._target is None:
            header = Header(dtype, (0, *record_shape))
            content = header.pack()
            self._target = open_target(self._folder / self._name(header), content, self._compress)
        if (dtype, record_shape) != (header.dtype, header.record_shape):
            raise self._unlike_the_first(batch, header)
        big_endian = np.ascontiguousarray(batch, dtype.newbyteorder(">"))
        self._target.write(big_endian.reshape(-1).view(np.uint8).data)
        num_records = header.num_records + len(batch)
        self._header = header._replace(shape=(num_records, *record_shape))

    def finish(self) -> WrittenFile:
        """Write the number of records into the header, and close the file."""
        header = self._header
        if header is None or self._target is None:
            raise ValueError("nothing was written")
        self._target.finish(header.pack())
        return WrittenFile(self._name(header), header)

    def _name(self, header: Header) -> str:
        name = f"{self._stem}-idx{len(header.shape)}-{TYPE_SUFFIXES[header.dtype.name]}"
        return f"{name}.gz" if self._compress else name

    def _unlike_the_first(self, batch: np.ndarray, header: Header) -> IdxError:
        record = f"{self._title}, record {header.num_records}"
        found = f"{record} is {batch.dtype} {batch.shape[1:]}"
        expected = f"{header.dtype} {header.record_shape}, like the first record"
        advice = f"{found}, expected {expected}. Resize pictures with"
        return IdxError(f"{advice} size=….", command_line=f"{advice} --size.")


def write_file(
    records: np.ndarray, folder: Path, stem: str, compress: bool, title: str
) -> WrittenFile:
    """Write one IDX file of an array, (n, …)."""
    with IdxWriter(folder, stem, compress, title) as writer:
        writer.write(records)
        return writer.finish()


def is_written(folder: Path, name: str) -> bool:
    """Whether a file in a folder is one of these writers': by its name, and by its header."""
    if FILE_NAME.fullmatch(name) is None:
        return False
    path = folder / name
    try:
        with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as file:
            magic = file.read(4)
    except (OSError, EOFError, zlib.error):  # not what its name says
        return False
    if len(magic) < 4 or magic[:2] != b"\0\0":
        return False
    dimensions = magic[3]
    return name.partition("-idx")[2].startswith(f"{dimensions}-")
