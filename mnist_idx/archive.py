"""The members of a tar, a zip or a folder. Nothing is ever extracted.

No path from an archive is used on disk: a member is a range of bytes with a name.
"""

import os
import struct
import tarfile
import zipfile
from collections.abc import Iterator

from datasets import DownloadConfig
from datasets.utils import tqdm

from .compression import DecompressedFile, detect_compression
from .idx import IdxError, Stream, TransferError, read_fully
from .remote import file_system, is_remote, retry
from .storage import Member, open_file

# An archive of IDX files has a handful of members. These bounds keep a hostile one from taking time or memory.
MAX_MEMBERS = 1000
MAX_DIRECTORY_BYTES = 2 << 20
MAX_SKIPPED_BYTES = 4 << 30
SKIP_CHUNK = 16 << 20
# One request holds a tar header, and the headers of the small members that follow it.
HEADER_REQUESTS = (4 << 10, 4 << 10)
# What `zipfile` raises on damaged directories.
DAMAGED_ZIP = (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, IndexError, OSError)
EXPECTED = "a tar (plain, .gz, .bz2 or .xz), a zip, a folder, or an IDX file"


def list_members(path: str, config: DownloadConfig | None = None, name: str | None = None) -> list[Member]:
    """List the members of a tar, a zip or a folder, or a single file, without reading their content.

    A compressed tar is read to its end, which checks its checksum. Members that cannot be read have a `problem`. A
    single file is called `name`, by default by its path.
    """
    folder = list_folder(path, config)
    if folder is not None:
        return folder
    with open_file(path, config, requests=HEADER_REQUESTS) as file:
        compression = detect_compression(file)
        stream = DecompressedFile(file, compression, path) if compression else file
        head = bytes(read_fully(stream, tarfile.BLOCKSIZE))
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not compression:
            return _list_zip(file, path)
        if _is_tar_header(head):
            return list(_iter_tar(stream, path, compression, file.size))
        if head.startswith(b"\0\0") and any(head[2:4]):
            return [Member(path, name or path, file_size=file.size)]
    found = "an HTML or XML page" if head.lstrip()[:1] == b"<" else f"data that starts with {head[:8]!r}"
    raise IdxError(f"{path}: found {found if head else 'an empty file'}, expected {EXPECTED}.")


def list_folder(path: str, config: DownloadConfig | None = None) -> list[Member] | None:
    """The files in a local or remote folder and its subfolders; None if the path is not a folder, as always on HTTP."""
    if not is_remote(path):
        try:
            return [_local_member(file) for file in _walk(path)] if os.path.isdir(path) else None
        except OSError as error:
            raise TransferError(f"{error.filename}: cannot be read: {error.strerror}.") from error
    if path.startswith(("http://", "https://")):
        return None
    fs, fs_path = file_system(path, config)
    if not retry(lambda: fs.isdir(fs_path), path):
        return None
    files = retry(lambda: fs.find(fs_path, detail=True), path)
    urls = {fs.unstrip_protocol(name): info.get("size") for name, info in sorted(files.items())}
    return [Member(url, url, file_size=size) for url, size in urls.items()]


def _walk(folder: str, parents: tuple[str, ...] = ()) -> Iterator[str]:
    """All files below a folder. Symbolic links to folders are followed, but not back to one of the parents."""
    real_path = os.path.realpath(folder)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name) if real_path not in parents else ():
        if entry.is_dir():
            yield from _walk(entry.path, (*parents, real_path))
        else:
            yield entry.path


def _local_member(path: str) -> Member:
    problem = ""
    if not os.path.isfile(path):  # Reading a pipe or a device would never end.
        problem = (
            f"found {'a broken symbolic link' if os.path.islink(path) else 'a pipe or a device'}, expected a file."
        )
    return Member(path, path, problem=problem)


def _is_tar_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


