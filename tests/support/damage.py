"""Content that is damaged on purpose."""

import struct
import zipfile
from pathlib import Path


def flip_bits(data: bytes, position: int, bits: int = 0xFF) -> bytes:
    """`data` with some bits of one byte flipped. A negative position counts from the end."""
    position %= len(data)
    return data[:position] + bytes([data[position] ^ bits]) + data[position + 1 :]


def falsify_crc32(path: Path, name: str) -> None:
    """Give a member of a zip a wrong checksum, before the member and in the directory."""
    with zipfile.ZipFile(path) as archive:
        checksum = struct.pack("<L", archive.getinfo(name).CRC)
    content = path.read_bytes()
    assert content.count(checksum) == 2
    path.write_bytes(content.replace(checksum, flip_bits(checksum, 0)))
