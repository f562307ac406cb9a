"""What is in an archive of IDX files, by the standard library and NumPy alone: the judge of what
the package reads.

It is strict. Whatever a checksum, an end mark or a size can tell is checked; an outer compression
is read to its end. Nothing but zeros may follow an archive, nothing may precede it, and no two
members may share a byte.
"""

import contextlib
import io
import itertools
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from packers import PACKINGS, unpack

TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
SUFFIX = "|".join(map(re.escape, PACKINGS))
NAME = re.compile(rf"(?:.*/)?(train|t10k)-(images|labels)[-.]idx\d-ubyte(?:{SUFFIX})")
SPLITS = {"train": "train", "t10k": "test"}


class Refused(Exception):
    """The bytes are damaged, or not what they should be."""


def read_splits(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Read a folder, a tar or a zip: split -> (images, labels), or raise `Refused`."""
    splits: dict[str, dict[str, np.ndarray]] = {}
    for name, contents in read_members(path).items():
        if match := NAME.fullmatch(name):
            splits.setdefault(SPLITS[match[1]], {})[match[2]] = parse(contents[-1])
    for split, arrays in splits.items():
        if "images" not in arrays or len({len(array) for array in arrays.values()}) > 1:
            shapes = ", ".join(f"{role} {array.shape}" for role, array in arrays.items())
            raise Refused(f"{split} has {shapes}")
        if "labels" in arrays:
            arrays["labels"] = as_labels(arrays["labels"])
    return {split: (arrays["images"], arrays.get("labels")) for split, arrays in splits.items()}


def as_labels(array: np.ndarray) -> np.ndarray:
    """Labels `(N, 1)` are labels `(N,)`, and rows of zeros with a one are classes."""
    if array.ndim != 2:
        return array
    num_parts = array.shape[1]
    if num_parts == 1:
        return array[:, 0]
    rows = array.tolist()
    one_hot = [0] * (num_parts - 1) + [1]
    if rows and 2 <= num_parts <= 1000 and all(sorted(row) == one_hot for row in rows):
        return np.array([row.index(1) for row in rows])
    return array


def read_members(path: Path) -> dict[str, list[bytes | None]]:
    """Read the decompressed members of a folder, a tar or a zip: name -> contents, of which the
    last one counts.

    A member that is damaged, or not a file, is None. A damaged container is `Refused`.
    """
    members: dict[str, list[bytes | None]] = {}
    try:
        for name, read in _iter_members(path):
            members.setdefault(name, []).append(_attempt(read))
    except (
        Exception
    ) as error:  # damaged data makes `tarfile` and `zipfile` raise more than they document
        raise Refused(f"{path.name}: {error!r}") from error
    return members


def find_roles(members: Iterable[str]) -> dict[str, set[str]]:
    """Which splits the names of members speak of, and which of "images" and "labels" each has."""
    roles: dict[str, set[str]] = {}
    for match in filter(None, map(NAME.fullmatch, members)):
        roles.setdefault(SPLITS[match[1]], set()).add(match[2])
    return roles


def is_plain(contents: Mapping[str, list[bytes | None]]) -> bool:
    """Whether each member is there once, and is that of one role in one split by its name."""
    matches = [NAME.fullmatch(name) for name in contents]
    roles = {match.groups() for match in matches if match}
    return len(roles) == len(matches) == sum(map(len, contents.values()))


def parse_all(contents: Mapping[str, list[bytes | None]]) -> list[np.ndarray]:
    """The arrays in all members that hold one."""
    arrays = []
    for content in itertools.chain.from_iterable(contents.values()):
        with contextlib.suppress(Refused):
            arrays.append(parse(content))
    return arrays


def parse(content: bytes | None) -> np.ndarray:
    """The array in the content of an IDX file, which is `Refused` if it is not exactly that."""
    try:
        zeros, code, dimensions = struct.unpack_from(">HBB", content or b"")
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        assert zeros == 0
        return np.frombuffer(content[4 + 4 * dimensions :], TYPES[code]).reshape(shape)
    except Exception as error:
        raise Refused(repr(error)) from error


def _iter_members(path: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            yield file.relative_to(path).as_posix(), file.read_bytes
        return
    data = unpack(stored := path.read_bytes())
    if stored.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            _check_places(stored, archive.infolist())
            for info in archive.infolist():
                yield info.filename, lambda info=info: archive.read(info)  # checks the CRC-32
    elif data.startswith(b"\0\0") and any(data[2:4]):  # a single file
        yield str(path), lambda: data
    else:
        yield from _iter_tar(data)


def _iter_tar(data: bytes) -> Iterator[tuple[str, Callable[[], Any]]]:
    with tarfile.TarFile(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            # Hard links are resolved. A symbolic link, a device or a sparse file is never an IDX
            # file.
            usable = info.islnk() or (info.isreg() and not info.issparse())
            if not info.isdir():
                yield (
                    info.name,
                    lambda info=info, usable=usable: (
                        tar.extractfile(info).read() if usable else None
                    ),
                )  # type: ignore[union-attr]
        # `tarfile` ends at the first block that is no header, whatever it is.
        rest = data[tar.offset :]
        is_end = len(rest) >= 2 * tarfile.BLOCKSIZE and not rest.strip(b"\0")
        assert is_end or not rest, f"neither a header nor the end of the file at byte {tar.offset}"


def _check_places(data: bytes, infos: list[zipfile.ZipInfo]) -> None:
    """The members of a zip stand one behind another, then the directory, then the end."""
    end = data.rindex(b"PK\5\6")
    size, start, comment = struct.unpack_from("<IIH", data, end + 12)
    assert start + size == end and end + 22 + comment == len(data), (
        "other data before or behind the zip"
    )
    position = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        assert info.header_offset >= position, f"{info.filename} overlaps another member"
        name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
        position = info.header_offset + 30 + name + extra + info.compress_size
    assert position <= start, "a member reaches into the directory"


def _attempt(read: Callable[[], bytes | None]) -> bytes | None:
    try:
        content = read()
        return None if content is None else unpack(content)
    except Exception:
        return None