class _Directory(Stream):
    """What `tarfile` and `zipfile` may read of an archive to list its members: a bounded number of bytes."""

    def __init__(self, file: Stream, path: str) -> None:
        self._file = file
        self._path = path
        self._rest = MAX_DIRECTORY_BYTES
        self._bar = tqdm(desc=f"Listing {os.path.basename(path)}", unit="B", unit_scale=True, delay=2, leave=False)

    def read(self, size: int = -1, /) -> bytes:
        data = bytes(read_fully(self._file, min(size, self._rest + 1) if size >= 0 else self._rest + 1))
        self._rest -= len(data)
        if self._rest < 0:
            raise IdxError(
                f"{self._path}: the names and sizes of its members take more than {MAX_DIRECTORY_BYTES:,} bytes, "
                "expected an archive of a handful of IDX files."
            )
        return data

    def seek(self, position: int, whence: int = 0, /) -> int:
        if isinstance(self._file, DecompressedFile):  # There, going on to the next header takes time.
            for stop in range(self.tell() + SKIP_CHUNK, position, SKIP_CHUNK):
                self._file.seek(stop)
                self._bar.update(SKIP_CHUNK)
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read_to_end(self) -> None:
        """Read what follows the last header: the checksum of compressed data comes last."""
        stop = self.tell() + MAX_SKIPPED_BYTES
        while data := self._file.read(SKIP_CHUNK):
            self._bar.update(len(data))
            if self.tell() > stop:
                raise IdxError(
                    f"{self._path}: more than {MAX_SKIPPED_BYTES:,} bytes follow the members. Is it damaged?"
                )


def _iter_tar(stream: Stream, path: str, compression: str, file_size: int | None) -> Iterator[Member]:
    stream.seek(0)
    directory = _Directory(stream, path)
    found: dict[str, Member] = {}
    skipped = 0
    try:
        with tarfile.TarFile(fileobj=directory) as tar:
            for count, info in enumerate(tar):
                if count >= MAX_MEMBERS:
                    raise IdxError(f"{path}: found more than {MAX_MEMBERS:,} members, expected a handful of IDX files.")
                if info.size < 0:
                    raise tarfile.ReadError(f"the member {info.name!r} has {info.size} bytes")
                skipped += info.size if compression else 0
                if skipped > MAX_SKIPPED_BYTES:
                    raise IdxError(
                        f"{path}: the members up to {info.name!r} have {skipped:,} bytes, expected at most "
                        f"{MAX_SKIPPED_BYTES:,} in a compressed tar. Decompress it, or compress its members instead."
                    )
                if info.isdir():
                    continue
                member = Member(path, info.name, info.offset_data, info.size, file_size, compression)
                target = found.get(os.path.normpath(info.linkname)) if info.islnk() else None
                if target is not None:
                    member = target._replace(name=info.name)
                elif not info.isreg() or info.issparse():
                    kind = "a link" if info.islnk() or info.issym() else "a sparse file or a device"
                    member = member._replace(problem=f"found {kind}, expected a file. Pack the archive without it.")
                found[os.path.normpath(info.name)] = member
                yield member
            _check_end_of_tar(directory, tar.offset)
        if compression:
            directory.read_to_end()
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError, IndexError, OSError) as error:
        if isinstance(error, IdxError):
            raise
        raise IdxError(f"{path}: the tar is damaged or cut short ({error}). Fetch it again.") from error


def _check_end_of_tar(directory: Stream, position: int) -> None:
    """`tarfile` stops at the first block that is not a header, or at the end of the file. It must be the end mark."""
    directory.seek(position)
    end = directory.read(2 * tarfile.BLOCKSIZE)
    if end != bytes(2 * tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"neither a member nor the end of the archive at byte {position:,}")


def _list_zip(file: Stream, path: str) -> list[Member]:
    try:
        with zipfile.ZipFile(_Directory(file, path)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if len(infos) > MAX_MEMBERS:
                raise IdxError(f"{path}: found {len(infos):,} members, expected a handful of IDX files.")
            return [_zip_member(archive, info, file, path) for info in infos]
    except DAMAGED_ZIP as error:
        if isinstance(error, IdxError):
            raise
        raise IdxError(f"{path}: the zip is damaged or cut short ({error}). Fetch it again.") from error


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Stream, path: str) -> Member:
    problem = ""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        problem = "found an encrypted or unusually compressed member, expected a stored or deflated one. Zip it again."
    elif info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename!r} has {info.compress_size} and {info.file_size} bytes")
    else:
        archive.open(info).close()  # compares the member's own header with the directory
    file.seek(info.header_offset + 26)
    name_and_extra = struct.unpack("<HH", read_fully(file, 4))
    offset = info.header_offset + 30 + sum(name_and_extra)
    inflated_size = info.file_size if info.compress_type == zipfile.ZIP_DEFLATED else None
    member = Member(path, info.filename, offset, info.compress_size, file.size, problem=problem)
    return member._replace(inflated_size=inflated_size, crc32=info.CRC)
