"""Files that are almost right: IDX, packed IDX, tars and zips with any of their fields off.

Everything is drawn from a `Source`: the coverage-guided fuzzer draws from its input, hypothesis from its strategies.
"""

import bz2
import gzip
import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Protocol, TypeVar

T = TypeVar("T")

SIZES = (0, 1, 2, 3, 10, 28, 100, 1000, 60000, 1 << 16, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
TAR_SIZES = (0, 1, 511, 512, 513, 1 << 16, 1 << 31, 1 << 33, (1 << 63) - 1, 1 << 87)
KINDS = [b"%c" % kind for kind in b"0000\0\x00775123456LKxgSDVX"]
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
NAMES = (b"data/train-images-idx3-ubyte.gz", b"data/train-labels-idx1-ubyte.gz", b"t10k-images.idx3-ubyte")
NAMES += (b"t10k-labels-idx1-ubyte", b"../../etc/passwd", b"/etc/passwd", b"", b"a/", b"\xff\xfe\x00x")


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
    header = struct.pack(f">HBB{dimensions}I", 0, code, dimensions, *shape)
    if seldom(source):
        header = source.bytes(20)
    size = {11: 2, 12: 4, 13: 4, 14: 8}.get(code, 1) * math.prod(shape)
    if size < 1 << 16 and source.number(0, 3):
        return header + source.bytes(64).ljust(size, b"\1")[:size] + (source.bytes(3) if seldom(source) else b"")
    return header + source.bytes(4096)


def pack(source: Source, data: bytes) -> bytes:
    half, gzipped = len(data) // 2, partial(gzip.compress, compresslevel=1, mtime=0)
    ways = (
        lambda: data,
        lambda: gzipped(data),
        lambda: gzipped(data[:half]) + gzipped(data[half:]),
        lambda: gzipped(data) + bytes(source.number(0, 600)) + source.bytes(8),
        lambda: bz2.compress(data, 1),
        lambda: lzma.compress(data, preset=0),
        lambda: zlib.compress(data, 1),
    )
    packed = pick(source, (*ways, *ways[:1] * 2))()
    return damage(source, packed) if seldom(source) else packed


def damage(source: Source, data: bytes) -> bytes:
    if not data:
        return data
    where, how = source.number(0, len(data) - 1), source.number(0, 3)
    rest = (b"", data[where + 4 :], bytes(len(data) - where), data[where:])[how]
    return data[:where] + (source.bytes((0, 4, 0, 16)[how]) if how % 2 else b"") + rest


def good_files(source: Source) -> list[tuple[bytes, bytes]]:
    """The four files of a dataset that is as it should be, each compressed in some way."""
    files = []
    for split in (b"train", b"t10k"):
        count = source.number(1, 5)
        for role, shape in ((b"images-idx3", (count, 2, 3)), (b"labels-idx1", (count,))):
            size = math.prod(shape)
            content = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            content += source.bytes(6 * count).ljust(size, b"\1")[:size]
            files.append((b"%s-%s-ubyte" % (split, role), pack(source, content)))
    return files


def tar_header(
    name: bytes, size: bytes, kind: bytes, magic: bytes = b"ustar\x0000", prefix: bytes = b"", link: bytes = b""
) -> bytes:
    """A tar header with the right checksum, whatever its fields say."""
    before = struct.pack("100s24s12s12s", name, b"0000644\0" * 3, size, b"00000000000\0")
    after = struct.pack("1s100s8s80x155s12x", kind, link, magic, prefix)
    return before + b"%06o\0 " % (sum(before) + sum(after) + 8 * ord(" ")) + after


def octal(size: int) -> bytes:
    return b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")


def padded(header: bytes, content: bytes) -> bytes:
    return header + content + bytes(-len(content) % 512)


def tar(source: Source) -> bytes:
    files = good_files(source) if source.number(0, 1) else []
    parts = [padded(tar_header(name, octal(len(content)), b"0"), content) for name, content in files]
    names = [*NAMES, *(name for name, _ in files)]
    for _ in range(source.number(0, 5 - len(parts))):
        kind = pick(source, KINDS)
        if kind == b"x" and source.number(0, 1):
            body = pax(source)
        elif kind in b"LK" and source.number(0, 1):
            body = pick(source, names) + b"\0"
        else:
            body = b"" if kind in b"12" else member(source)
        size = octal(len(body))
        if seldom(source):
            size = pick(source, (octal(pick(source, TAR_SIZES)), b"-0000000001\0", b"\xff" * 12, source.bytes(12)))
        name = source.bytes(100) if seldom(source) else pick(source, names)
        magic = pick(source, (b"ustar\x0000", b"ustar  \0", b""))
        header = tar_header(name, size, kind, magic, pick(source, (b"", b"", b"prefix")), pick(source, names))
        parts.append(padded(damage(source, header) if seldom(source) else header, body))
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
        text = b" %s=%s\n" % (key, value)
        length = len(text) + (2 if len(text) < 97 else 3)
        records += b"%d" % (source.number(0, 1 << 40) if seldom(source) else length) + text
    return records


def archive_zip(source: Source) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in good_files(source) if source.number(0, 1) else ():
            archive.writestr(name.decode(), content, pick(source, METHODS[:2]))
        for _ in range(source.number(0, 3)):
            method = pick(source, METHODS)
            name = pick(source, NAMES).decode("latin-1").replace("\0", "") or "x"
            archive.writestr(zipfile.ZipInfo(name), member(source), method)
    data = buffer.getvalue()
    return damage(source, data) if source.number(0, 1) else data


def member(source: Source) -> bytes:
    return pack(source, idx(source))


def file(source: Source) -> bytes:
    """Bytes of a file that a user might point the package at."""
    kinds = (archive_zip, archive_zip, member, member, tar, tar, tar, *[lambda source: pack(source, tar(source))] * 2)
    return pick(source, (lambda source: source.bytes(1 << 16), *kinds))(source)
