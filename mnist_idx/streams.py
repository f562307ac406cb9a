"""Seekable streams of bytes, and what stands on top of them: slices, decompression, checksums.

A member of an archive is read through a stack of them, for example

    HashedFile            the content, compared with its published digest
      DecompressedFile    what the member holds, decompressed
        FileSlice         the member, a range of the archive
          LocalFile       the archive; or a `remote.RemoteFile`

Each layer reads the one below, and closes it. No layer keeps more than a few hundred kB.
"""

import hashlib
import io
import os
import platform
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import quote

from zlib_ng import zlib_ng

from .byte_ranges import Version
from .compressions import MAGIC_LENGTH, MEMORY_LIMIT, Compression, Decompressor, find_compression
from .errors import DamagedError, IdxError, TransferError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 256 << 10
LARGEST_READ = 1 << 20  # bytes of a local file that are read at once
# Seek points are at least this many bytes apart, and at most this many are kept.
SEEK_POINT_BYTES = 256 << 10
MAX_SEEK_POINTS = 64
SPARE_BYTES = 16 << 10  # requested beyond what the average ratio predicts for a range
# The content of a file that cannot be read backwards is kept in memory up to the first size, and
# on disk up to the second.
SPOOL_MEMORY_BYTES = 64 << 20
SPOOL_BYTES = 1 << 30


class Stream(io.RawIOBase):
    """Base of the package's seekable, read-only binary streams.

    A subclass implements `read_some`, `go_to` and `tell`, which raises a ValueError once the stream
    is closed. Everything that reads files reads it.

    Attributes:
        size: of the stream in bytes; None as long as it is unknown.
        seek_cost: how many bytes can be read in the time that going to another position takes.
    """

    size: int | None = None
    seek_cost: int = 256 << 10

    def read_some(self, size: int) -> bytes:
        """Read at most `size` bytes, `size` > 0. At least one, unless the stream has ended."""
        raise NotImplementedError

    def go_to(self, position: int) -> None:
        """Go to a position, at least 0. Of one behind the end, nothing can be read."""
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """What tells the file from another one that takes its place; "" if unknown."""
        return ""

    @property
    def version(self) -> Version | None:
        """What tells a remote file from another one; None for other streams."""
        return None

    def expect_end(self, position: int) -> None:
        """Hint that nothing from `position` on is read soon."""

    def expect_whole(self) -> None:
        """Hint that the file is read from here to its end."""

    def check_unchanged(self) -> None:
        """Raise a `TransferError` if the file is not the one that was opened."""

    def finish(self) -> None:
        """Check what only the end of the content tells. Called where reading has reached the end.

        Checksums cover what was read from the start without a gap; of a part they tell nothing.

        Raises:
            DamagedError: the checksum is another one, or more data follows.
        """

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        self.check_open()
        if size is None or size < 0:
            return self.readall()
        return self.read_some(size) if size > 0 else b""

    def readall(self) -> bytes:
        self.check_open()
        content = bytearray()
        while data := self.read_some(CHUNK_BYTES):
            content += data
        return bytes(content)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self.check_open()
        start = self.tell()
        position = offset
        if whence == io.SEEK_CUR:
            position += start
        elif whence == io.SEEK_END:
            position += self._end()
        elif whence != io.SEEK_SET:
            raise ValueError(f"whence={whence}: expected 0, 1 or 2")
        if position < 0:
            self.go_to(start)  # To find the end may have taken it elsewhere.
            raise OSError(f"cannot seek to {position}, before the start")
        self.go_to(position)
        return self.tell()

    def _end(self) -> int:
        """The size of the stream. If it is unknown, everything is read to find it."""
        if self.size is None:
            self.go_to(0)
            while self.read_some(CHUNK_BYTES):
                pass
            self.size = self.tell()
        return self.size

    def check_open(self) -> None:
        """Raise a ValueError if the stream is closed."""
        if self.closed:
            raise ValueError("I/O operation on closed file")


def read_fully(stream: Stream, size: int) -> bytes | bytearray:
    """Read `size` bytes, fewer only where the stream ends. Memory grows with what arrives."""
    data = stream.read(min(size, CHUNK_BYTES * 4))
    if len(data) == size or not data:
        return data
    content = bytearray(data)
    while len(content) < size:
        data = stream.read(min(size - len(content), CHUNK_BYTES * 4))
        if not data:
            break
        content += data
    return content


class Closable(Protocol):
    def close(self) -> None: ...


@contextmanager
def closed_on_error(file: Closable) -> Iterator[None]:
    """Close a file if the body of the `with` statement fails."""
    try:
        yield
    except BaseException:
        file.close()
        raise


