"""The members of a tar, a zip or a folder: ranges of bytes with a name.

No member is ever extracted to disk.
"""

import contextlib
import os
import re
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .byte_ranges import LARGEST_REQUEST
from .compressions import COMPRESSIONS, Compression
from .errors import DamagedError, IdxError, printable
from .members import Access, Member, open_file, open_stored
from .paths import check_exists, is_http, is_remote
from .signatures import find_foreign, is_idx, is_tar
from .streams import (
    DecompressedFile,
    Stream,
    WrappedFile,
    detect_compression,
    local_errors,
    read_fully,
)

# An archive of IDX files has a handful of members. Limits against malicious archives.
MAX_MEMBERS = 1000
MAX_NAME_LENGTH = 4096  # as for paths on Linux
MAX_DIRECTORY_BYTES = 2 << 20
MAX_SKIPPED_BYTES = 4 << 30
# Extended headers hold long names, times and attributes. `tarfile` of Python before 3.11.10 takes
# time for long ones, and hours for long runs of digits in them.
MAX_EXTENDED_HEADER = 16 << 10
MAX_EXTENDED_HEADERS = 1 << 20  # bytes of all of them
MANY_DIGITS = re.compile(rb"[0-9]{100}")
HEADER_REQUEST = 4 << 10  # holds a tar header, and the headers of the small members that follow it
PADDING_READ_BYTES = 1 << 20  # behind the members of a tar, at once
# What `tarfile` and `zipfile` raise on damaged archives.
DAMAGE_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    struct.error,
    OSError,
    ValueError,
    RuntimeError,
    OverflowError,
    IndexError,
)
ZIP_MEMBER = b"PK\x03\x04"
ZIP_END_SIGNATURE = b"PK\x05\x06"
ZIP_HEADER_SIZE = 30  # bytes of a member's own header, before its name
ZIP_LENGTHS_OFFSET = 26  # where it has the lengths of its name and of what follows that
# Signature, size and start of the directory, length of the comment behind it.
ZIP_END = struct.Struct("<4s8xLLH")
ZIP64_MARK = 0xFFFFFFFF
# Bytes of the two records that large archives have between directory and end.
ZIP64_RECORDS_SIZE = 56 + 20
SEVERAL_IN_ONE = (
    "Several archives in one file? Unpack it (tar: with --ignore-zeros), and load the folder."
)


class Location(NamedTuple):
    """A file or a folder that has IDX files in it."""

    path: str  # local path or URL
    url: str | None = None  # what the user calls it, if it was downloaded to `path`
    is_named: bool = True  # whether the user named it; see `Member`

    @property
    def title(self) -> str:
        """What error messages call the location."""
        return self.url or self.path

    def open(self, access: Access, largest_request: int = LARGEST_REQUEST) -> Stream:
        """Open the file."""
        options = access.options_for(self.is_named)
        return open_file(self.path, options, largest_request=largest_request)


def list_members(location: Location, access: Access) -> list[Member]:
    """List the members of a tar, a zip or a folder, or a single file.

    Those that cannot be read have a `problem`.
    """
    folder = list_folder(location.path, access)
    return list_archive(location, access) if folder is None else folder


def list_archive(location: Location, access: Access) -> list[Member]:
    """List the members of a tar or a zip, or a single file, whose name is that of its location.

    Only a compressed tar is read to its end.

    Raises:
        TransferError: there is no such file.
        DamagedError: the file is neither an archive nor an IDX file, or it is damaged.
        IdxError: the archive exceeds a limit, or has other data before or behind it.
    """
    if not is_remote(location.path):
        check_exists(location.path)
    options = access.options_for(location.is_named)  # not `access`, see `members`

    def open_again() -> Stream:
        return open_file(location.path, options)

    with location.open(access, HEADER_REQUEST) as file:
        return _list_stream(file, _whole_file(location, file), open_again, access)


def list_nested(archive: Member, access: Access) -> list[Member]:
    """List the members of a tar or a zip that is a file in a folder, or a member itself.

    Raises:
        IdxError: see `list_archive`.
    """
    if archive.name == archive.path:
        return list_archive(Location(archive.path, archive.url, archive.is_named), access)
    options = access.options_for(archive.is_named)

    def open_again() -> Stream:
        return open_stored(archive, Access(options))

    with open_stored(archive, access) as file:
        whole = Member(
            archive.path,
            archive.title,
            file_size=archive.file_size,
            url=archive.url,
            version=archive.version,
            is_named=archive.is_named,
            holder=archive,
        )
        return _list_stream(file, whole, open_again, access)


