"""The members of a tar, a zip or a folder: ranges of bytes with a name.

No member is ever extracted to disk.
"""

import contextlib
import os
import re
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .compression import DecompressedFile, WrappedFile, can_go_back, detect_compression
from .errors import DamagedError, IdxError
from .idx import Stream, read_fully
from .places import is_http, is_remote
from .remote import MAX_REQUEST, RemoteFile, file_system, retry
from .storage import Access, Member, open_file, translated

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
CHUNK_BYTES = 1 << 20
# What `tarfile` and `zipfile` raise on damaged archives.
DAMAGE: tuple[type[Exception], ...] = (tarfile.TarError, zipfile.BadZipFile, struct.error, OSError)
DAMAGE += (ValueError, RuntimeError, OverflowError, IndexError)
ZIP_MEMBER = b"PK\x03\x04"
ZIP_END_SIGNATURE = b"PK\x05\x06"
ZIP_HEADER_SIZE = 30  # bytes of a member's own header, before its name
ZIP_END = struct.Struct(
    "<4s8xLLH"
)  # signature, size and start of the directory, length of the comment behind it
ZIP64_MARK = 0xFFFFFFFF
ZIP64_RECORDS_SIZE = (
    56 + 20
)  # bytes of the records that large archives have between directory and end
SEVERAL_IN_ONE = (
    "Several archives in one file? Unpack it (tar: with --ignore-zeros), and load the folder."
)


class Place(NamedTuple):
    """A file or a folder that has IDX files in it."""

    path: str  # local path or URL
    url: str = ""  # what the user calls it, if it was downloaded to `path`
    is_named: bool = True  # whether the user named it; see `Member`

    @property
    def title(self) -> str:
        """What error messages call the place."""
        return self.url or self.path

    def open(self, access: Access, max_request: int = MAX_REQUEST) -> Stream:
        config = access.download_config if self.is_named else None
        return open_file(self.path, config, max_request=max_request)


def list_members(place: Place, access: Access) -> list[Member]:
    """List the members of a tar, a zip or a folder, or a single file.

    Those that cannot be read have a `problem`.
    """
    folder = list_folder(place.path, access)
    return list_archive(place, access) if folder is None else folder


def list_archive(place: Place, access: Access) -> list[Member]:
    """List the members of a tar or a zip, or a single file, which is called as its place.

    Only a compressed tar is read to its end.
    """
    with place.open(access, HEADER_REQUEST) as file:
        compression = detect_compression(file)
        version = file.version if isinstance(file, RemoteFile) else None
        whole = Member(
            place.path,
            place.title,
            file_size=file.size,
            url=place.url,
            version=version,
            is_named=place.is_named,
        )
        stream = DecompressedFile(file, compression, place.title) if compression else file
        head = bytes(read_fully(stream, tarfile.BLOCKSIZE))
        if head.startswith(b"\0\0") and any(head[2:4]):
            return [whole]
        is_zip = head.startswith((ZIP_MEMBER, ZIP_END_SIGNATURE)) and not compression
        try:
            if is_zip:
                return _list_zip(file, whole)
            if _is_tar_header(head):
                if compression and isinstance(file, RemoteFile):
                    file.expect_whole()
                whole = whole._replace(compression=compression)
                if not compression or can_go_back(compression):
                    return _list_tar(stream, whole)
                with access.open_container(
                    place.path, compression, place.title, lambda: place.open(access)
                ) as content:
                    return _list_tar(content, whole)
        except IdxError:
            raise
        except DAMAGE as error:
            kind = "zip" if is_zip else "tar"
            raise DamagedError(
                f"{place.title}: the {kind} is damaged or cut short ({error}). Fetch it again."
            ) from error
    found = (
        "an HTML or XML page"
        if head.lstrip()[:1] == b"<"
        else f"data that starts with {head[:8]!r}"
    )
    expected = "a tar (plain, .gz, .bz2 or .xz), a zip, a folder, or an IDX file"
    raise DamagedError(
        f"{place.title}: found {found if head else 'an empty file'}, expected {expected}."
    )


def _is_tar_header(block: bytes) -> bool:
    with contextlib.suppress(tarfile.HeaderError):
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        return True
    return False


def list_folder(path: str, access: Access) -> list[Member] | None:
    """The files in a local or remote folder and its subfolders; None if the path is not a folder,
    as always on HTTP.
    """
    if is_http(path):
        return None
    if is_remote(path):
        return _list_remote_folder(path, access)
    with translated(path):
        if not os.path.isdir(path):
            return None
        return [_local_member(entry) for entry in walk(path)]


