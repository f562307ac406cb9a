"""gzip, bzip2, xz and deflate as seekable streams."""

import bz2
import lzma
import os
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from zlib_ng import zlib_ng

from .errors import DamagedError
from .idx import Stream, read_fully

CHUNK_BYTES = 1 << 18
# Seek points are at least this many bytes apart, and at most this many are kept.
SEEK_POINT_BYTES = 1 << 18
MAX_SEEK_POINTS = 64
SPARE_BYTES = 16 << 10  # requested beyond what the average ratio predicts for a range
# The content of a file that cannot be read backwards is kept, in memory up to the first size, on
# disk up to the second.
SPOOL_MEMORY_BYTES = 64 << 20
SPOOL_BYTES = 1 << 30
XZ_MEMORY_LIMIT = 128 << 20
MAGIC_NUMBERS = {b"\x1f\x8b\x08": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
# What decompressors raise on damaged data.
# type: ignore[assignment]
DAMAGE: tuple[type[Exception], ...] = (zlib_ng.error, lzma.LZMAError, OSError, EOFError)


def detect_compression(stream: Stream) -> str:
    """Detect by the first bytes of a stream how it is compressed: "gzip", "bzip2", "xz" or "".
    Rewinds the stream.
    """
    head = bytes(read_fully(stream, 6))
    stream.seek(0)
    return next((name for magic, name in MAGIC_NUMBERS.items() if head.startswith(magic)), "")


class ZlibDecompressor:
    """`zlib_ng`'s decompressor with the interface of those in `bz2` and `lzma`."""

    def __init__(self, inflate: Any, needs_input: bool = True) -> None:
        self._inflate = inflate
        self.needs_input = needs_input

    eof = property(lambda self: self._inflate.eof)
    unused_data = property(lambda self: self._inflate.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        content = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self.needs_input = len(content) < max_length and not self._inflate.unconsumed_tail
        return content

    def copy(self) -> "ZlibDecompressor":
        return ZlibDecompressor(self._inflate.copy(), self.needs_input)


DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: ZlibDecompressor(zlib_ng.decompressobj(31)),
    "deflate": lambda: ZlibDecompressor(zlib_ng.decompressobj(-15)),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_LIMIT),
}


class SeekPoints:
    """Where decompression of a file can start: positions in both streams, and the decompressor.

    Threads share them.
    """

    def __init__(self) -> None:
        self._points: list[tuple[int, int, Any]] = [(0, 0, None)]
        self._spacing = SEEK_POINT_BYTES
        self.seeking = threading.Lock()

    def before(self, position: int) -> tuple[int, int, Any]:
        return next(point for point in reversed(self._points) if point[0] <= position)

    def add(self, position: int, compressed_position: int, decompressor: Any) -> None:
        """Add a seek point, if it is far enough from the last one and the decompressor can be
        copied.
        """
        if position >= self._points[-1][0] + self._spacing and hasattr(decompressor, "copy"):
            # Always a new list: another thread may be reading the old one.
            self._points = [*self._points, (position, compressed_position, decompressor.copy())]
        if len(self._points) > MAX_SEEK_POINTS:
            self._points = self._points[::2]
            self._spacing *= 2


class WrappedFile(Stream):
    """A stream on top of another, which it closes."""

    def __init__(self, file: Stream) -> None:
        self._file = file
        self.size = file.size
        self.seek_cost = file.seek_cost

    @property
    def identity(self) -> str:
        return self._file.identity

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size) or b""

    def seek(self, position: int, whence: int = 0, /) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()

    def expect_end(self, position: int) -> None:
        self._file.expect_end(position)

    def check_unchanged(self) -> None:
        self._file.check_unchanged()

    def close(self) -> None:
        self._file.close()
        super().close()


