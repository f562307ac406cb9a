"""Files that are almost right: IDX, packed IDX, tars and zips with any of their fields off.

Everything is drawn from a `Source`: the coverage-guided fuzzer draws from its input, hypothesis
from its strategies.
"""

import bz2
import gzip
import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")

SIZES = (
    0,
    1,
    2,
    3,
    10,
    28,
    100,
    1000,
    60000,
    1 << 16,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
)
TAR_SIZES = (0, 1, 511, 512, 513, 1 << 16, 1 << 31, 1 << 33, (1 << 63) - 1, 1 << 87)
KINDS = [b"%c" % kind for kind in b"0000\0\x00775123456LKxgSDVX"]
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
NAMES = (
    b"data/train-images-idx3-ubyte.gz",
    b"data/train-labels-idx1-ubyte.gz",
    b"t10k-images.idx3-ubyte",
)
NAMES += (
    b"t10k-labels-idx1-ubyte",
    b"../../etc/passwd",
    b"/etc/passwd",
    b"",
    b"a/",
    b"\xff\xfe\x00x",
)
# What names of IDX files consist of, and what makes one unusable.
WORDS = (
    b"train-images-",
    b"train-labels ",
    b"t10k-",
    b"idx3-",
    b"ubyte",
    b"-",
    b"/",
    b"(1)",
    b"copy",
    b"zip",
    b"A",
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
    shape = [
        source.number(0, 5) if source.number(0, 1) else pick(source, SIZES)
        for _ in range(min(dimensions, 40))
    ]
    shape += [1] * (dimensions - len(shape))
    header = struct.pack(f">HBB{dimensions}I", 0, code, dimensions, *shape)
    if seldom(source):
        header = source.bytes(20)
    size = {11: 2, 12: 4, 13: 4, 14: 8}.get(code, 1) * math.prod(shape)
    if size < 1 << 16 and source.number(0, 3):
        return (
            header
            + source.bytes(64).ljust(size, b"\1")[:size]
            + (source.bytes(3) if seldom(source) else b"")
        )
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
    parts = pick(source, ((), (), (), (1,), (2,), (10,)))  # of a label
    for split in (b"train", b"t10k"):
        count = source.number(1, 5)
        for role, shape in ((b"images-idx3", (count, 2, 3)), (b"labels-idx1", (count, *parts))):
            size = math.prod(shape)
            content = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            content += source.bytes(6 * count).ljust(size, b"\1")[:size]
            if role == b"labels-idx1" and seldom(source):
                content = odd_labels(source, count)
            files.append((b"%s-%s-ubyte" % (split, role), pack(source, content)))
    return files


def odd_labels(source: Source, count: int) -> bytes:
    """One-hot labels, labels of another type, or some whose size is out of proportion."""
    kind = source.number(0, 2)
    if kind == 0:
        rows = [
            bytes(number == label for number in range(10))
            for label in source.bytes(count).ljust(count, b"\3")
        ]
        return struct.pack(">HBBII", 0, 8, 2, count, 10) + b"".join(rows)
    if kind == 1:
        code, size = pick(source, ((9, 1), (11, 2), (12, 4), (13, 4), (14, 8)))
        return struct.pack(">HBBII", 0, code, 2, count, 1) + bytes(size - 1).join(
            [b"", *[b"\1"] * count]
        )
    shape = (count, *(pick(source, SIZES) for _ in range(source.number(1, 3))))
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + source.bytes(200)


def tar_header(
    name: bytes,
    size: bytes,
    kind: bytes,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    link: bytes = b"",
) -> bytes:
    """A tar header with the right checksum, whatever its fields say."""
    before = struct.pack("100s24s12s12s", name, b"0000644\0" * 3, size, b"00000000000\0")
    after = struct.pack("1s100s8s80x155s12x", kind, link, magic, prefix)
    return before + b"%06o\0 " % (sum(before) + sum(after) + 8 * ord(" ")) + after


def tar_member(name: bytes, content: bytes, kind: bytes = b"0") -> bytes:
    return padded(tar_header(name, octal(len(content)), kind), content)


def extended(kind: bytes, body: bytes) -> bytes:
    """An extended header, and an empty member that it describes."""
    return tar_member(b"header", body, kind) + tar_member(b"notes.txt", b"")


def pax_record(key: bytes, value: bytes) -> bytes:
    """A record of an extended header, which starts with its own length."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest + len(str(rest))))
    return b"%d %s=%s\n" % (length, key, value)


def octal(size: int) -> bytes:
    return b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")


def padded(header: bytes, content: bytes) -> bytes:
    return header + content + bytes(-len(content) % 512)


def tar(source: Source) -> bytes:
    files = good_files(source) if source.number(0, 1) else []
    parts = [
        padded(tar_header(name, octal(len(content)), b"0"), content) for name, content in files
    ]
    names = [*NAMES, *(name for name, _ in files)]
    for _ in range(source.number(0, 5 - len(parts))):
        kind = pick(source, KINDS)
        if kind in b"xgLK" and seldom(source):
            body = pick(source, (b"1", *WORDS)) * source.number(1, 2000) + source.bytes(3)
        elif kind in b"xg" and source.number(0, 1):
            body = pax(source)
        elif kind in b"LK" and source.number(0, 1):
            body = pick(source, names) + b"\0"
        else:
            body = b"" if kind in b"12" else member(source)
        size = octal(len(body))
        if seldom(source):
            size = pick(
                source,
                (octal(pick(source, TAR_SIZES)), b"-0000000001\0", b"\xff" * 12, source.bytes(12)),
            )
        name = source.bytes(100) if seldom(source) else pick(source, names)
        magic = pick(source, (b"ustar\x0000", b"ustar  \0", b""))
        header = tar_header(
            name, size, kind, magic, pick(source, (b"", b"", b"prefix")), pick(source, names)
        )
        parts.append(padded(damage(source, header) if seldom(source) else header, body))
    if seldom(source):
        parts.insert(source.number(0, len(parts)), bytes(512))
    end = (
        bytes(1024)
        if source.number(0, 3)
        else bytes(512)
        if source.number(0, 1)
        else source.bytes(600)
    )
    whole = b"".join(parts) + end
    return damage(source, whole) if seldom(source) else whole


def pax(source: Source) -> bytes:
    records = b""
    for _ in range(source.number(0, 3)):
        key = pick(source, (b"path", b"size", b"GNU.sparse.map", b"mtime", b"linkpath", b"charset"))
        value = pick(
            source,
            (
                b"data/train-images-idx3-ubyte",
                b"../x",
                b"99999999999999",
                b"\xff",
                source.bytes(30),
            ),
        )
        text = b" %s=%s\n" % (key, value)
        length = len(text) + (2 if len(text) < 97 else 3)
        records += b"%d" % (source.number(0, 1 << 40) if seldom(source) else length) + text
    return records


def long_name(source: Source) -> bytes:
    words = [pick(source, WORDS) for _ in range(source.number(1, 4))]
    return b"".join(words) * source.number(1, 500)


class Entry(NamedTuple):
    """A stored member as the directory of a zip describes it."""

    name: bytes
    offset: int  # of its own header
    size: int
    crc32: int


def zip_header(name: bytes, content: bytes, extra: bytes = b"") -> bytes:
    """The header that stands before a stored member."""
    return _zip_header(name, len(content), zlib.crc32(content), extra)


def _zip_header(name: bytes, size: int, crc32: int, extra: bytes = b"") -> bytes:
    sizes = struct.pack("<III", crc32, size, size)
    lengths = struct.pack("<HH", len(name), len(extra))
    return b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 0, 0, 0x21) + sizes + lengths + name + extra


def zip_directory(entries: Sequence[Entry], start: int) -> bytes:
    """The directory of a zip, which starts at the given offset, and what ends the file."""
    directory = b""
    for entry in entries:
        sizes = struct.pack("<III", entry.crc32, entry.size, entry.size)
        lengths = struct.pack("<HHHHHII", len(entry.name), 0, 0, 0, 0, 0, entry.offset)
        versions = struct.pack("<HHHHHH", 20, 20, 0, 0, 0, 0x21)
        directory += b"PK\1\2" + versions + sizes + lengths + entry.name
    counts = struct.pack("<HHHH", 0, 0, len(entries), len(entries))
    return directory + b"PK\5\6" + counts + struct.pack("<IIH", len(directory), start, 0)


def make_zip(
    members: Sequence[tuple[bytes, bytes]],
    change: Callable[[list[Entry]], list[Entry]] = list,
) -> bytes:
    """A zip of stored members, with a directory that may be changed."""
    data, entries = b"", []
    for name, content in members:
        entries.append(Entry(name, len(data), len(content), zlib.crc32(content)))
        data += zip_header(name, content) + content
    return data + zip_directory(change(entries), len(data))


def zip_of_one_range(names: Sequence[bytes], content: bytes) -> bytes:
    """A zip whose members have headers of their own, with extra fields up to one content."""
    size, crc32 = len(content), zlib.crc32(content)
    end_of_headers = sum(len(_zip_header(name, size, crc32)) for name in names)
    data, entries = b"", []
    for name in names:
        entries.append(Entry(name, len(data), size, crc32))
        header = _zip_header(name, size, crc32)
        length_of_extra = end_of_headers - len(data) - len(header)
        data += header[:28] + struct.pack("<H", length_of_extra) + header[30:]
    return data + content + zip_directory(entries, len(data) + size)


def overlapping_zip(source: Source) -> bytes:
    """A zip with directory entries that are there twice, or that point to other places."""

    def change(entries: list[Entry]) -> list[Entry]:
        for _ in range(source.number(1, 3)):
            number, offset = (
                source.number(0, len(entries) - 1),
                source.number(0, entries[-1].offset),
            )
            other = pick(source, entries)
            at_other, elsewhere = (
                entries[number]._replace(offset=other.offset),
                entries[number]._replace(offset=offset),
            )
            longer = entries[number]._replace(size=entries[number].size + source.number(1, 200))
            entries.append(pick(source, (other, at_other, elsewhere, longer)))
            if source.number(0, 1):
                del entries[number]
        return entries

    files = good_files(source)
    if source.number(0, 1):  # a member that holds another
        inner = zip_header(*files[3]) + files[3][1]
        files[0] = files[0][0], inner.join([source.bytes(9), source.bytes(9)])
    return make_zip(files, change)


def several(source: Source) -> bytes:
    """Files one behind another, with or without zeros between, some of them compressed as one."""
    ways = (
        tar,
        tar,
        archive_zip,
        archive_zip,
        member,
        lambda source: gzip.compress(tar(source), 1),
    )
    zeros = bytes(pick(source, (0, 0, 1, 512, 1024, 10240)))
    joined = zeros.join(pick(source, ways)(source) for _ in range(source.number(2, 3)))
    return pack(source, joined) if seldom(source) else joined


def archive_zip(source: Source) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in good_files(source) if source.number(0, 1) else ():
            archive.writestr(name.decode(), content, pick(source, METHODS[:2]))
        for _ in range(source.number(0, 3)):
            method = pick(source, METHODS)
            name = long_name(source) if seldom(source) else pick(source, NAMES)
            name = name.decode("latin-1").replace("\0", "") or "x"
            archive.writestr(zipfile.ZipInfo(name), member(source), method)
    data = buffer.getvalue()
    return damage(source, data) if source.number(0, 1) else data


def member(source: Source) -> bytes:
    return pack(source, idx(source))


def file(source: Source) -> bytes:
    """Bytes of a file that a user might point the package at."""
    kinds = (
        archive_zip,
        archive_zip,
        member,
        member,
        tar,
        tar,
        tar,
        *[lambda source: pack(source, tar(source))] * 2,
    )
    kinds += (overlapping_zip, several, several)
    return pick(source, (lambda source: source.bytes(1 << 16), *kinds))(source)
