"""Writes IDX files."""

import gzip
import re
import shutil
import zlib
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from ..errors import IdxError
from ..idx import Header

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
# Level 9 takes fifteen times as long and makes the images of MNIST 2 % smaller.
GZIP_LEVEL = 6
COPY_BYTES = 1 << 20


class WrittenFile(NamedTuple):
    name: str  # for example train-images-idx3-ubyte.gz
    header: Header


class IdxWriter:
    """Writes one IDX file, batch by batch. The last step, `finish`, gives it its name.

    The first batch, which may be empty, settles the element type and the shape of a record.

    Args:
        folder: where the file appears.
        stem: of its name, for example "train-images".
        title: of the split, for errors.
    """

    def __init__(self, folder: Path, stem: str, title: str) -> None:
        self._folder = folder
        self._stem = stem
        self._title = title
        self._plain = folder / f".{stem}"
        self._file = open(self._plain, "wb")
        self._header: Header | None = None

    def __enter__(self) -> "IdxWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, batch: np.ndarray) -> None:
        """Append records, (n, …).

        Raises:
            IdxError: IDX has no such records, or the first ones were of another kind.
        """
        dtype, record_shape = batch.dtype.newbyteorder("="), batch.shape[1:]
        header = self._header
        if header is None:
            header = Header(dtype, (0, *record_shape))
            self._file.write(header.pack())
        if (dtype, record_shape) != (header.dtype, header.record_shape):
            raise self._unlike_the_first(batch, header)
        self._file.write(np.ascontiguousarray(batch, dtype.newbyteorder(">")).data)
        num_records = header.num_records + len(batch)
        self._header = header._replace(shape=(num_records, *record_shape))

    def finish(self, compress: bool) -> WrittenFile:
        """Write the number of records into the header, and give the file its name."""
        header = self._header
        if header is None:
            raise ValueError("nothing was written")
        self._file.seek(0)
        self._file.write(header.pack())
        self._file.close()
        name = f"{self._stem}-idx{len(header.shape)}-{TYPE_SUFFIXES[header.dtype.name]}"
        if compress:
            name += ".gz"
            _compress(self._plain, self._folder / name)
        else:
            self._plain.rename(self._folder / name)
        return WrittenFile(name, header)

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
    with IdxWriter(folder, stem, title) as writer:
        writer.write(records)
        return writer.finish(compress)


def _compress(plain: Path, target: Path) -> None:
    """Replace a file by its gzip. Equal content gives equal bytes."""
    with (
        open(plain, "rb") as content,
        open(target, "wb") as file,
        # Neither name nor time in the header.
        gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as compressed,
    ):
        shutil.copyfileobj(content, compressed, COPY_BYTES)
    plain.unlink()


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
