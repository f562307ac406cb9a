"""The unpacked content of a packed stream, from any place, in bounded pieces."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from typing import Any, NamedTuple

from zlib_ng import zlib_ng

from .idx import IdxError
from .layers import Layer

PIECE_BYTES = 1 << 18
# Where unpacking can start again: at least so many bytes apart, at most so many places.
CHECKPOINT_BYTES = 1 << 20
MAX_CHECKPOINTS = 64
XZ_MEMORY_LIMIT = 128 << 20
MAGIC_NUMBERS = {b"\x1f\x8b\x08": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}


def detect_packing(stream: Layer) -> str:
    """How the content of a stream is packed: "gzip", "bzip2", "xz", or "" for not at all. The stream is rewound."""
    head = b""
    while len(head) < 6 and (data := stream.read(6 - len(head))):
        head += data
    stream.seek(0)
    return next((packing for magic, packing in MAGIC_NUMBERS.items() if head.startswith(magic)), "")


# What decompressors raise on damaged data.
DAMAGE: tuple[type[Exception], ...] = (zlib_ng.error, lzma.LZMAError, OSError, EOFError)  # type: ignore[assignment]


class Inflater:
    """`zlib_ng`'s decompressor with the interface that those of `bz2` and `lzma` have."""

    def __init__(self, wbits: int) -> None:
        self._inflate = zlib_ng.decompressobj(wbits)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    @property
    def needs_input(self) -> bool:
        return not (self._full or self._inflate.unconsumed_tail)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        content = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self._full = len(content) == max_length
        return content

    def copy(self) -> Inflater:
        twin = Inflater.__new__(Inflater)
        twin._inflate, twin._full = self._inflate.copy(), self._full  # type: ignore[attr-defined]  # it is there
        return twin


DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: Inflater(31),
    "deflate": lambda: Inflater(-15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_LIMIT),
}


class Checkpoint(NamedTuple):
    """The state of an `Unpacker`."""

    position: int
    below: int
    decompressor: Any


class Unpacker(Layer):
    """The unpacked content of a packed stream, a bounded piece at a time.

    It remembers how to go on from some of the places it has been at, so that records can be read in any order at the
    cost of unpacking little more than the records themselves. The decompressors of bzip2 and xz cannot be copied:
    there, going back means starting again.
    """

    def __init__(self, below: Layer, packing: str, name: str) -> None:
        super().__init__(below)
        self._packing = packing
        self._name = name
        self._new = DECOMPRESSORS[packing]
        self._position = 0
        self._decompressor = self._new()
        self._checkpoints: list[Checkpoint] = []
        self._spacing = CHECKPOINT_BYTES

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, /) -> None:
        start = next((mark for mark in reversed(self._checkpoints) if mark.position <= position), None)
        if position < self._position or (start is not None and start.position > self._position):
            self._resume(start)
        while self._position < position:
            if not self.read(min(position - self._position, PIECE_BYTES)):
                break

    def read(self, size: int, /) -> bytes:
        try:
            content = self._unpack(size)
        except DAMAGE as error:
            raise IdxError(
                f"{self._name}: the {self._packing} data is damaged after {self._position:,} unpacked bytes ({error}). "
                'Fetch it again (download_mode="force_redownload").'
            ) from error
        self._position += len(content)
        if self._position >= (self._checkpoints[-1].position if self._checkpoints else 0) + self._spacing:
            self._remember()
        return content

    def _unpack(self, size: int) -> bytes:
        while size > 0:
            if self._decompressor.eof and not self._next_part():
                break
            data = b""
            if self._decompressor.needs_input:
                data = self._below.read(PIECE_BYTES)
                if not data:
                    raise EOFError("it ends too early")
            content = self._decompressor.decompress(data, size)
            if content:
                return content
        return b""

    def _next_part(self) -> bool:
        """Go on to the next of the parts that a packed file may be made of; False where there is none."""
        rest = self._decompressor.unused_data
        while not rest.strip(b"\0"):  # gzip files may be padded with zeros
            rest = self._below.read(PIECE_BYTES)
            if not rest:
                return False
        rest = rest.lstrip(b"\0")
        if self._packing == "deflate":
            raise EOFError("more data follows its end")
        self._below.seek(self._below.tell() - len(rest))
        self._decompressor = self._new()
        return True

    def _resume(self, start: Checkpoint | None) -> None:
        self._position, below = (start.position, start.below) if start else (0, 0)
        self._decompressor = start.decompressor.copy() if start else self._new()
        self._below.seek(below)

    def _remember(self) -> None:
        if not hasattr(self._decompressor, "copy"):
            return
        self._checkpoints.append(Checkpoint(self._position, self._below.tell(), self._decompressor.copy()))
        if len(self._checkpoints) > MAX_CHECKPOINTS:
            self._checkpoints = self._checkpoints[1::2]
            self._spacing *= 2
