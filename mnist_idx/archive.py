"""The members of a tar, a zip or a folder: ranges of bytes with a name. Nothing is ever extracted to disk."""

import contextlib
import os
import tarfile
import zipfile
from typing import Any

from .compression import DecompressedFile, WrappedFile, detect_compression
from .idx import IdxError, Stream, read_fully
from .remote import file_system, is_remote, retry
from .storage import Member, open_file, translated

# An archive of IDX files has a handful of members. These bounds keep a hostile one from taking time or memory.
MAX_MEMBERS = 1000
MAX_DIRECTORY_BYTES = 2 << 20
MAX_SKIPPED_BYTES = 4 << 30
HEADER_REQUEST = 4 << 10  # holds a tar header, and the headers of the small members that follow it
# What `tarfile` and `zipfile` raise on damaged archives.
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, ValueError, RuntimeError, OverflowError, IndexError, OSError)


def list_members(path: str, config: Any = None) -> list[Member]:
    """List the members of a tar, a zip or a folder, or a single file. Those that cannot be read have a `problem`."""
    folder = list_folder(path, config)
    return list_archive(path, config) if folder is None else folder


def list_archive(path: str, config: Any = None, name: str | None = None) -> list[Member]:
    """List the members of a tar or a zip, or a single file, which is called `name`, by default by its path.

    Only a compressed tar is read to its end.
    """
    with open_file(path, config, max_request=HEADER_REQUEST) as file:
        compression = detect_compression(file)
        stream = DecompressedFile(file, compression, path) if compression else file
        head = bytes(read_fully(stream, tarfile.BLOCKSIZE))
        if head.startswith(b"\0\0") and any(head[2:4]):
            return [Member(path, name or path, file_size=file.size)]
        kind = "zip" if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not compression else "tar"
        try:
            if kind == "zip":
                return _list_zip(file, path)
            with contextlib.suppress(tarfile.HeaderError):
                tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
                return _list_tar(stream, path, compression, file.size)
        except IdxError:
            raise
        except DAMAGE as error:
            raise IdxError(f"{path}: the {kind} is damaged or cut short ({error}). Fetch it again.") from error
    found = "an HTML or XML page" if head.lstrip()[:1] == b"<" else f"data that starts with {head[:8]!r}"
    expected = "a tar (plain, .gz, .bz2 or .xz), a zip, a folder, or an IDX file"
    raise IdxError(f"{path}: found {found if head else 'an empty file'}, expected {expected}.")


def list_folder(path: str, config: Any = None) -> list[Member] | None:
    """The files in a local or remote folder and its subfolders; None if the path is not a folder, as always on HTTP."""
    if path.startswith(("http://", "https://")):
        return None
    if is_remote(path):
        fs, fs_path = file_system(path, config)
        if not retry(lambda: fs.isdir(fs_path), path):
            return None
        files = retry(lambda: fs.find(fs_path, detail=True), path)
        urls = {name: fs.unstrip_protocol(name) for name in sorted(files)}
        return [Member(url, url, file_size=files[name].get("size")) for name, url in urls.items()]
    with translated(path):
        return _walk(path, set()) if os.path.isdir(path) else None


def _walk(folder: str, visited: set[str]) -> list[Member]:
    """The files below a folder, which is visited once, whatever symbolic links point to it."""
    members = []
    visited.add(os.path.realpath(folder))
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not entry.is_dir():
            found = "a broken symbolic link" if entry.is_symlink() else "a pipe or a device"
            problem = "" if entry.is_file() else f"found {found}, expected a file."  # A pipe never ends.
            members.append(Member(entry.path, entry.path, problem=problem))
        elif os.path.realpath(entry.path) not in visited:
            members += _walk(entry.path, visited)
    return members


class _Directory(WrappedFile):
    """What `tarfile` and `zipfile` may read of an archive to list its members: a bounded number of bytes."""

    def __init__(self, file: Stream, path: str) -> None:
        super().__init__(file)
        self._path = path
        self._rest = MAX_DIRECTORY_BYTES

    def read(self, size: int = -1, /) -> bytes:
        data = bytes(read_fully(self._file, min(size, self._rest + 1) if size >= 0 else self._rest + 1))
        self._rest -= len(data)
        if self._rest < 0:
            found = f"more than {MAX_DIRECTORY_BYTES:,} bytes for names and sizes"
            raise IdxError(f"{self._path}: found {found}, expected a handful of IDX files.")
        return data


def _list_tar(stream: Stream, path: str, compression: str, file_size: int | None) -> list[Member]:
    stream.seek(0)
    directory = _Directory(stream, path)
    tar = tarfile.TarFile(fileobj=directory)
    members: list[Member] = []
    targets: dict[str, Member] = {}  # of hard links, by name
    for count, info in enumerate(tar):
        if info.size < 0:
            raise tarfile.ReadError(f"the member {info.name!r} has {info.size} bytes")
        if count >= MAX_MEMBERS:
            raise IdxError(f"{path}: found more than {MAX_MEMBERS:,} members, expected a handful of IDX files.")
        if compression and info.offset_data + info.size > MAX_SKIPPED_BYTES:
            found = f"{info.name!r} of a compressed tar to end at byte {info.offset_data + info.size:,}"
            raise IdxError(f"{path}: found {found}, expected at most {MAX_SKIPPED_BYTES:,}. Decompress it.")
        if info.isdir():
            continue
        member = Member(path, info.name, info.offset_data, info.size, file_size, compression)
        target = targets.get(os.path.normpath(info.linkname)) if info.islnk() else None
        if target is not None:
            member = target._replace(name=info.name)
        elif not info.isreg() or info.issparse():
            kind = "a link" if info.islnk() or info.issym() else "a sparse file or a device"
            member = member._replace(problem=f"found {kind}, expected a file. Pack the archive without it.")
        targets[os.path.normpath(info.name)] = member
        members.append(member)
    directory.seek(tar.offset)
    # `tarfile` stops at whatever is not a header.
    if directory.read(2 * tarfile.BLOCKSIZE) != bytes(2 * tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"neither a member nor the end of the archive at byte {tar.offset:,}")
    # The checksum of compressed data comes last.
    end = directory.tell() + MAX_SKIPPED_BYTES
    if compression and directory.seek(end + 1) > end:
        raise IdxError(f"{path}: more than {MAX_SKIPPED_BYTES:,} bytes follow the members. Is the file damaged?")
    return members


def _list_zip(file: Stream, path: str) -> list[Member]:
    members = []
    with zipfile.ZipFile(_Directory(file, path)) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if len(infos) > MAX_MEMBERS:
            raise IdxError(f"{path}: found {len(infos):,} members, expected a handful of IDX files.")
        for info in infos:
            problem = ""
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
                problem = "found encryption or unusual compression, expected a stored or deflated member. Zip it again."
            elif info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
                raise zipfile.BadZipFile(f"{info.filename!r} has {info.compress_size} and {info.file_size} bytes")
            else:
                archive.open(info).close()  # compares the member's own header with the directory
            file.seek(info.header_offset + 26)
            lengths = [int.from_bytes(read_fully(file, 2), "little") for _ in ("name", "extra field")]
            member = Member(path, info.filename, info.header_offset + 30 + sum(lengths), info.compress_size, file.size)
            inflated_size = info.file_size if info.compress_type == zipfile.ZIP_DEFLATED else None
            members.append(member._replace(inflated_size=inflated_size, crc32=info.CRC, problem=problem))
    return members
