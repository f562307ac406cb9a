"""The compressions that a file may have: one row of one table each.

Whatever else needs to know something of compressions (names of files, messages, the command line)
derives it from `COMPRESSIONS`. To add one is to add its row.
"""

import bz2
import lzma
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from zlib_ng import zlib_ng

ZLIB_ERROR = cast(type[Exception], zlib_ng.error)  # its stub says that it is an exception
MEMORY_LIMIT = 128 << 20  # bytes to decompress a file; more than any preset of `xz` needs


class Decompressor(Protocol):
    """What decompresses one compressed stream, as the classes of `bz2` and `lzma` do."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more can be decompressed without further data."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the compressed stream."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Decompress at most `max_length` bytes. Data that is left over waits for the next call."""


class ZlibDecompressor:
    """A decompressor of `zlib_ng`, with the interface of those in `bz2` and `lzma`."""

    def __init__(self, inflate: "zlib_ng._Decompress", needs_input: bool = True) -> None:
        self._inflate = inflate
        self.needs_input = needs_input

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        content = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self.needs_input = len(content) < max_length and not self._inflate.unconsumed_tail
        return content

    def copy(self) -> "ZlibDecompressor":
        inflate = self._inflate.copy()  # type: ignore[attr-defined]  # missing in the stub
        return ZlibDecompressor(inflate, self.needs_input)


class Compression(NamedTuple):
    """A format of compressed files, each of which may hold several compressed streams in a row."""

    name: str
    magic: tuple[bytes, ...]  # how a compressed file may start; none: the first bytes do not tell
    suffixes: tuple[str, ...]  # of the names of compressed files, the usual one first
    new_decompressor: Callable[[], Decompressor]
    errors: tuple[type[Exception], ...]  # raised by the decompressor on damaged data
    has_seek_points: bool  # whether a decompressor can be copied, so that reading resumes there
    limit_error: str | None = None  # what the decompressor says if it would need too much memory
    limit_advice: str = ""  # what to do then: a sentence without its full stop


COMPRESSIONS = {
    row.name: row
    for row in (
        Compression(
            name="gzip",
            magic=(b"\x1f\x8b\x08",),
            suffixes=(".gz", ".gzip"),
            new_decompressor=lambda: ZlibDecompressor(zlib_ng.decompressobj(31)),
            errors=(ZLIB_ERROR,),
            has_seek_points=True,
        ),
        Compression(
            name="bzip2",
            magic=(b"BZh",),
            suffixes=(".bz2",),
            new_decompressor=bz2.BZ2Decompressor,
            errors=(OSError, EOFError),
            has_seek_points=False,
        ),
        Compression(
            name="xz",
            magic=(b"\xfd7zXZ\0",),
            suffixes=(".xz",),
            new_decompressor=lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_LIMIT),
            errors=(lzma.LZMAError, EOFError),
            has_seek_points=False,
            limit_error="Memory usage limit",
            limit_advice="Decompress it with unxz, or compress it again with xz -6",
        ),
    )
}
# How a zip compresses its members. No file of its own has this form.
DEFLATE = Compression(
    name="deflate",
    magic=(),
    suffixes=(),
    new_decompressor=lambda: ZlibDecompressor(zlib_ng.decompressobj(-15)),
    errors=(ZLIB_ERROR,),
    has_seek_points=True,
)
SUFFIXES = tuple(suffix for row in COMPRESSIONS.values() for suffix in row.suffixes)
MAGIC_LENGTH = max(len(magic) for row in COMPRESSIONS.values() for magic in row.magic)


def find_compression(head: bytes) -> Compression | None:
    """The compression of a file by its first bytes, None if it is not compressed."""
    for row in COMPRESSIONS.values():
        if head.startswith(row.magic):
            return row
    return None


def strip_suffix(name: str) -> str:
    """A file name without the suffix of a compression.

    >>> strip_suffix("train-images-idx3-ubyte.GZ"), strip_suffix("train.images")
    ('train-images-idx3-ubyte', 'train.images')
    """
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def is_compressed_name(name: str) -> bool:
    """Whether a file name has the suffix of a compression."""
    return strip_suffix(name) != name
