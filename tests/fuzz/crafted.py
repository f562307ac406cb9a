"""Files that are almost right: IDX, packed IDX, tars and zips with any of their fields off.

Everything is drawn from a `Source`: the coverage-guided fuzzer draws from its input, hypothesis from its strategies.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")

SIZES = (0, 1, 2, 3, 10, 28, 100, 1000, 60000, 1 << 16, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
TAR_SIZES = (0, 1, 511, 512, 513, 1 << 16, 1 << 31, 1 << 33, (1 << 63) - 1, 1 << 87)
KINDS = b"0000\0\x00775123456LKxgSDVX"
NAMES = (
    b"data/train-images-idx3-ubyte.gz",
    b"data/train-labels-idx1-ubyte.gz",
    b"t10k-images.idx3-ubyte",
    b"t10k-labels-idx1-ubyte",
    b"../../etc/passwd",
    b"/etc/passwd",
    b"",
    b"a/",
    b"\xff\xfe\x00x",
)


class Source(Protocol):
    def number(self, low: int, high: int) -> int: ...

    def bytes(self, most: int) -> bytes: ...


def pick(source: Source, values: Sequence[T]) -> T:
    return values[source.number(0, len(values) - 1)]


def seldom(source: Source) -> bool:
    return source.number(0, 7) == 7


def idx(source: Source) -> bytes:
    code = source.number(0, 255) if seldom(source) else pick(source, (8, 8, 8, 9, 11, 12, 13, 14))
    dimensions = source.number(0, 255) if seldom(source) else source.number(0, 4)
    shape = [source.number(0, 5) if source.number(0, 1) else pick(source, SIZES) for _ in range(min(dimensions, 40))]
    shape += [1] * (dimensions - len(shape))
    header = bytes([0, 0, code, dimensions]) + struct.pack(f">{dimensions}I", *shape)
    if seldom(source):
        header = source.bytes(20)
    size = {8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8}.get(code, 1)
    for n in shape:
        size *= n
    if size < 1 << 16 and source.number(0, 3):
        return header + source.bytes(64).ljust(size, b"\1")[:size] + (source.bytes(3) if seldom(source) else b"")
    return header + source.bytes(4096)


def pack(source: Source, data: bytes) -> bytes:
    way = source.number(0, 8)
    if way == 1:
        data = gzip.compress(data, 1, mtime=0)
    elif way == 2:
        half = len(data) // 2
        data = gzip.compress(data[:half], 1, mtime=0) + gzip.compress(data[half:], 1, mtime=0)
    elif way == 3:
        data = gzip.compress(data, 1, mtime=0) + b"\0" * source.number(0, 600) + source.bytes(8)
    elif way == 4:
        data = bz2.compress(data, 1)
    elif way == 5:
        data = lzma.compress(data, preset=0)
    elif way == 6:
        data = zlib.compress(data, 1)
    return damage(source, data) if seldom(source) else data


def damage(source: Source, data: bytes) -> bytes:
    if not data:
        return data
    where = source.number(0, len(data) - 1)
    how = source.number(0, 3)
    if how == 0:
        return data[:where]
    if how == 1:
        return data[:where] + source.bytes(4) + data[where + 4 :]
    if how == 2:
        return data[:where] + bytes(len(data) - where)
    return data[:where] + source.bytes(16) + data[where:]


def good_files(source: Source) -> list[tuple[bytes, bytes]]:
    """The four files of a dataset that is as it should be, each compressed in some way."""
    files = []
    for split in (b"train", b"t10k"):
        count = source.number(1, 5)
        for role, shape in ((b"images-idx3", (count, 2, 3)), (b"labels-idx1", (count,))):
            header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            pixels = source.bytes(6 * count)
            content = header + pixels.ljust(math.prod(shape), b"\1")[: math.prod(shape)]
            files.append((b"%s-%s-ubyte" % (split, role), pack(source, content)))
    return files


def tar_header(
    name: bytes, size: bytes, kind: bytes, magic: bytes = b"ustar\x0000", prefix: bytes = b"", link: bytes = b""
) -> bytes:
    """A tar header with the right checksum, whatever its fields say."""
    fields = (
        name[:100].ljust(100, b"\0")
        + b"0000644\0" * 3
        + size[:12].ljust(12, b"\0")
        + b"00000000000\0"
        + b" " * 8
        + kind
        + link[:100].ljust(100, b"\0")
        + magic[:8].ljust(8, b"\0")
        + bytes(80)
        + prefix[:155].ljust(155, b"\0")
        + bytes(12)
    )
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def octal(size: int) -> bytes:
    return b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")


def tar(source: Source) -> bytes:
    parts, names = [], [*NAMES]
    if source.number(0, 1):
        for name, content in good_files(source):
            parts.append(tar_header(name, octal(len(content)), b"0") + content + bytes(-len(content) % 512))
            names.append(name)
    for _ in range(source.number(0, 5 - len(parts))):
        position = source.number(0, len(KINDS) - 1)
        kind = KINDS[position : position + 1]
        if kind == b"x" and source.number(0, 1):
            body = pax(source)
        elif kind in b"LK" and source.number(0, 1):
            body = pick(source, names) + b"\0"
        elif kind in b"12":
            body = b""
        else:
            body = member(source)
        size = octal(len(body))
        if seldom(source):
            size = pick(source, (octal(pick(source, TAR_SIZES)), b"-0000000001\0", b"\xff" * 12, source.bytes(12)))
        name = source.bytes(100) if seldom(source) else pick(source, names)
        magic = pick(source, (b"ustar\x0000", b"ustar  \0", b""))
        header = tar_header(name, size, kind, magic, pick(source, (b"", b"", b"prefix")), pick(source, names))
        if seldom(source):
            header = damage(source, header)
        parts.append(header + body + bytes(-len(body) % 512))
    if seldom(source):
        parts.insert(source.number(0, len(parts)), bytes(512))
    end = bytes(1024) if source.number(0, 3) else bytes(512) if source.number(0, 1) else source.bytes(600)
    whole = b"".join(parts) + end
    return damage(source, whole) if seldom(source) else whole


def pax(source: Source) -> bytes:
    records = b""
    for _ in range(source.number(0, 3)):
        key = pick(source, (b"path", b"size", b"GNU.sparse.map", b"mtime", b"linkpath", b"charset"))
        value = pick(source, (b"data/train-images-idx3-ubyte", b"../x", b"99999999999999", b"\xff", source.bytes(30)))
        text = b" " + key + b"=" + value + b"\n"
        length = len(text) + 2 if len(text) < 97 else len(text) + 3
        records += b"%d" % (source.number(0, 1 << 40) if seldom(source) else length) + text
    return records


def archive_zip(source: Source) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in good_files(source) if source.number(0, 1) else ():
            archive.writestr(name.decode(), content, pick(source, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
        for _ in range(source.number(0, 3)):
            method = pick(source, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
            info = zipfile.ZipInfo(pick(source, NAMES).decode("latin-1").replace("\0", "") or "x")
            info.compress_type = method
            archive.writestr(info, member(source))
    data = buffer.getvalue()
    return damage(source, data) if source.number(0, 1) else data


def member(source: Source) -> bytes:
    return pack(source, idx(source))


def file(source: Source) -> bytes:
    """Bytes of a file that a user might point the package at."""
    kind = source.number(0, 9)
    if kind == 0:
        return source.bytes(1 << 16)
    if kind < 3:
        return archive_zip(source)
    if kind < 5:
        return member(source)
    if kind < 8:
        return tar(source)
    return pack(source, tar(source))
