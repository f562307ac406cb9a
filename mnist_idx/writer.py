"""IDX files in the making, and a target that appears whole or not at all."""

from __future__ import annotations

import gzip
import os
import re
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from .idx import TYPE_CODES, Header, IdxError, iter_blocks, read_header

TYPE_NAMES = {
    "uint8": "ubyte",
    "int8": "byte",
    "int16": "short",
    "int32": "int",
    "float32": "float",
    "float64": "double",
}
LABEL_TYPES = tuple(np.dtype(name) for name in ("uint8", "int8", "int16", "int32"))
INT32 = np.iinfo(np.int32)
# What `write_idx` may replace: files that are named as it names them.
OWN_NAME = re.compile(r".+-(images|labels)-idx\d+-[a-z]+(\.gz)?")
# The folder that MNIST's own archive has in its tar.
TAR_FOLDER = "data"
# Level 9 takes fifteen times as long to make the images of MNIST 2 % smaller.
GZIP_LEVEL = 6


class Spool:
    """An IDX file that is written before it is known how many records it will have."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Header | None = None
        self._file = open(path, "wb")

    def close(self) -> None:
        self._file.close()

    @property
    def num_records(self) -> int:
        return self.header.num_records if self.header else 0

    def append(self, block: np.ndarray, where: str) -> None:
        """Add the records `block` (k, …). The first block settles the element type and the shape of a record."""
        if self.header is None:
            self.header = Header(block.dtype.newbyteorder("="), (0, *block.shape[1:]))
            if self.header.dtype not in TYPE_CODES:
                known = ", ".join(str(dtype) for dtype in TYPE_CODES)
                raise IdxError(
                    f"{where}: IDX has no element type {block.dtype}, it has {known}. Convert the array first."
                )
            self._file.write(self.header.pack())
        if block.shape[1:] != self.header.record_shape:
            raise IdxError(
                f"{where} has the shape {block.shape[1:]}, the records before it {self.header.record_shape}."
            )
        self._file.write(np.ascontiguousarray(block, dtype=self.header.dtype.newbyteorder(">")).data)
        self.header = self.header._replace(shape=(self.num_records + len(block), *self.header.record_shape))

    def finish(self) -> Header:
        """Write the header again, now that the number of records is known."""
        assert self.header is not None, "a spool without a block has no shape"
        self._file.seek(0)
        self._file.write(self.header.pack())
        self._file.close()
        return self.header


class LabelSpool(Spool):
    """Labels, which get the narrowest type that holds them all: at most 255 is a byte, as in MNIST."""

    low = 0
    high = 0

    def append(self, block: np.ndarray, where: str) -> None:
        if block.dtype.kind not in "biu" and block.size:
            raise IdxError(f"{where}: labels are integers, not {block.dtype}.")
        if block.size:
            self.low, self.high = min(self.low, int(block.min())), max(self.high, int(block.max()))
        if self.low < INT32.min or self.high > INT32.max:
            index, *_ = np.argwhere((block < INT32.min) | (block > INT32.max))[0]
            raise IdxError(
                f"{where}, record {self.num_records + index} has the label {block[index]}; 32 bits is the most."
            )
        super().append(block.astype(np.int32), where)

    def finish(self) -> Header:
        wide = super().finish()
        dtype = next(t for t in LABEL_TYPES if np.iinfo(t).min <= self.low and self.high <= np.iinfo(t).max)
        narrow = self.path.with_suffix(".narrow")
        with open(self.path, "rb") as source, closing(Spool(narrow)) as file:
            header = read_header(source, "labels")
            file.append(np.zeros((0, *header.record_shape), dtype), "labels")
            for block in iter_blocks(source, header, "labels"):
                file.append(block.astype(dtype), "labels")
            file.finish()
        os.replace(narrow, self.path)
        self.header = wide._replace(dtype=dtype)
        return self.header


def file_name(prefix: str, role: str, header: Header, compress: bool) -> str:
    """As MNIST names its files: `train-images-idx3-ubyte.gz`."""
    return f"{prefix}-{role}-idx{len(header.shape)}-{TYPE_NAMES[header.dtype.name]}{'.gz' if compress else ''}"


def pack_file(source: Path, target: Path, compress: bool) -> None:
    """Move a finished file to where it belongs, compressed if wanted; the same content gives the same bytes."""
    if not compress:
        os.replace(source, target)
        return
    with (
        open(source, "rb") as plain,
        open(target, "wb") as packed,
        # Neither name nor time in the header: they would make equal data differ.
        gzip.GzipFile("", "wb", GZIP_LEVEL, packed, mtime=0) as stream,
    ):
        shutil.copyfileobj(plain, stream, 1 << 20)
    source.unlink()


@contextmanager
def appearing(target: Path, overwrite: bool) -> Iterator[Path]:
    """An empty folder to write files into, which becomes `target` (a folder, or a `.tar` of them) if all goes well."""
    target = Path(os.path.realpath(target))
    _check_target(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: only within a file system is a rename all or nothing.
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    staging.mkdir()
    try:
        yield staging
        finished = _as_tar(staging) if target.suffix == ".tar" else staging
        _check_target(target, overwrite)
        _take_place(finished, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_target(target: Path, overwrite: bool) -> None:
    if "".join(target.suffixes[-2:]) in (".tar.gz", ".tar.bz2", ".tar.xz") or target.suffix in (".tgz", ".zip", ".gz"):
        raise IdxError(f"{target}: write_idx makes a folder or a .tar, whose files are compressed one by one.")
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise IdxError(f"{target} exists. Choose another target, or pass overwrite=True to replace it.")
    if target.is_dir() != (target.suffix != ".tar"):
        raise IdxError(
            f"{target} is a {'folder' if target.is_dir() else 'file'} and is not replaced by the other kind."
        )
    if target.is_dir():
        strange = sorted(path.name for path in target.iterdir() if not OWN_NAME.fullmatch(path.name) or path.is_dir())
        if strange:
            raise IdxError(f"{target} holds more than IDX files ({', '.join(strange[:3])}) and is not replaced.")


def _as_tar(folder: Path) -> Path:
    path = folder / "finished.tar"
    with tarfile.open(path, "w") as tar:
        for member in sorted(folder.iterdir()):
            if member == path:
                continue
            entry = tarfile.TarInfo(f"{TAR_FOLDER}/{member.name}")
            entry.size, entry.mode = member.stat().st_size, 0o644
            with open(member, "rb") as file:
                tar.addfile(entry, file)
            member.unlink()
    return path


def _take_place(finished: Path, target: Path) -> None:
    if not target.is_dir():
        os.replace(finished, target)
        return
    # A folder cannot be replaced by another in one step: the old one steps aside, and comes back if that fails.
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
    os.replace(target, aside)
    try:
        os.replace(finished, target)
    except BaseException:
        os.replace(aside, target)
        raise
    shutil.rmtree(aside)