def _list_remote_folder(path: str, access: Access) -> list[Member] | None:
    fs, fs_path = file_system(path, access.download_config)
    if not retry(lambda: fs.isdir(fs_path), path):
        return None
    files = retry(lambda: fs.find(fs_path, detail=True), path)
    rest_of_chain = path.partition("::")[1:]
    members = []
    for name in sorted(files):
        url = fs.unstrip_protocol(name) + "".join(rest_of_chain)
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
        with contextlib.suppress(
            FileNotFoundError
        ):  # A folder of another program may vanish meanwhile.
            identity = _identity(entry.path)
            if identity not in visited:
                visited.add(identity)
                waiting += _sorted_entries(entry.path)


def _sorted_entries(folder: str) -> list["os.DirEntry[str]"]:
    """The entries of a folder, the first one last, so that `pop` takes them in order."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name, reverse=True)


def _identity(folder: str) -> tuple[int, int]:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino


def _local_member(entry: "os.DirEntry[str]") -> Member:
    problem = ""
    if not entry.is_file():  # A pipe never ends.
        found = "a broken symbolic link" if entry.is_symlink() else "a pipe or a device"
        problem = f"found {found}, expected a file."
    return Member(entry.path, entry.path, problem=problem)


class _Directory(WrappedFile):
    """What `tarfile` and `zipfile` may read of an archive to list its members: a bounded number of
    bytes.
    """

    def __init__(self, file: Stream, title: str) -> None:
        super().__init__(file)
        self._title = title
        self._rest = MAX_DIRECTORY_BYTES

    def read(self, size: int = -1, /) -> bytes:
        data = bytes(
            read_fully(self._file, min(size, self._rest + 1) if size >= 0 else self._rest + 1)
        )
        self._rest -= len(data)
        if self._rest < 0:
            found = f"more than {MAX_DIRECTORY_BYTES:,} bytes for names and sizes"
            raise IdxError(f"{self._title}: found {found}, expected a handful of IDX files.")
        return data


class _TarDirectory(_Directory):
    """`tarfile` reads a header in one block, and an extended header at once: it may not be long."""

    _rest_of_extended_headers = MAX_EXTENDED_HEADERS

    def read(self, size: int = -1, /) -> bytes:
        if size > tarfile.BLOCKSIZE:
            self._rest_of_extended_headers -= size
        if size > MAX_EXTENDED_HEADER or self._rest_of_extended_headers < 0:
            found = f"an extended header of {size:,} bytes"
            if size <= MAX_EXTENDED_HEADER:
                found = f"more than {MAX_EXTENDED_HEADERS:,} bytes of extended headers"
            expected = f"at most {MAX_EXTENDED_HEADER:,} bytes each. Pack the archive again with short names"
            raise IdxError(f"{self._title}: found {found}, expected {expected}.")
        data = super().read(size)
        if size > tarfile.BLOCKSIZE and MANY_DIGITS.search(data):
            found = "an extended header with a number of more than 100 digits"
            raise IdxError(
                f"{self._title}: found {found}, expected names and times. Pack the archive again."
            )
        return data


def _list_tar(stream: Stream, whole: Member) -> list[Member]:
    """The members of a tar. `whole` has what is known of the file that holds them."""
    title = whole.title
    stream.seek(0)
    directory = _TarDirectory(stream, title)
    tar = tarfile.TarFile(fileobj=directory)
    members: list[Member] = []
    targets: dict[str, Member] = {}  # of hard links, by name
    for count, info in enumerate(tar):
        if count >= MAX_MEMBERS:
            raise IdxError(
                f"{title}: found more than {MAX_MEMBERS:,} members, expected a handful of IDX files."
            )
        if info.isdir():
            continue
        _check_tar_member(info, whole)
        member = _tar_member(info, whole, targets)
        targets[os.path.normpath(info.name)] = member
        members.append(member)
    _check_end_of_tar(stream, tar.offset, title)
    return members


def _check_tar_member(info: tarfile.TarInfo, whole: Member) -> None:
    if info.size < 0:
        raise tarfile.ReadError(f"the member {info.name!r} has {info.size} bytes")
    _check_name(info.name, whole)
    end = info.offset_data + info.size
    if whole.compression and end > MAX_SKIPPED_BYTES:
        found = f"{info.name!r} of a compressed tar to end at byte {end:,}"
        raise IdxError(
            f"{whole.title}: found {found}, expected at most {MAX_SKIPPED_BYTES:,}. Decompress it."
        )


def _tar_member(info: tarfile.TarInfo, whole: Member, targets: dict[str, Member]) -> Member:
    if info.islnk() and os.path.normpath(info.linkname) in targets:
        return targets[os.path.normpath(info.linkname)]._replace(name=info.name)
    member = whole._replace(name=info.name, offset=info.offset_data, size=info.size)
    if info.isreg() and not info.issparse():
        return member
    kind = "a link" if info.islnk() or info.issym() else "a sparse file or a device"
    return member._replace(problem=f"found {kind}, expected a file. Pack the archive without it.")


def _check_end_of_tar(stream: Stream, offset: int, title: str) -> None:
    """Nothing but zeros may follow the members.

    Reading to the end also checks the checksum of compressed data.
    """
    stream.seek(offset)
    # `tarfile` stops at whatever is not a header.
    if read_fully(stream, 2 * tarfile.BLOCKSIZE) != bytes(2 * tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"neither a member nor the end of the archive at byte {offset:,}")
    if isinstance(stream, RemoteFile):
        stream.expect_whole()
    position = offset + 2 * tarfile.BLOCKSIZE
    while padding := stream.read(CHUNK_BYTES):
        if padding.strip(b"\0"):
            raise IdxError(
                f"{title}: found more data behind the end of the tar at byte {offset:,}. {SEVERAL_IN_ONE}"
            )
        position += len(padding)
        if position - offset > MAX_SKIPPED_BYTES:
            raise IdxError(
                f"{title}: more than {MAX_SKIPPED_BYTES:,} bytes follow the members. Is the file damaged?"
            )


def _check_name(name: str, whole: Member) -> None:
    if len(name) > MAX_NAME_LENGTH:
        found = f"a member whose name has {len(name):,} characters"
        raise IdxError(
            f"{whole.title}: found {found}, expected at most {MAX_NAME_LENGTH:,}. Rename it."
        )


def _list_zip(file: Stream, whole: Member) -> list[Member]:
    """The members of a zip. `whole` has what is known of the file that holds them."""
    members = []
    with zipfile.ZipFile(_Directory(file, whole.title)) as archive:
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise IdxError(
                f"{whole.title}: found {len(infos):,} members, expected a handful of IDX files."
            )
        _check_zip_layout(archive, infos, file, whole.title)
        spans = []  # from the start of a member's own header to the end of its data
        for info in infos:
            _check_name(info.filename, whole)
            member = _zip_member(archive, info, file, whole)
            spans.append((info.header_offset, member.offset + info.compress_size))
            if not info.is_dir():
                members.append(member)
        _check_overlaps(spans, archive.start_dir)
    return members


def _check_overlaps(spans: Sequence[tuple[int, int]], limit: int) -> None:
    """Refuse members that share a byte, with each other or with the directory that starts at
    `limit`.
    """
    reached = 0
    for start, end in sorted(spans):
        if start < reached:
            raise zipfile.BadZipFile(f"the member at byte {start:,} overlaps another one")
        reached = end
    if reached > limit:
        raise zipfile.BadZipFile("a member overlaps the directory")


def _check_zip_layout(
    archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], file: Stream, title: str
) -> None:
    """The directory must be where the end record says, right before it, and no two members may
    share a byte.

    `zipfile` finds the last directory of a file, and does not mind what else is there.
    """
    file_size = file.seek(0, os.SEEK_END)
    position = max(0, file_size - ZIP_END.size - len(archive.comment))
    file.seek(position)
    signature, size, start, comment_length = ZIP_END.unpack(read_fully(file, ZIP_END.size))
    if signature != ZIP_END_SIGNATURE or comment_length != len(archive.comment):
        raise IdxError(f"{title}: found more data behind the end of the zip. {SEVERAL_IN_ONE}")
    is_large = ZIP64_MARK in (size, start)  # The numbers are in a record of their own.
    gap = position - (start + size)
    if not is_large and (archive.start_dir != start or gap not in (0, ZIP64_RECORDS_SIZE)):
        raise IdxError(f"{title}: found other data before the zip. {SEVERAL_IN_ONE}")
    # At least: how long a name is, a member's own header tells.
    _check_overlaps(
        [
            (info.header_offset, info.header_offset + ZIP_HEADER_SIZE + info.compress_size)
            for info in infos
        ],
        archive.start_dir,
    )


def _zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Stream, whole: Member
) -> Member:
    problem = ""
    is_deflated = info.compress_type == zipfile.ZIP_DEFLATED
    is_encrypted = bool(info.flag_bits & 1)
    if is_encrypted or not (is_deflated or info.compress_type == zipfile.ZIP_STORED):
        problem = "found encryption or unusual compression, expected a stored or deflated member. Zip it again."
    elif not is_deflated and info.compress_size != info.file_size:
        raise zipfile.BadZipFile(
            f"{info.filename!r} has {info.compress_size} and {info.file_size} bytes"
        )
    else:
        archive.open(info).close()  # compares the member's own header with the directory
    file.seek(info.header_offset + 26)
    name_length = int.from_bytes(read_fully(file, 2), "little")
    extra_length = int.from_bytes(read_fully(file, 2), "little")
    return whole._replace(
        name=info.filename,
        offset=info.header_offset + ZIP_HEADER_SIZE + name_length + extra_length,
        size=info.compress_size,
        inflated_size=info.file_size if is_deflated else None,
        crc32=info.CRC,
        problem=problem,
    )
