"""The bytes of one member: local or remote, sliced from its archive, decompressed and verified on
the way.
"""

import hashlib
import io
import os
import platform
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

from datasets import DownloadConfig
from zlib_ng import zlib_ng

from .compression import (
    CHUNK_BYTES,
    DecompressedFile,
    SeekPoints,
    Spool,
    SpooledFile,
    WrappedFile,
    can_go_back,
    detect_compression,
)
from .errors import DamagedError, IdxError, TransferError
from .idx import Stream, closed_on_error
from .places import is_remote
from .ranges import Version
from .remote import MAX_REQUEST, RemoteFile

LEVELS = (
    "member",
    "zip",
    "container",
)  # what may be compressed: a member, its part of a zip, the tar as a whole


class Member(NamedTuple):
    """Location of one file inside an archive, folder or URL, and what is known about it.

    Picklable.
    """

    path: str  # local path or URL of the file that holds the member
    name: str  # in the archive; the path itself for a file of its own
    offset: int = 0  # in bytes; in the decompressed file if `compression` is set
    size: int | None = None  # bytes as stored; None: to the end of the file
    file_size: int | None = None  # of the file that holds the member, saves a request
    compression: str = ""  # of that file as a whole: "", "gzip", "bzip2" or "xz"
    inflated_size: int | None = None  # bytes of a member that a zip has deflated
    crc32: int | None = None  # checksum that a zip has of the member
    published_size: int | None = None  # bytes of the published, compressed file
    sha256: str = ""  # of the published, compressed file; checked if the member has that size
    content_sha256: str = ""  # of the decompressed content
    problem: str = ""  # why the member cannot be read
    url: str = ""  # from where the file at `path` was downloaded
    version: Version | None = None  # of the file, when it was found
    is_named: bool = (
        True  # whether the user named the source, which then gets the storage options and the token
    )

    @property
    def title(self) -> str:
        """What error messages call the member."""
        place = self.url or self.path
        return place if self.name in (place, self.path) else f"{self.name} in {place}"

    def has_known_sha256(self, size: int | None) -> bool:
        """Whether `sha256` must match: the size is the published one, or no digest of the content
        is known.
        """
        return bool(self.sha256) and (size == self.published_size or not self.content_sha256)


class SplitFiles(NamedTuple):
    """The members of a split. Picklable."""

    images: Member
    labels: Member | None = None
    num_records: int = 0  # that the split must have, where known
    record_bytes: int = 0  # of an image and its label, where known
    source: int = 0  # number of the mirror in which they were found
    failures: tuple[str, ...] = ()  # why the mirrors before it cannot be used

    @property
    def members(self) -> list[Member]:
        return [self.images] if self.labels is None else [self.images, self.labels]


class Access:
    """How files are opened: with the token and the options of the user, and with what was already
    decompressed.

    A pickled one has decompressed nothing.
    """

    def __init__(self, download_config: DownloadConfig | None = None) -> None:
        self.download_config = download_config
        self._spools: dict[tuple[int, str, str], Spool] = {}  # by process, path and compression

    def __reduce__(self) -> Any:
        return Access, (self.download_config,)

    def open_container(
        self, path: str, compression: str, title: str, open_compressed: Callable[[], Stream]
    ) -> Stream:
        """The content of a compressed archive, which is decompressed once if it can only be read
        forwards.
        """

        def open_stream() -> Stream:
            compressed = open_compressed()
            with closed_on_error(compressed):
                return DecompressedFile(compressed, compression, title)

        key = (os.getpid(), path, compression)
        if key not in self._spools:
            self._spools[key] = Spool(open_stream)
        return SpooledFile(self._spools[key], open_stream)


def open_member(
    member: Member, access: Access, seek_points: Mapping[str, SeekPoints] = {}
) -> Stream:
    """Open the decompressed content of a member.

    The first bytes tell how a member is compressed, not its name. Checksums are checked at the end
    of a read that goes from start to end without a gap; a read of a part cannot check them. Readers
    of the same member share `seek_points`.
    """
    stored = open_stored(member, access, seek_points)
    with closed_on_error(stored):
        return open_content(stored, member, seek_points)


def open_stored(
    member: Member, access: Access, seek_points: Mapping[str, SeekPoints] = {}
) -> Stream:
    """Open a member as it was put into the archive, still compressed if it was."""
    if member.problem:
        raise IdxError(f"{member.title}: {member.problem}")
    file = open_container(member, access, seek_points)
    with closed_on_error(file):
        stored: Stream = FileSlice(file, member.offset, member.size, member.title)
        if member.inflated_size is not None:
            stored = DecompressedFile(stored, "deflate", member.title, seek_points.get("zip"))
            stored.size = member.inflated_size
        if member.crc32 is not None:
            stored = HashedFile(stored, "crc32", f"{member.crc32:08x}", member.title)
        if member.has_known_sha256(stored.size):
            stored = HashedFile(stored, "sha256", member.sha256, member.title)
        return stored


def open_container(member: Member, access: Access, seek_points: Mapping[str, SeekPoints]) -> Stream:
    """Open the file that holds a member, decompressed if it is compressed as a whole."""
    config = access.download_config if member.is_named else None

    def open_compressed() -> Stream:
        return open_file(member.path, config, member.file_size, member.version)

    if not member.compression:
        return open_compressed()
    title = member.url or member.path
    if not can_go_back(member.compression):
        return access.open_container(member.path, member.compression, title, open_compressed)
    compressed = open_compressed()
    with closed_on_error(compressed):
        return DecompressedFile(compressed, member.compression, title, seek_points.get("container"))


