"""Where the IDX files are: the members of archives and folders, and how they are opened."""

import os
import weakref
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .byte_ranges import LARGEST_REQUEST, Version
from .compressions import COMPRESSIONS, DEFLATE
from .errors import IdxError, TransferError
from .fetching import NO_OPTIONS, RemoteOptions
from .paths import is_remote
from .streams import (
    CHUNK_BYTES,
    DecompressedFile,
    FileSlice,
    HashedFile,
    LocalFile,
    SeekPoints,
    Spool,
    SpooledFile,
    Stream,
    closed_on_error,
    detect_compression,
    is_other_file,
)


class Member(NamedTuple):
    """Where one file is, inside an archive, in a folder or at a URL, and what is known of it.

    Picklable and hashable.
    """

    path: str  # local path or URL of the file that holds the member
    name: str  # in the archive; the path itself for a file of its own
    offset: int = 0  # in bytes; in the decompressed file if `compression` is set
    size: int | None = None  # bytes as stored; None: to the end of the file
    file_size: int | None = None  # of the file that holds the member, saves a request
    compression: str | None = None  # of that file as a whole, a key of `COMPRESSIONS`
    inflated_size: int | None = None  # bytes of a member that a zip has deflated
    crc32: int | None = None  # checksum that a zip has of the member
    published_size: int | None = None  # bytes of the published, compressed file
    sha256: str | None = None  # of that file; checked if the member has that size
    content_sha256: str | None = None  # of the decompressed content
    problem: str | None = None  # why the member cannot be read
    url: str | None = None  # from where the file at `path` was downloaded
    version: Version | None = None  # of the file, when it was found
    is_named: bool = True  # whether the user named the source: options are meant for no other
    holder: "Member | None" = None  # the archive that has the member, if that is a member itself

    @property
    def location(self) -> str:
        """What the user calls the file that holds the member."""
        return self.url or self.path

    @property
    def title(self) -> str:
        """What error messages call the member."""
        if self.name in (self.location, self.path):
            return self.location
        place = self.location if self.holder is None else self.holder.title
        return f"{self.name} in {place}"

    def has_known_sha256(self, size: int | None) -> bool:
        """Whether `sha256` must match a member that is stored with a size.

        It must if the size is the published one, or if no digest of the content is known.
        """
        if self.sha256 is None:
            return False
        return size == self.published_size or self.content_sha256 is None


class SplitFiles(NamedTuple):
    """The members of a split, a pair of images and labels. Picklable.

    It is hashable, too: readers that are open are found by it.
    """

    images: Member
    labels: Member | None = None
    num_records: int | None = None  # that the split must have, where known
    record_bytes: int | None = None  # of an image and its label, where known
    source_number: int = 0  # which of several sources has them
    failures: tuple[str, ...] = ()  # why the sources before it cannot be used
    has_one_hot_labels: bool = False  # whether a label is a row of zeros with a one at its class

    @property
    def members(self) -> list[Member]:
        return [self.images] if self.labels is None else [self.images, self.labels]


def open_file(
    path: str,
    options: RemoteOptions = NO_OPTIONS,
    size: int | None = None,
    version: Version | None = None,
    largest_request: int = LARGEST_REQUEST,
) -> Stream:
    """Open a local or a remote file. `size` and `version` are what is known of it.

    Raises:
        TransferError: the file cannot be read, or is another one than when it was found.
    """
    if is_remote(path):
        from .remote import RemoteFile  # `fsspec` takes long to import

        return RemoteFile(path, options, size, version, largest_request)
    file = LocalFile(path)
    with closed_on_error(file):
        if version is not None and is_other_file(file.identity, version.validator):
            raise TransferError(f"{path}: the file has changed since it was found. Load it again.")
    return file


class SpoolKey(NamedTuple):
    """What a spool is kept for: one file, as it was, in one process."""

    process: int
    path: str
    compression: str
    identity: str


Spools = dict[SpoolKey, Spool]


class Access:
    """How files are opened: with the options of the user, and with what is decompressed already.

    A pickled one has decompressed nothing.
    """

    def __init__(self, options: RemoteOptions = NO_OPTIONS) -> None:
        self.options = options
        self._spools: Spools = {}
        # `__del__` would not do: its order is undefined in a reference cycle.
        weakref.finalize(self, _close_spools, self._spools)

    def __reduce__(self) -> "tuple[type[Access], tuple[RemoteOptions]]":
        return Access, (self.options,)

    def options_for(self, is_named: bool) -> RemoteOptions:
        """The options for a source: those of the user, if he named it."""
        return self.options if is_named else NO_OPTIONS

    def open_container(
        self,
        path: str,
        compression: str,
        title: str,
        open_compressed: Callable[[], Stream],
        seek_points: SeekPoints | None = None,
    ) -> Stream:
        """Open the content of an archive that is compressed as a whole.

        If it can only be read forwards, it is decompressed once, for all its members.
        """
        row = COMPRESSIONS[compression]

        def open_stream() -> Stream:
            compressed = open_compressed()
            with closed_on_error(compressed):
                return DecompressedFile(compressed, row, title, seek_points)

        stream = open_stream()
        if row.has_seek_points:
            return stream
        # Another file may have taken the place of the one that was decompressed earlier.
        key = SpoolKey(os.getpid(), path, compression, stream.identity)
        if key in self._spools:
            stream.close()
        else:
            self._spools[key] = Spool(stream, open_stream, title)
        return SpooledFile(self._spools[key], open_stream, keeper=self)