class LocalFile(Stream, io.FileIO):
    """A regular file of the local disk. Pipes and devices, which may never end, are refused.

    As a `FileIO` it warns if nobody closes it.
    """

    seek_cost = 4 << 10

    def __init__(self, path: str) -> None:
        with local_errors(path):
            if not stat.S_ISREG(os.stat(path).st_mode):
                found = "a folder" if os.path.isdir(path) else "a pipe or a device"
                raise IdxError(f"{path}: found {found}, expected a file.")
            super().__init__(path)
            self.size = os.fstat(self.fileno()).st_size
            self._opened_as = self._stamp()

    def read_some(self, size: int) -> bytes:
        with local_errors(str(self.name)):
            # It takes memory for all that is asked for.
            return io.FileIO.read(self, min(size, LARGEST_READ)) or b""

    def go_to(self, position: int) -> None:
        io.FileIO.seek(self, position)

    @property
    def identity(self) -> str:
        return self._opened_as

    def check_unchanged(self) -> None:
        if self._stamp() != self._opened_as:
            raise TransferError(
                f"{self.name}: the file has changed while it was read. Load it again."
            )

    def _stamp(self) -> str:
        """What changes when the file is written to."""
        facts = os.fstat(self.fileno())
        machine = quote(platform.node())
        return f"{machine} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def is_other_file(found: str, expected: str) -> bool:
    """Whether two identities of local files are of one machine, and of different files.

    Another machine may have a copy of the file, which looks different in every respect.
    """
    return found != expected and found.partition(" ")[0] == expected.partition(" ")[0]


@contextmanager
def local_errors(path: str) -> Iterator[None]:
    """Raise an error of the local disk as a `TransferError`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # raised by a signal handler of the program, such as a time limit
            raise
        title = error.filename or path
        raise TransferError(f"{title}: cannot be read: {error.strerror}.") from error


class WrappedFile(Stream):
    """A stream on top of another, which it closes. By itself it changes nothing."""

    def __init__(self, file: Stream) -> None:
        self._file = file
        self.size = file.size
        self.seek_cost = file.seek_cost

    @property
    def identity(self) -> str:
        return self._file.identity

    def read_some(self, size: int) -> bytes:
        return self._file.read(size)

    def go_to(self, position: int) -> None:
        self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()

    def expect_end(self, position: int) -> None:
        self._file.expect_end(position)

    def expect_whole(self) -> None:
        self._file.expect_whole()

    def check_unchanged(self) -> None:
        self._file.check_unchanged()

    def finish(self) -> None:
        self._file.finish()

    def close(self) -> None:
        self._file.close()
        super().close()


class FileSlice(WrappedFile):
    """A part of a stream as a stream of its own. `title` is what error messages call it."""

    def __init__(self, file: Stream, offset: int, size: int | None, title: str) -> None:
        super().__init__(file)
        self._offset = offset
        self.size = size
        if file.size is not None:
            available = max(0, file.size - offset)
            is_whole_file = offset == 0
            if size is None:
                self.size = available
            elif size > available or (is_whole_file and size < available):
                found = f"found a file of {file.size:,} bytes, expected {offset + size:,}"
                raise DamagedError(f"{title}: {found}. Fetch it again.")
        self.go_to(0)
        if self.size is not None:
            self.expect_end(self.size)

    def read_some(self, size: int) -> bytes:
        if self.size is not None:
            size = min(size, max(0, self.size - self.tell()))
        return self._file.read(size)

    def go_to(self, position: int) -> None:
        self._file.seek(self._offset + position)

    def tell(self) -> int:
        return self._file.tell() - self._offset

    def expect_end(self, position: int) -> None:
        end = position if self.size is None else min(position, self.size)
        self._file.expect_end(self._offset + end)

    def finish(self) -> None:
        """The end of a slice tells nothing of the file that it is in."""


class Digest(Protocol):
    """What computes a checksum, as the objects of `hashlib` do."""

    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class Crc32:
    """CRC-32 with the interface of `hashlib`."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        self._value = zlib_ng.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


ALGORITHMS: dict[str, Callable[[], Digest]] = {
    "crc32": Crc32,
    "sha256": hashlib.sha256,
}


