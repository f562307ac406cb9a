"""What packs content in each of the compressions that the package reads, and unpacks it.

By the standard library alone. A test compares the names and the suffixes with those of the
package.
"""

import bz2
import functools
import gzip
import lzma
import zlib
from collections.abc import Callable
from typing import NamedTuple

Pack = Callable[[bytes], bytes]


class Packer(NamedTuple):
    """How the standard library handles a compression."""

    suffixes: tuple[str, ...]  # of compressed files, the usual one first
    magic: tuple[bytes, ...]  # how a compressed file may start
    pack: Pack
    unpack: Pack


PACKERS = {
    "gzip": Packer(
        suffixes=(".gz", ".gzip"),
        magic=(b"\x1f\x8b\x08",),
        pack=functools.partial(gzip.compress, mtime=0),
        unpack=gzip.decompress,
    ),
    "bzip2": Packer(
        suffixes=(".bz2",),
        magic=(b"BZh",),
        pack=bz2.compress,
        unpack=bz2.decompress,
    ),
    "xz": Packer(
        suffixes=(".xz",),
        magic=(b"\xfd7zXZ\0",),
        pack=lzma.compress,
        unpack=functools.partial(lzma.decompress, format=lzma.FORMAT_XZ),
    ),
}
# By the suffix of the file; "" is a plain file.
PACKINGS: dict[str, Pack] = {"": bytes}
for packer in PACKERS.values():
    if packer.suffixes:
        PACKINGS[packer.suffixes[0]] = packer.pack


def deflate(content: bytes) -> bytes:
    """Content as the members of a zip are compressed."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


def unpack(data: bytes) -> bytes:
    """The content of a file that may be compressed."""
    for packer in PACKERS.values():
        if data.startswith(packer.magic):
            return packer.unpack(data)
    return data
