"""Finds the members of an archive, and what each of them is for. Nothing is ever extracted.

An archive is a tar (plain, gzip, bzip2 or xz), a zip, a folder, or a single file; local or remote. No path from an
archive is used on disk: a member is a stretch of bytes with a name.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator

from datasets import DownloadConfig

from .idx import IdxError, read_fully
from .layers import Layer
from .stream import Locator, open_file
from .transfer import file_system, is_remote, with_retries
from .unpack import Unpacker, detect_packing

TAR_BLOCK = 512
# An archive of IDX files has a handful of members. These bounds keep a hostile one from taking time or memory.
MAX_MEMBERS = 1000
MAX_EXTENSION_BYTES = 64 << 10
MAX_NAME = 4096  # characters, as in file systems
MAX_ZIP_DIRECTORY_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 62  # what a file can be sought to
# One request is enough for a tar header, and for the headers of the small members that follow it.
HEADER_REQUEST = 4 << 10
EXPECTED = "a tar (plain, .gz, .bz2 or .xz), a zip, a folder, or an IDX file"


def list_members(path: str, download_config: DownloadConfig | None = None, name: str | None = None) -> list[Locator]:
    """Find the members of an archive without reading their content.

    Args:
        path: local path or URL of a tar, a zip, a folder or a single file.
        download_config: token and storage options for remote files.
        name: what a single file is called, where not by its path.

    Returns:
        One locator for each regular file in it, in the order in which they are stored.

    Raises:
        TransferError: the archive cannot be reached.
        IdxError: it is no archive, is damaged, or is made in a way that is refused.
    """
    folder = list_folder(path, download_config)
    if folder is not None:
        return folder
    file = open_file(path, download_config, first_request=HEADER_REQUEST, largest_request=HEADER_REQUEST)
    try:
        packing = detect_packing(file)
        stream = Unpacker(file, packing, path) if packing else file
        head = bytes(read_fully(stream, TAR_BLOCK))
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not packing:
            return _list_zip(file, path)
        if _is_tar_header(head):
            return list(_iter_tar(stream, path, packing, file.size))
        if head.startswith(b"\0\0") and any(head[2:4]):
            return [Locator(path, name or path, file_size=file.size)]
        raise IdxError(
            f"{path}: found {_what(head)}, expected {EXPECTED}. A wrong file that was downloaded earlier is replaced "
            'with download_mode="force_redownload".'
        )
    finally:
        file.close()


def _what(head: bytes) -> str:
    if not head:
        return "an empty file"
    if head.lstrip()[:1] == b"<":
        return "an HTML or XML page"
    return f"data that starts with {head[:8]!r}"


def list_folder(path: str, download_config: DownloadConfig | None = None) -> list[Locator] | None:
    """The files of a local or remote folder and those below it; None where the path is no folder.

    HTTP has no folders.
    """
    if not is_remote(path):
        if not os.path.isdir(path):
            return None
        found = (os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names)
        # Reading a pipe or a device that somebody has put there would never end.
        return [Locator(file, file) for file in sorted(found) if os.path.isfile(file)]
    if path.startswith(("http://", "https://")):
        return None
    fs, fs_path = file_system(path, download_config)
    if not with_retries(lambda: fs.isdir(fs_path), path):
        return None
    files = with_retries(lambda: fs.find(fs_path, detail=True), path)
    return [
        Locator(fs.unstrip_protocol(name), fs.unstrip_protocol(name), file_size=info.get("size"))
        for name, info in sorted(files.items())
    ]


def _is_tar_header(block: bytes) -> bool:
    """Whether a block has the checksum of a tar header: the sum of its bytes, the checksum itself taken as spaces."""
    if len(block) < TAR_BLOCK or not any(block):
        return False
    try:
        recorded = _number(block[148:156])
    except ValueError:
        return False
    return recorded == sum(block[:148]) + 8 * ord(" ") + sum(block[156:])


def _number(field: bytes) -> int:
    """A number of a tar header: octal digits, or base 256 where the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return int(field.strip(b" \0").decode("ascii") or "0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _iter_tar(stream: Layer, path: str, packing: str, file_size: int | None) -> Iterator[Locator]:
    position, long_name, count = 0, "", 0
    while True:
        stream.seek(position)
        block = bytes(read_fully(stream, TAR_BLOCK))
        if not any(block):  # the end, marked by zeros or not
            return
        count += 1
        if count > MAX_MEMBERS:
            raise IdxError(f"{path}: more than {MAX_MEMBERS:,} members in the tar, expected a handful of IDX files.")
        if not _is_tar_header(block):
            raise IdxError(
                f"{path}: expected the header of a tar member at byte {position:,}, found something else. The archive "
                "is damaged or cut short: fetch it again."
            )
        kind, size = block[156:157], _size(block, path, position)
        position += TAR_BLOCK
        if kind in b"Lx":
            extension = _read_extension(stream, size, path)
            long_name = _text(extension) if kind == b"L" else _pax_name(extension, path) or long_name
            if len(long_name) > MAX_NAME:
                raise IdxError(f"{path}: the tar has a member whose name has {len(long_name):,} characters.")
        elif kind == b"S":
            raise IdxError(f"{path}: the tar has a sparse member, which is not supported. Pack it without --sparse.")
        elif kind in b"0\0" + b"7":
            name, long_name = long_name or _member_name(block), ""
            if not packing and file_size is not None and position + size > file_size:
                raise IdxError(
                    f"{path}: the member {name!r} should end at byte {position + size:,}, but the archive has only "
                    f"{file_size:,} bytes. It is cut short: fetch it again."
                )
            if not name.endswith("/"):
                yield Locator(path, name, position, size, file_size, container=packing)
        else:  # folders, links and devices: nothing to read there
            long_name = ""
            if kind in b"123456":
                continue
        position += -(-size // TAR_BLOCK) * TAR_BLOCK


def _size(block: bytes, path: str, position: int) -> int:
    try:
        size = _number(block[124:136])
    except ValueError:
        size = -1
    if not 0 <= size <= MAX_FILE_BYTES - position:
        raise IdxError(
            f"{path}: the tar header at byte {position:,} has the size {block[124:136]!r}, expected the bytes of the "
            "member as octal digits. The archive is damaged: fetch it again."
        )
    return size


def _member_name(block: bytes) -> str:
    name, prefix = _text(block[:100]), _text(block[345:500])
    return f"{prefix}/{name}" if block[257:262] == b"ustar" and block[262:263] == b"\0" and prefix else name


def _read_extension(stream: Layer, size: int, path: str) -> bytes:
    if size > MAX_EXTENSION_BYTES:
        raise IdxError(f"{path}: the tar has an extended header of {size:,} bytes, expected a file name.")
    return bytes(read_fully(stream, size))


def _pax_name(records: bytes, path: str) -> str:
    """The file name in a pax extended header, which is made of records "length key=value\\n"."""
    name = ""
    while records:
        length, space, _ = records.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(records):
            raise IdxError(f"{path}: the tar has a damaged extended header: {records[:40]!r}. Fetch it again.")
        key, _, value = records[len(length) + 1 : int(length) - 1].partition(b"=")
        if key.startswith(b"GNU.sparse") or key == b"size":
            raise IdxError(f"{path}: the tar has a sparse or oversized member, which is not supported.")
        if key == b"path":
            name = value.decode("utf-8", "surrogateescape")
        records = records[int(length) :]
    return name


def _list_zip(file: Layer, path: str) -> list[Locator]:
    assert file.size is not None
    tail_start = max(0, file.size - (64 << 10) - 22)
    file.seek(tail_start)
    tail = bytes(read_fully(file, file.size - tail_start))
    end = tail.rfind(b"PK\x05\x06")
    directory_size = struct.unpack_from("<I", tail, end + 12)[0] if 0 <= end <= len(tail) - 22 else None
    if directory_size is None or directory_size > MAX_ZIP_DIRECTORY_BYTES:
        raise IdxError(f"{path}: the zip has no directory of a handful of files at its end. Is it cut short?")
    try:
        with zipfile.ZipFile(_Seekable(file)) as archive:
            return [_zip_locator(file, info, path) for info in archive.infolist() if not info.filename.endswith("/")]
    except (zipfile.BadZipFile, NotImplementedError, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise IdxError(f"{path}: the zip is damaged ({error}). Fetch it again.") from error


def _zip_locator(file: Layer, info: zipfile.ZipInfo, path: str) -> Locator:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise IdxError(
            f"{path}: the member {info.filename!r} is encrypted or compressed by method {info.compress_type}, expected "
            "stored or deflated. Pack it again."
        )
    header = b""
    if info.header_offset >= 0:
        file.seek(info.header_offset)
        header = bytes(read_fully(file, 30))
    if not header.startswith(b"PK\x03\x04") or len(header) < 30:
        raise IdxError(f"{path}: the member {info.filename!r} is not where the zip's directory says. Fetch it again.")
    name_size, extra_size = struct.unpack_from("<HH", header, 26)
    offset = info.header_offset + 30 + name_size + extra_size
    inflated_size = info.file_size if info.compress_type == zipfile.ZIP_DEFLATED else None
    return Locator(path, info.filename, offset, info.compress_size, file.size, inflated_size=inflated_size)


class _Seekable:
    """What `zipfile` needs of a file, over a layer."""

    def __init__(self, file: Layer) -> None:
        self._file = file
        self.tell = file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        origin = (0, self._file.tell(), self._file.size or 0)[whence]
        if origin + offset < 0:
            raise OSError("before the start")
        self._file.seek(origin + offset)
        return origin + offset

    def read(self, size: int = -1) -> bytes:
        rest = max(0, (self._file.size or 0) - self._file.tell())
        return bytes(read_fully(self._file, rest if size < 0 else min(size, rest)))

    def seekable(self) -> bool:
        return True