def _list_stream(
    file: Stream, whole: Member, open_again: Callable[[], Stream], access: Access
) -> list[Member]:
    """List the members of an open archive.

    Args:
        whole: what is known of the archive, as a member that is all of it.
    """
    title = whole.name
    compression = detect_compression(file)
    content: Stream = file
    if compression is not None:
        content = DecompressedFile(file, compression, title)
    head = bytes(read_fully(content, tarfile.BLOCKSIZE))
    if is_idx(head):
        return [whole]
    if head.startswith((ZIP_MEMBER, ZIP_END_SIGNATURE)) and compression is None:
        with _damage_of("zip", title):
            return _list_zip(file, whole)
    if is_tar(head):
        with _damage_of("tar", title):
            if compression is None:
                return _list_tar(file, whole)
            file.expect_whole()
            return _list_compressed_tar(content, compression, whole, open_again, access)
    expected = f"a tar (plain, {_listed_suffixes()}), a zip, a folder, or an IDX file"
    foreign = find_foreign(head)
    found = f"{title}: found {foreign.what}, expected {expected}"
    raise DamagedError(f"{found}. {foreign.advice}.")


def _whole_file(location: Location, file: Stream) -> Member:
    """What is known of an open file, as a member that is all of it."""
    return Member(
        location.path,
        location.title,
        file_size=file.size,
        url=location.url,
        version=file.version,
        is_named=location.is_named,
    )


@contextlib.contextmanager
def _damage_of(kind: str, title: str) -> Iterator[None]:
    """Raise what the library for a kind of archive raises on damaged ones as our own error."""
    try:
        yield
    except IdxError:
        raise
    except DAMAGE_ERRORS as error:
        found = f"the {kind} is damaged or cut short ({error})"
        raise DamagedError(f"{title}: {found}. Fetch it again.") from error


def _listed_suffixes() -> str:
    """The suffixes of compressed archives, as in a sentence: `.gz, .bz2 or .xz`."""
    *others, last = [row.suffixes[0] for row in COMPRESSIONS.values() if row.suffixes]
    return f"{', '.join(others)} or {last}"


def list_folder(path: str, access: Access) -> list[Member] | None:
    """The files in a local or remote folder and its subfolders.

    None if the path is not a folder, which it never is on HTTP.
    """
    if is_http(path):
        return None
    if is_remote(path):
        return _list_remote_folder(path, access)
    with local_errors(path):
        if not os.path.isdir(path):
            return None
        return [_local_member(entry) for entry in walk(path)]


def _list_remote_folder(path: str, access: Access) -> list[Member] | None:
    from .remote import file_system, retry  # `fsspec` takes long to import

    fs, fs_path = file_system(path, access.options)
    if not retry(lambda: fs.isdir(fs_path), path):
        return None
    files = retry(lambda: fs.find(fs_path, detail=True), path)
    rest_of_chain = "".join(path.partition("::")[1:])
    members = []
    for name in sorted(files):
        url = fs.unstrip_protocol(name) + rest_of_chain
        members.append(Member(url, url, file_size=files[name].get("size")))
    return members


def walk(folder: str) -> Iterator["os.DirEntry[str]"]:
    """The files below a folder, sorted.

    Each folder is visited once, whatever symbolic links point to it.
    """
    visited = {_identity(folder)}
    waiting = _sorted_entries(folder)
    while waiting:
        entry = waiting.pop()
        if not entry.is_dir():
            yield entry
            continue
        # A folder of another program may vanish meanwhile.
        with contextlib.suppress(FileNotFoundError):
            identity = _identity(entry.path)
            if identity not in visited:
                visited.add(identity)
                waiting += _readable_entries(entry.path)


def _readable_entries(folder: str) -> list["os.DirEntry[str]"]:
    """The entries of a subfolder; none, and a warning, if it cannot be read."""
    try:
        return _sorted_entries(folder)
    except PermissionError as error:
        found = f"{printable(folder)}: cannot be read: {error.strerror}"
        warnings.warn(f"{found}. Files in it are not loaded.", stacklevel=2)
        return []


