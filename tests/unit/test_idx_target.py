"""The files that IDX is written to, read by the standard library."""

import gzip
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx.tools.idx_target import PIECE_BYTES, open_target

GZIP_WITH_HEADER = 31  # for zlib
PATTERN = bytes(range(251)) * (3 * PIECE_BYTES // 251)


def write(path: Path, first: bytes, pieces: list[bytes], last: bytes, compress: bool) -> bytes:
    """Write a file with one header first and another one last. Returns what is in it."""
    target = open_target(path, first, compress)
    for piece in pieces:
        target.write(memoryview(piece))
    target.finish(last)
    return path.read_bytes()


four_bytes = st.binary(min_size=4, max_size=4)


@given(
    headers=st.tuples(four_bytes, four_bytes), pieces=st.lists(st.binary(max_size=300), max_size=5)
)
def test_the_last_header_stands_before_the_content(
    tmp_path_factory: pytest.TempPathFactory, headers: tuple[bytes, bytes], pieces: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("target")
    first, last = headers
    expected = last + b"".join(pieces)
    assert write(folder / "plain", first, pieces, last, compress=False) == expected
    assert gzip.decompress(write(folder / "gz", first, pieces, last, compress=True)) == expected


def test_gzip_is_one_member_with_nothing_behind_it(tmp_path: Path) -> None:
    content = write(tmp_path / "gz", b"0000", [PATTERN], b"1111", compress=True)
    member = zlib.decompressobj(GZIP_WITH_HEADER)
    assert member.decompress(content) == b"1111" + PATTERN
    assert member.eof and member.unused_data == b""


def test_gzip_tells_neither_name_nor_time(tmp_path: Path) -> None:
    content = write(tmp_path / "name", b"0000", [], b"0000", compress=True)
    flags, time = content[3], content[4:8]
    assert (flags, time) == (0, bytes(4))


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(784, id="an-image"),
        pytest.param(PIECE_BYTES - 1, id="less-than-a-piece"),
        pytest.param(PIECE_BYTES + 1, id="more-than-a-piece"),
    ],
)
def test_gzip_of_equal_content_is_equal_however_it_comes(size: int, tmp_path: Path) -> None:
    pieces = [PATTERN[start : start + size] for start in range(0, len(PATTERN), size)]
    at_once = write(tmp_path / "once", b"head", [PATTERN], b"head", compress=True)
    assert write(tmp_path / "pieces", b"head", pieces, b"head", compress=True) == at_once