class DecompressedFile(WrappedFile):
    """The decompressed content of a stream. Memory stays bounded, whatever the content.

    Seek points, shared with other readers of the same file, make any order of ranges cheap for gzip
    and deflate. The decompressors of bzip2 and xz cannot be copied: there, going back starts again
    from the beginning.
    """

    def __init__(
        self, compressed: Stream, compression: str, name: str, seek_points: SeekPoints | None = None
    ) -> None:
        super().__init__(compressed)
        self.size = None
        self.seek_cost = Stream.seek_cost
        self._compression = compression
        self._name = name
        self._position = 0
        self._decompressor = DECOMPRESSORS[compression]()
        self._seek_points = seek_points or SeekPoints()
        self._expected_end = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = 0, /) -> int:
        with (
            self._seek_points.seeking
        ):  # Waiting readers reuse the seek points that this one makes.
            start, compressed_start, state = self._seek_points.before(position)
            if position < self._position or start > self._position:
                self._position = start
                self._decompressor = state.copy() if state else DECOMPRESSORS[self._compression]()
                self._file.seek(compressed_start)
            while self._position < position and self.read(
                min(position - self._position, CHUNK_BYTES)
            ):
                pass
        return self._position

    def expect_end(self, position: int) -> None:
        self._expected_end = position

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self.readall()
        content = b""
        while (
            size > 0
            and not content
            and not (self._decompressor.eof and not self._start_next_stream())
        ):
            data = self._read_compressed() if self._decompressor.needs_input else b""
            try:
                content = self._decompressor.decompress(data, size)
            except DAMAGE as error:
                raise self._damaged(error) from error
        self._position += len(content)
        self._seek_points.add(self._position, self._file.tell(), self._decompressor)
        return content

    def _read_compressed(self) -> bytes:
        compressed, missing = self._file.tell(), self._expected_end - self._position
        if (
            missing > 0 and self._position > 0
        ):  # Predict how many compressed bytes they take, by the ratio so far.
            self._file.expect_end(compressed + missing * compressed // self._position + SPARE_BYTES)
        data = self._file.read(CHUNK_BYTES) or b""
        if not data:
            raise self._damaged("it ends too early")
        return data

    def _damaged(self, reason: object) -> DamagedError:
        place = f"after {self._position:,} decompressed bytes"
        found = f"the {self._compression} data is damaged {place} ({reason})"
        return DamagedError(f"{self._name}: {found}. Fetch it again.")

    def _start_next_stream(self) -> bool:
        """Go on to the next of several concatenated streams. False at the end of the file."""
        rest = self._decompressor.unused_data
        while not rest.strip(b"\0"):  # gzip files may be padded with zeros
            if not (rest := self._file.read(CHUNK_BYTES)):
                return False
        if self._compression == "deflate":
            raise self._damaged("more data follows its end")
        self._file.seek(self._file.tell() - len(rest.lstrip(b"\0")))
        self._decompressor = DECOMPRESSORS[self._compression]()
        return True


def can_go_back(compression: str) -> bool:
    """Whether decompression can start at a seek point.

    Otherwise going back starts again from the beginning.
    """
    return hasattr(DECOMPRESSORS[compression](), "copy")


class Spool:
    """The content of a stream, kept as far as it was read, for any number of readers in one
    process.
    """

    def __init__(self, open_stream: Callable[[], Stream]) -> None:
        self.stream = open_stream()
        self._open_stream = open_stream
        self._process = os.getpid()
        self._kept = tempfile.SpooledTemporaryFile(SPOOL_MEMORY_BYTES)
        self._length = 0
        self._is_full = False
        self._has_ended = False
        self._lock = threading.Lock()

    def read_at(self, position: int, size: int) -> bytes | None:
        """Bytes from `position` on, none at the end. None if they are not kept."""
        with self._lock:
            while self._length <= position and not self._has_ended:
                if self._is_full:
                    return None
                self._extend()
            self._kept.seek(position)
            return self._kept.read(size)

    def _extend(self) -> None:
        try:
            if self.stream.closed:
                self.stream = self._open_stream()
            self.stream.seek(self._length)
            data = self.stream.read(CHUNK_BYTES)
        except BaseException:
            self.stream.close()
            raise
        try:
            self._kept.seek(self._length)
            self._kept.write(data or b"")
        except OSError:  # The disk is full.
            self._is_full = True
            return
        self._length += len(data or b"")
        self._has_ended = not data
        self._is_full = self._length >= SPOOL_BYTES

    def __del__(self) -> None:
        if self._process == os.getpid():
            self.stream.close()
            self._kept.close()


class SpooledFile(Stream):
    """A reader of a spool. Behind what the spool keeps, it has a stream of its own."""

    def __init__(self, spool: Spool, open_stream: Callable[[], Stream]) -> None:
        self._spool = spool
        self._open_stream = open_stream
        self._own: Stream | None = None
        self._position = 0

    @property
    def identity(self) -> str:
        return self._spool.stream.identity

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self.readall()
        data = self._spool.read_at(self._position, size)
        if data is None:
            if self._own is None:
                self._own = self._open_stream()
            if self._own.tell() != self._position:
                self._own.seek(self._position)
            data = self._own.read(size) or b""
        self._position += len(data)
        return data

    def seek(self, position: int, whence: int = 0, /) -> int:
        """Go to a position. One behind the end is the end, as in other decompressed streams."""
        while self._position < position and self.read(min(position - self._position, CHUNK_BYTES)):
            pass
        self._position = min(self._position, position)
        return self._position

    def tell(self) -> int:
        return self._position

    def check_unchanged(self) -> None:
        self._spool.stream.check_unchanged()

    def close(self) -> None:
        if self._own is not None:
            self._own.close()
        super().close()