def _sorted_entries(folder: str) -> list["os.DirEntry[str]"]:
    """The entries of a folder, the first one last, so that `pop` takes them in order."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name, reverse=True)


def _identity(folder: str) -> tuple[int, int]:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino


def _local_member(entry: "os.DirEntry[str]") -> Member:
    problem = None
    if not entry.is_file():  # A pipe never ends.
        found = "a broken symbolic link" if entry.is_symlink() else "a pipe or a device"
        problem = f"found {found}, expected a file."
    return Member(entry.path, entry.path, problem=problem)


class _Directory(WrappedFile):
    """An archive, of which `tarfile` and `zipfile` can read only so much to list its members."""

    def __init__(self, file: Stream, title: str) -> None:
        super().__init__(file)
        self._title = title
        self._bytes_left = MAX_DIRECTORY_BYTES

    def read_some(self, size: int) -> bytes:
        """Read `size` bytes, fewer only at the end: the two libraries do not ask again."""
        data = bytes(read_fully(self._file, min(size, self._bytes_left + 1)))
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            found = f"more than {MAX_DIRECTORY_BYTES:,} bytes for names and sizes"
            raise IdxError(f"{self._title}: found {found}, expected a handful of IDX files.")
        return data


class _TarDirectory(_Directory):
    """A tar, whose extended headers may not be long.

    `tarfile` reads a header as one block, but an extended header at once, however long it is.
    """

    def __init__(self, file: Stream, title: str) -> None:
        super().__init__(file, title)
        self._extended_bytes_left = MAX_EXTENDED_HEADERS

    def read_some(self, size: int) -> bytes:
        if size <= tarfile.BLOCKSIZE:
            return super().read_some(size)
        self._check_length(size)
        data = super().read_some(size)
        if MANY_DIGITS.search(data):
            found = "an extended header with a number of more than 100 digits"
            expected = "expected names and times. Pack the archive again"
            raise IdxError(f"{self._title}: found {found}, {expected}.")
        return data

    def _check_length(self, size: int) -> None:
        """Refuse an extended header that is too long, or that follows too many others."""
        self._extended_bytes_left -= size
        if size > MAX_EXTENDED_HEADER:
            found = f"an extended header of {size:,} bytes"
        elif self._extended_bytes_left < 0:
            found = f"more than {MAX_EXTENDED_HEADERS:,} bytes of extended headers"
        else:
            return
        expected = f"at most {MAX_EXTENDED_HEADER:,} bytes each"
        way_out = "Pack the archive again with short names"
        raise IdxError(f"{self._title}: found {found}, expected {expected}. {way_out}.")


def _list_compressed_tar(
    content: Stream,
    compression: Compression,
    whole: Member,
    open_again: Callable[[], Stream],
    access: Access,
) -> list[Member]:
    """The members of a tar that is compressed as a whole.

    Args:
        content: what the open file decompresses to. It is used where it can be read backwards.
    """
    title = whole.name
    whole = whole._replace(compression=compression.name)
    if compression.has_seek_points:
        return _list_tar(content, whole)
    with access.open_container(title, compression.name, title, open_again) as kept_content:
        return _list_tar(kept_content, whole)


def _list_tar(stream: Stream, whole: Member) -> list[Member]:
    """The members of a tar. `whole` has what is known of the file that holds them."""
    stream.seek(0)
    tar = tarfile.TarFile(fileobj=_TarDirectory(stream, whole.title))
    members: list[Member] = []
    targets: dict[str, Member] = {}  # of hard links, by name
    for count, info in enumerate(tar):
        _check_number(count + 1, whole)
        if info.isdir():
            continue
        _check_tar_member(info, whole)
        member = _tar_member(info, whole, targets)
        targets[os.path.normpath(info.name)] = member
        members.append(member)
    _check_end_of_tar(stream, tar.offset, whole.title)
    return members


def _check_number(num_members: int, whole: Member) -> None:
    if num_members > MAX_MEMBERS:
        found = f"found more than {MAX_MEMBERS:,} members"
        raise IdxError(f"{whole.title}: {found}, expected a handful of IDX files.")


def _check_tar_member(info: tarfile.TarInfo, whole: Member) -> None:
    if info.size < 0:
        raise tarfile.ReadError(f"the member {info.name!r} has {info.size} bytes")
    _check_name(info.name, whole)
    end = info.offset_data + info.size
    if whole.compression is not None and end > MAX_SKIPPED_BYTES:
        found = f"{info.name!r} of a compressed tar to end at byte {end:,}"
        expected = f"expected at most {MAX_SKIPPED_BYTES:,}. Decompress it"
        raise IdxError(f"{whole.title}: found {found}, {expected}.")


def _tar_member(info: tarfile.TarInfo, whole: Member, targets: dict[str, Member]) -> Member:
    if info.islnk() and os.path.normpath(info.linkname) in targets:
        return targets[os.path.normpath(info.linkname)]._replace(name=info.name)
    member = whole._replace(name=info.name, offset=info.offset_data, size=info.size)
    if info.isreg() and not info.issparse():
        return member
    kind = "a link" if info.islnk() or info.issym() else "a sparse file or a device"
    return member._replace(problem=f"found {kind}, expected a file. Pack the archive without it.")


def _check_end_of_tar(stream: Stream, offset: int, title: str) -> None:
    """Refuse anything but zeros behind the members. Reading them also checks compressed data."""
    stream.seek(offset)
    # `tarfile` stops at whatever is not a header.
    if read_fully(stream, 2 * tarfile.BLOCKSIZE) != bytes(2 * tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"neither a member nor the end of the archive at byte {offset:,}")
    stream.expect_whole()
    num_zeros = 2 * tarfile.BLOCKSIZE
    while padding := stream.read(PADDING_READ_BYTES):
        if padding.strip(b"\0"):
            found = f"found more data behind the end of the tar at byte {offset:,}"
            raise IdxError(f"{title}: {found}. {SEVERAL_IN_ONE}")
        num_zeros += len(padding)
        if num_zeros > MAX_SKIPPED_BYTES:
            found = f"more than {MAX_SKIPPED_BYTES:,} bytes follow the members"
            raise IdxError(f"{title}: {found}. Is the file damaged?")
    stream.finish()


def _check_name(name: str, whole: Member) -> None:
    if len(name) > MAX_NAME_LENGTH:
        found = f"found a member whose name has {len(name):,} characters"
        expected = f"expected at most {MAX_NAME_LENGTH:,}. Rename it"
        raise IdxError(f"{whole.title}: {found}, {expected}.")


class _Span(NamedTuple):
    """The bytes of a zip that a member takes, with its own header."""

    start: int
    stop: int


def _list_zip(file: Stream, whole: Member) -> list[Member]:
    """The members of a zip. `whole` has what is known of the file that holds them."""
    members: list[Member] = []
    spans: list[_Span] = []
    with zipfile.ZipFile(_Directory(file, whole.title)) as archive:
        infos = archive.infolist()
        _check_number(len(infos), whole)
        _check_zip_layout(archive, infos, file, whole.title)
        for info in infos:
            _check_name(info.filename, whole)
            member = _zip_member(archive, info, file, whole)
            spans.append(_Span(info.header_offset, member.offset + info.compress_size))
            if not info.is_dir():
                members.append(member)
        _check_overlaps(spans, archive.start_dir)
    return members


def _check_overlaps(spans: Sequence[_Span], limit: int) -> None:
    """Refuse members that share a byte, with each other or with the directory at `limit`."""
    reached = 0
    for span in sorted(spans):
        if span.start < reached:
            raise zipfile.BadZipFile(f"the member at byte {span.start:,} overlaps another one")
        reached = span.stop
    if reached > limit:
        raise zipfile.BadZipFile("a member overlaps the directory")


def _check_zip_layout(
    archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], file: Stream, title: str
) -> None:
    """Refuse a zip with anything but members, directory and end record.

    `zipfile` finds the last directory of a file, and does not mind what else is there.
    """
    file_size = file.seek(0, os.SEEK_END)
    position = max(0, file_size - ZIP_END.size - len(archive.comment))
    file.seek(position)
    signature, size, start, comment_length = ZIP_END.unpack(read_fully(file, ZIP_END.size))
    if signature != ZIP_END_SIGNATURE or comment_length != len(archive.comment):
        raise IdxError(f"{title}: found more data behind the end of the zip. {SEVERAL_IN_ONE}")
    is_large = ZIP64_MARK in (size, start)  # the numbers are in a record of their own
    gap = position - (start + size)
    if not is_large and (archive.start_dir != start or gap not in (0, ZIP64_RECORDS_SIZE)):
        raise IdxError(f"{title}: found other data before the zip. {SEVERAL_IN_ONE}")
    # Each member takes at least this. Only its own header tells how long its name is.
    spans = []
    for info in infos:
        stop = info.header_offset + ZIP_HEADER_SIZE + info.compress_size
        spans.append(_Span(info.header_offset, stop))
    _check_overlaps(spans, archive.start_dir)


def _zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Stream, whole: Member
) -> Member:
    """A member of a zip, by its entry in the directory and its own header."""
    is_stored = info.compress_type == zipfile.ZIP_STORED
    is_deflated = info.compress_type == zipfile.ZIP_DEFLATED
    is_encrypted = bool(info.flag_bits & 1)
    problem = None
    if is_encrypted or not (is_deflated or is_stored):
        expected = "expected a stored or deflated member. Zip it again"
        problem = f"found encryption or unusual compression, {expected}."
    elif is_stored and info.compress_size != info.file_size:
        sizes = f"{info.compress_size} and {info.file_size} bytes"
        raise zipfile.BadZipFile(f"{info.filename!r} has {sizes}")
    else:
        archive.open(info).close()  # compares the member's own header with the directory
    file.seek(info.header_offset + ZIP_LENGTHS_OFFSET)
    name_length, extra_length = struct.unpack("<HH", read_fully(file, 4))
    return whole._replace(
        name=info.filename,
        offset=info.header_offset + ZIP_HEADER_SIZE + name_length + extra_length,
        size=info.compress_size,
        inflated_size=info.file_size if is_deflated else None,
        crc32=info.CRC,
        problem=problem,
    )