def open_content(
    stored: Stream, member: Member, seek_points: Mapping[str, SeekPoints] = {}
) -> Stream:
    """The content of a stored member: decompressed, if it is compressed."""
    content = stored
    if compression := detect_compression(stored):
        content = DecompressedFile(stored, compression, member.title, seek_points.get("member"))
    if member.content_sha256 and not member.has_known_sha256(stored.size):
        content = HashedFile(content, "sha256", member.content_sha256, member.title)
    return content


def verify_member(member: Member, access: Access) -> Member:
    """Check the checksums of a whole member.

    Reading the returned one checks only those that a zip has.
    """
    with open_stored(member, access) as stored:
        content = stored if member.has_known_sha256(stored.size) else open_content(stored, member)
        while content.read(CHUNK_BYTES):
            pass
    return member._replace(sha256="", content_sha256="")


def open_file(
    path: str,
    config: Any = None,
    size: int | None = None,
    version: Version | None = None,
    max_request: int = MAX_REQUEST,
) -> Stream:
    if is_remote(path):
        return RemoteFile(path, config, size, version, max_request)
    file = LocalFile(path)
    with closed_on_error(file):
        if version is not None and is_other_file(file.identity, version.validator):
            raise TransferError(f"{path}: the file has changed since it was found. Load it again.")
    return file


def is_other_file(found: str, expected: str) -> bool:
    """Whether two identities of local files are of one machine, and of different files.

    Another machine may have a copy of the file, which looks different in every respect.
    """
    return found != expected and found.partition(" ")[0] == expected.partition(" ")[0]


class LocalFile(io.FileIO, Stream):
    """A regular file of the local disk. Pipes and devices, which may never end, are refused."""

    seek_cost = 4 << 10

    def __init__(self, path: str) -> None:
        with translated(path):
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise IdxError(f"{path}: found {_kind_of(path)}, expected a file.")
            super().__init__(path)
            self.size = self.seek(0, io.SEEK_END)
            self.seek(0)
            self._opened_as = self._stamp()

    def read(self, size: int | None = -1, /) -> bytes:
        with translated(self.name):
            return super().read(size) or b""

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
        place = quote(platform.node())
        return f"{place} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def _kind_of(path: str) -> str:
    return "a folder" if os.path.isdir(path) else "a pipe or a device"


@contextmanager
def translated(path: Any) -> Iterator[None]:
    """Raise a local error as a `TransferError`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # raised by a signal handler of the program, such as a time limit
            raise
        raise TransferError(
            f"{error.filename or path}: cannot be read: {error.strerror}."
        ) from error


class FileSlice(WrappedFile):
    """A part of a stream as a stream of its own."""

    def __init__(self, file: Stream, offset: int, size: int | None, name: str) -> None:
        super().__init__(file)
        self._offset = offset
        available = size if file.size is None else max(0, file.size - offset)
        self.size = available if size is None else size
        if (
            available is not None
            and size is not None
            and (size > available or (offset == 0 and size < available))
        ):
            raise DamagedError(
                f"{name}: found a file of {file.size:,} bytes, expected {offset + size:,}. Fetch it again."
            )
        self.seek(0)
        if self.size is not None:
            self.expect_end(self.size)

    def read(self, size: int = -1, /) -> bytes:
        if self.size is not None:
            rest = max(0, self.size - self.tell())
            size = rest if size < 0 else min(size, rest)
        return super().read(size) if size else b""

    def seek(self, position: int, whence: int = 0, /) -> int:
        return super().seek(self._offset + position) - self._offset

    def tell(self) -> int:
        return super().tell() - self._offset

    def expect_end(self, position: int) -> None:
        super().expect_end(self._offset + min(position, self.size or position))


class Crc32:
    """CRC-32 with the interface of `hashlib`."""

    value = 0

    def update(self, data: Any) -> None:
        self.value = zlib_ng.crc32(data, self.value)

    def hexdigest(self) -> str:
        return f"{self.value:08x}"


class HashedFile(WrappedFile):
    """Computes the digest of what is read from the start without a gap, and checks it at the end if
    it is known.
    """

    def __init__(
        self, file: Stream, algorithm: str = "sha256", expected: str = "", name: str = ""
    ) -> None:
        super().__init__(file)
        self._algorithm = algorithm
        self._expected = expected
        self._name = name
        self._hashed_bytes = 0
        self.seek(0)

    def read(self, size: int = -1, /) -> bytes:
        start = self.tell()
        data = super().read(size)
        if start <= self._hashed_bytes < start + len(data):
            self._hash.update(memoryview(data)[self._hashed_bytes - start :])
            self._hashed_bytes = start + len(data)
        is_complete = (
            self.size is not None and self._hashed_bytes >= self.size
            if data
            else start == self._hashed_bytes
        )
        if self._expected and is_complete and size != 0:
            kind, found, expected = self._algorithm, self.hexdigest(), self._expected
            if self.size not in (None, self._hashed_bytes):
                kind, found, expected = (
                    "a size of",
                    f"{self._hashed_bytes:,} bytes",
                    f"{self.size:,}",
                )
            if found != expected:
                verdict = (
                    "The archive is damaged"
                    if self._algorithm == "crc32"
                    else "It is not the published file"
                )
                raise DamagedError(
                    f"{self._name}: found {kind} {found}, expected {expected}. {verdict}: fetch it again."
                )
        return data

    def seek(self, position: int, whence: int = 0, /) -> int:
        if position == 0:
            self._hash: Any = (
                Crc32() if self._algorithm == "crc32" else hashlib.new(self._algorithm)
            )
            self._hashed_bytes = 0
        return super().seek(position)

    def hexdigest(self) -> str:
        return str(self._hash.hexdigest())