class HashedFile(WrappedFile):
    """Hashes the bytes that are read from the start without a gap.

    At the end, `finish` compares the digest with the expected one, if there is one.
    """

    def __init__(
        self, file: Stream, algorithm: str, expected: str | None = None, title: str = ""
    ) -> None:
        super().__init__(file)
        self._algorithm = algorithm
        self._expected = expected
        self._title = title
        self._digest = ALGORITHMS[algorithm]()
        self._hashed_bytes = 0
        self.go_to(0)

    def read_some(self, size: int) -> bytes:
        start = self.tell()
        data = self._file.read(size)
        end = start + len(data)
        if start <= self._hashed_bytes < end:
            self._digest.update(memoryview(data)[self._hashed_bytes - start :])
            self._hashed_bytes = end
        return data

    def go_to(self, position: int) -> None:
        if position == 0:
            self._digest = ALGORITHMS[self._algorithm]()
            self._hashed_bytes = 0
        self._file.seek(position)

    def hexdigest(self) -> str:
        """The digest of what was read so far."""
        return self._digest.hexdigest()

    def finish(self) -> None:
        has_hashed_all = self._hashed_bytes == self.tell()
        if self._expected is not None and has_hashed_all:
            self._check(self._expected)
        self._file.finish()

    def _check(self, expected: str) -> None:
        is_of_archive = self._algorithm == "crc32"
        verdict = "The archive is damaged" if is_of_archive else "It is not the published file"
        if self.size is not None and self._hashed_bytes != self.size:
            found = f"found a size of {self._hashed_bytes:,} bytes, expected {self.size:,}"
        elif self.hexdigest() != expected:
            found = f"found {self._algorithm} {self.hexdigest()}, expected {expected}"
        else:
            return
        raise DamagedError(f"{self._title}: {found}. {verdict}: fetch it again.")


class SeekPoint(NamedTuple):
    """A saved state of a decompressor, from which reading can resume."""

    position: int  # in the content
    compressed_position: int
    decompressor: Decompressor | None  # to be copied; None for a new one, at the start


class SeekPoints:
    """The seek points of a file, which threads that read it share."""

    def __init__(self) -> None:
        self._points = [SeekPoint(0, 0, None)]
        self._spacing = SEEK_POINT_BYTES
        self.seeking = threading.Lock()

    def before(self, position: int) -> SeekPoint:
        """The last seek point at or before a position of the content."""
        last = self._points[0]
        for point in self._points:
            if point.position > position:
                break
            last = point
        return last

    def add(self, position: int, compressed_position: int, decompressor: Decompressor) -> None:
        """Add a seek point, if it is far enough from the last one."""
        if position < self._points[-1].position + self._spacing:
            return
        state = decompressor.copy()  # type: ignore[attr-defined]  # see `Compression`
        # Always a new list: another thread may be reading the old one.
        self._points = [*self._points, SeekPoint(position, compressed_position, state)]
        if len(self._points) > MAX_SEEK_POINTS:
            self._points = self._points[::2]
            self._spacing *= 2


class DecompressedFile(WrappedFile):
    """The decompressed content of a stream. Memory stays bounded, whatever the content.

    Seek points, shared with other readers of the same file, make any order of ranges cheap. Where
    a compression has none, going back starts again from the beginning.
    """

    def __init__(
        self,
        compressed: Stream,
        compression: Compression,
        title: str,
        seek_points: SeekPoints | None = None,
        size: int | None = None,
    ) -> None:
        super().__init__(compressed)
        self.size = size
        self.seek_cost = Stream.seek_cost
        self._compression = compression
        self._title = title
        self._position = 0
        self._decompressor = compression.new_decompressor()
        self._seek_points = SeekPoints() if seek_points is None else seek_points
        self._expected_end: int | None = None

    def tell(self) -> int:
        self.check_open()
        return self._position

    def go_to(self, position: int) -> None:
        """Go to a position. One behind the end is the end."""
        # Waiting readers reuse the seek points that this one makes.
        with self._seek_points.seeking:
            point = self._seek_points.before(position)
            if position < self._position or point.position > self._position:
                self._resume_at(point)
            while self._position < position:
                if not self.read_some(min(position - self._position, CHUNK_BYTES)):
                    break

    def expect_end(self, position: int) -> None:
        self._expected_end = position

    def read_some(self, size: int) -> bytes:
        content = b""
        while not content:
            if self._decompressor.eof and not self._start_next_stream():
                break
            data = self._read_compressed() if self._decompressor.needs_input else b""
            try:
                content = self._decompressor.decompress(data, size)
            except self._compression.errors as error:
                raise self._explain(error) from error
        self._position += len(content)
        if self._compression.has_seek_points:
            self._seek_points.add(self._position, self._file.tell(), self._decompressor)
        return content

    def finish(self) -> None:
        # Reading behind the content also checks the checksums of gzip and xz.
        if self.read_some(1):
            raise self._damaged("more data follows")
        self._file.finish()

    def _resume_at(self, point: SeekPoint) -> None:
        self._position = point.position
        if point.decompressor is None:
            self._decompressor = self._compression.new_decompressor()
        else:
            self._decompressor = point.decompressor.copy()  # type: ignore[attr-defined]
        self._file.seek(point.compressed_position)

    def _read_compressed(self) -> bytes:
        if self._expected_end is not None:
            self._predict_compressed_end(self._expected_end - self._position)
        data = self._file.read(CHUNK_BYTES)
        if not data:
            raise self._damaged("it ends too early")
        return data

    def _predict_compressed_end(self, missing: int) -> None:
        """Predict how many compressed bytes the missing ones take, by the ratio so far."""
        if missing > 0 and self._position > 0:
            compressed = self._file.tell()
            predicted = missing * compressed // self._position
            self._file.expect_end(compressed + predicted + SPARE_BYTES)

    def _explain(self, error: Exception) -> IdxError:
        """What an error of the decompressor means."""
        limit_error = self._compression.limit_error
        if limit_error is None or limit_error not in str(error):
            return self._damaged(str(error))
        found = f"the {self._compression.name} data takes more memory to decompress than the limit"
        limit = f"of {MEMORY_LIMIT >> 20} MiB"
        return IdxError(f"{self._title}: {found} {limit}. {self._compression.limit_advice}.")

    def _damaged(self, reason: str) -> DamagedError:
        position = f"after {self._position:,} decompressed bytes"
        found = f"the {self._compression.name} data is damaged {position} ({reason})"
        return DamagedError(f"{self._title}: {found}. Fetch it again.")

    def _start_next_stream(self) -> bool:
        """Go on to the next of several concatenated streams. False at the end of the file."""
        rest = self._decompressor.unused_data
        while not rest.strip(b"\0"):  # gzip files may be padded with zeros
            rest = self._file.read(CHUNK_BYTES)
            if not rest:
                return False
        if not self._compression.magic:
            raise self._damaged("more data follows its end")
        self._file.seek(self._file.tell() - len(rest.lstrip(b"\0")))
        self._decompressor = self._compression.new_decompressor()
        return True


