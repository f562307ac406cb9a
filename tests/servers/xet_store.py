"""The part of the Xet protocol that an upload to the Hub needs: what clients send is put together to files again.

A client cuts files into chunks, sends the chunks packed in "xorbs", and then a "shard" that says of which chunks of
which xorbs each file consists, and what the SHA-256 digest of the file is.

Source: the Xet protocol specification, https://huggingface.co/docs/xet/
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

import pyarrow as pa

SHARD_TAG = b"HFRepoMetaData\0"
HEADER_SIZE = ENTRY_SIZE = 48
LAST_HEADER = b"\xff" * 32
WITH_VERIFICATION, WITH_DIGEST = 1 << 31, 1 << 30
STORED, LZ4, GROUPED_LZ4 = range(3)


class XetStore:
    """Xorbs, and the files that shards make of them."""

    def __init__(self, files: dict[str, bytes]) -> None:
        """`files` receives each file that is complete, by its SHA-256 digest."""
        self.files = files
        self.xorbs: dict[str, list[bytes]] = {}

    def put_xorb(self, name: str, content: bytes) -> None:
        self.xorbs[name] = list(unpack_xorb(content))

    def put_shard(self, content: bytes) -> None:
        """Add the files of a shard. A file that is not what its digest says is a ValueError."""
        for digest, parts in read_shard(content):
            file = b"".join(b"".join(self.xorbs[xorb][start:stop]) for xorb, start, stop in parts)
            if hashlib.sha256(file).hexdigest() != digest:
                raise ValueError(f"the chunks do not make up the file {digest}")
            self.files[digest] = file


def name_of(raw: bytes) -> str:
    """A digest as it is written in addresses: four little-endian numbers of eight bytes."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def unpack_xorb(content: bytes) -> Iterator[bytes]:
    """The chunks of a xorb."""
    at = 0
    # Chunks have the version 0; what follows them, if anything, begins with a letter.
    while at < len(content) and content[at] == 0:
        packed = int.from_bytes(content[at + 1 : at + 4], "little")
        kind = content[at + 4]
        size = int.from_bytes(content[at + 5 : at + 8], "little")
        data = content[at + 8 : at + 8 + packed]
        at += 8 + packed
        if kind != STORED:
            data = pa.Codec("lz4").decompress(data, size).to_pybytes()
        yield ungrouped(data) if kind == GROUPED_LZ4 else data


def ungrouped(data: bytes) -> bytes:
    """Undo the grouping of every fourth byte."""
    chunk = bytearray(len(data))
    at = 0
    for offset in range(4):
        count = len(range(offset, len(data), 4))
        chunk[offset::4] = data[at : at + count]
        at += count
    return bytes(chunk)


def read_shard(content: bytes) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """Of each file in a shard, its digest and its parts: the name of a xorb, and which of its chunks."""
    if not content.startswith(SHARD_TAG):
        raise ValueError("not a shard")
    at = HEADER_SIZE
    while content[at : at + 32] != LAST_HEADER:
        flags, count = struct.unpack_from("<II", content, at + 32)
        if not flags & WITH_DIGEST:
            raise ValueError("a file without its SHA-256 digest")
        parts = []
        for entry in range(at + HEADER_SIZE, at + HEADER_SIZE + count * ENTRY_SIZE, ENTRY_SIZE):
            start, stop = struct.unpack_from("<II", content, entry + 40)
            parts.append((name_of(content[entry : entry + 32]), start, stop))
        at += HEADER_SIZE + count * ENTRY_SIZE * (2 if flags & WITH_VERIFICATION else 1)
        yield name_of(content[at : at + 32]), parts
        at += ENTRY_SIZE
