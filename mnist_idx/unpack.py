"""The unpacked content of a packed stream, from any place, in bounded pieces."""

from __future__ import annotations

import bz2
import lzma
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from zlib_ng import zlib_ng

from .idx import IdxError
from .layers import Layer

PIECE_BYTES = 1 << 18
# Where unpacking can start again: at least so many bytes apart, at most so many places.
CHECKPOINT_BYTES = 1 << 18
MAX_CHECKPOINTS = 64
# More than what the average of a packed stream says is needed for its next stretch.
SPARE_BYTES = 16 << 10
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


class Checkpoints:
    """Where the unpacking of a stream can start again, for all who read the same stream."""

    def __init__(self) -> None:
        self._marks: list[Checkpoint] = []
        self._spacing = CHECKPOINT_BYTES
        self._lock = threading.Lock()
        self.skipping = threading.Lock()

    def before(self, position: int) -> Checkpoint | None:
        """The last one that is not behind a position."""
        return next((mark for mark in reversed(self._marks) if mark.position <= position), None)

    def wanted(self, position: int) -> bool:
        return position >= (self._marks[-1].position if self._marks else 0) + self._spacing

    def add(self, mark: Checkpoint) -> None:
        with self._lock:
            if self.wanted(mark.position):
                self._marks = [*self._marks, mark]
            if len(self._marks) > MAX_CHECKPOINTS:
                self._marks = self._marks[1::2]
                self._spacing *= 2


class Unpacker(Layer):
    """The unpacked content of a packed stream, a bounded piece at a time.

    It remembers how to go on from some of the places it has been at, so that records can be read in any order at the
    cost of unpacking little more than the records themselves. The decompressors of bzip2 and xz cannot be copied:
    there, going back means starting again.

    Args:
        below: the packed stream.
        packing: how it is packed, one of `DECOMPRESSORS`.
        name: what messages call it.
        checkpoints: those of others who read the same stream.
    """

    def __init__(self, below: Layer, packing: str, name: str, checkpoints: Checkpoints | None = None) -> None:
        super().__init__(below)
        self._packing = packing
        self._name = name
        self._new = DECOMPRESSORS[packing]
        self._position = 0
        self._decompressor = self._new()
        self._checkpoints = checkpoints or Checkpoints()
        self._until = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, /) -> None:
        with self._checkpoints.skipping:  # what one has skipped, those who wait need not
            start = self._checkpoints.before(position)
            if position < self._position or (start is not None and start.position > self._position):
                self._resume(start)
            while self._position < position:
                if not self.read(min(position - self._position, PIECE_BYTES)):
                    break

    def until(self, position: int) -> None:
        self._until = position

    def read(self, size: int, /) -> bytes:
        try:
            content = self._unpack(size)
        except DAMAGE as error:
            raise IdxError(
                f"{self._name}: the {self._packing} data is damaged after {self._position:,} unpacked bytes ({error}). "
                'Fetch it again (download_mode="force_redownload").'
            ) from error
        self._position += len(content)
        if self._checkpoints.wanted(self._position) and hasattr(self._decompressor, "copy"):
            mark = Checkpoint(self._position, self._below.tell(), self._decompressor.copy())
            self._checkpoints.add(mark)
        return content

    def _unpack(self, size: int) -> bytes:
        while size > 0:
            if self._decompressor.eof and not self._next_part():
                break
            data = b""
            if self._decompressor.needs_input:
                self._limit_below()
                data = self._below.read(PIECE_BYTES)
                if not data:
                    raise EOFError("it ends too early")
            content = self._decompressor.decompress(data, size)
            if content:
                return content
        return b""

    def _limit_below(self) -> None:
        """Say how much is likely to be needed, judging by how well the stream has been packed so far."""
        below, missing = self._below.tell(), self._until - self._position
        if missing > 0 and self._position > 0:
            self._below.until(below + missing * below // self._position + SPARE_BYTES)

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