def _close_spools(spools: Spools) -> None:
    """Close the spools of this process."""
    for key, spool in spools.items():
        if key.process == os.getpid():
            spool.close()


class MemberSeekPoints:
    """The seek points of a member, for each level at which it may be compressed."""

    def __init__(self) -> None:
        self.of_container = SeekPoints()  # the archive as a whole
        self.of_zip = SeekPoints()  # the member, as the zip has it
        self.of_content = SeekPoints()  # the member by itself


def open_member(
    member: Member, access: Access, seek_points: MemberSeekPoints | None = None
) -> Stream:
    """Open the decompressed content of a member.

    Its first bytes tell how a member is compressed, not its name. `finish` checks the checksums
    of a stream that was read from start to end. Readers of one member may share `seek_points`.
    """
    stored = open_stored(member, access, seek_points)
    with closed_on_error(stored):
        return open_content(stored, member, seek_points)


def open_stored(
    member: Member, access: Access, seek_points: MemberSeekPoints | None = None
) -> Stream:
    """Open a member as it was put into the archive, still compressed if it was."""
    if member.problem is not None:
        raise IdxError(f"{member.title}: {member.problem}")
    if seek_points is None:
        seek_points = MemberSeekPoints()
    file = _open_container(member, access, seek_points)
    with closed_on_error(file):
        stored: Stream = FileSlice(file, member.offset, member.size, member.title)
        if member.inflated_size is not None:
            stored = DecompressedFile(
                stored, DEFLATE, member.title, seek_points.of_zip, member.inflated_size
            )
        if member.crc32 is not None:
            stored = HashedFile(stored, "crc32", f"{member.crc32:08x}", member.title)
        if member.has_known_sha256(stored.size):
            stored = HashedFile(stored, "sha256", member.sha256, member.title)
        return stored


def _open_container(member: Member, access: Access, seek_points: MemberSeekPoints) -> Stream:
    """Open the file that holds a member, decompressed if it is compressed as a whole."""
    # Not `access`: what it keeps would refer to itself, and be closed late.
    options = access.options_for(member.is_named)

    def open_it() -> Stream:
        if member.holder is not None:
            return open_stored(member.holder, Access(options))
        return open_file(member.path, options, member.file_size, member.version)

    if member.compression is None:
        return open_it()
    title = member.location if member.holder is None else member.holder.title
    return access.open_container(
        title, member.compression, title, open_it, seek_points.of_container
    )


def open_content(
    stored: Stream, member: Member, seek_points: MemberSeekPoints | None = None
) -> Stream:
    """Open the content of a stored member: decompressed, if it is compressed."""
    content = stored
    compression = detect_compression(stored)
    if compression is not None:
        points = None if seek_points is None else seek_points.of_content
        content = DecompressedFile(stored, compression, member.title, points)
    if member.content_sha256 is not None and not member.has_known_sha256(stored.size):
        content = HashedFile(content, "sha256", member.content_sha256, member.title)
    return content


def verify_member(member: Member, access: Access) -> Member:
    """Check the checksums of a whole member, and of an archive in an archive that has it.

    Returns the member without its published digests: they need not be checked again. The checksum
    that a zip has of it costs nothing, and still is.
    """
    if member.holder is not None:
        verify_member(member.holder, access)
    with open_stored(member, access) as stored:
        is_hashed_as_stored = member.has_known_sha256(stored.size)
        content = stored if is_hashed_as_stored else open_content(stored, member)
        read_to_end(content)
    return member._replace(sha256=None, content_sha256=None)


def read_to_end(stream: Stream) -> None:
    """Read a stream from where it is to its end, and check what the end tells."""
    while stream.read(CHUNK_BYTES):
        pass
    stream.finish()


def pin(files: SplitFiles, identities: Sequence[str]) -> SplitFiles:
    """The same files, marked so that a process that finds others at their paths refuses them.

    Args:
        identities: what tells each of `files.members` from another file, as its stream says.
    """
    pinned = []
    for member, identity in zip(files.members, identities, strict=True):
        is_known = member.version is not None or not identity
        version = member.version if is_known else Version(identity, has_ranges=True)
        pinned.append(member._replace(version=version))
    return files._replace(images=pinned[0], labels=pinned[1] if files.labels else None)