def detect_compression(stream: Stream) -> Compression | None:
    """The compression of a stream by its first bytes, None if it is not. Rewinds the stream."""
    head = bytes(read_fully(stream, MAGIC_LENGTH))
    stream.seek(0)
    return find_compression(head)


class Spool:
    """The content of a stream, kept as far as it was read, for any number of readers.

    It is of one process: a forked one must neither use nor close it.
    """

    def __init__(self, stream: Stream, open_again: Callable[[], Stream], title: str) -> None:
        self.stream = stream
        self._title = title
        self._identity = stream.identity
        self._open_again = open_again
        self._kept = tempfile.SpooledTemporaryFile(SPOOL_MEMORY_BYTES)
        self._length = 0
        self._is_full = False
        self._has_ended = False
        self._lock = threading.Lock()

    def read_at(self, position: int, size: int) -> bytes | None:
        """Bytes from `position` on, b"" at the end; None if the spool does not have them."""
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
                self._reopen()
            self.stream.seek(self._length)
            data = self.stream.read(CHUNK_BYTES)
        except BaseException:
            self.stream.close()
            raise
        try:
            self._kept.seek(self._length)
            self._kept.write(data)
        except OSError:  # The disk is full.
            self._is_full = True
            return
        self._length += len(data)
        self._has_ended = not data
        self._is_full = self._length >= SPOOL_BYTES

    def _reopen(self) -> None:
        """Go on with another stream of the same file. What is kept is not that of another one."""
        self.stream = self._open_again()
        if self.stream.identity != self._identity:
            found = "the file has changed while it was read"
            raise TransferError(f"{self._title}: {found}. Load it again.")

    def close(self) -> None:
        self.stream.close()
        self._kept.close()


class SpooledFile(Stream):
    """A reader of a spool. Behind what the spool keeps, it has a stream of its own.

    Args:
        keeper: closes the spool when it is gone, so it must not go before this reader.
    """

    def __init__(self, spool: Spool, open_stream: Callable[[], Stream], keeper: object) -> None:
        self._spool = spool
        self._keeper = keeper
        self._open_stream = open_stream
        self._own: Stream | None = None
        self._position = 0

    @property
    def identity(self) -> str:
        return self._spool.stream.identity

    def read_some(self, size: int) -> bytes:
        data = self._spool.read_at(self._position, size)
        if data is None:
            data = self._read_own(size)
        self._position += len(data)
        return data

    def go_to(self, position: int) -> None:
        """Go to a position. One behind the end is the end, as in other decompressed streams."""
        self._position = min(self._position, position)
        while self._position < position:
            if not self.read_some(min(position - self._position, CHUNK_BYTES)):
                break

    def tell(self) -> int:
        self.check_open()
        return self._position

    def check_unchanged(self) -> None:
        self._spool.stream.check_unchanged()

    def close(self) -> None:
        if self._own is not None:
            self._own.close()
        super().close()

    def _read_own(self, size: int) -> bytes:
        if self._own is None:
            self._own = self._open_stream()
        if self._own.tell() != self._position:
            self._own.seek(self._position)
        return self._own.read(size)
