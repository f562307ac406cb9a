"""What a file is, by its content, in any place and compression."""

from pathlib import Path

import numpy as np
import pytest
from idx_files import make_tar, to_idx, write_archive
from packers import PACKINGS

from mnist_idx.archive import Location, list_members, list_nested
from mnist_idx.contents import look_at
from mnist_idx.members import Access, Member

IMAGES = np.zeros((2, 3, 3), np.int16)


def only_member(path: Path) -> Member:
    """The one member of a folder or an archive."""
    (member,) = list_members(Location(str(path)), Access())
    return member


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("place", ["folder", "set.tar", "stored.zip", "deflated.zip"])
def test_the_header_is_read_through_the_compression(
    place: str, packing: str, tmp_path: Path
) -> None:
    content = PACKINGS[packing](to_idx(IMAGES))
    path = write_archive(tmp_path / place, {"anything": content})
    header = look_at(only_member(path), Access()).header
    assert header is not None
    assert (header.dtype, header.shape) == (np.int16, (2, 3, 3))


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_archive_is_known_through_the_compression(packing: str, tmp_path: Path) -> None:
    inner = PACKINGS[packing](make_tar({"a": to_idx(IMAGES)}))
    archive = only_member(write_archive(tmp_path / "deflated.zip", {"anything": inner}))
    content = look_at(archive, Access())
    assert (content.header, content.is_archive) == (None, True)
    (member,) = list_nested(archive, Access())
    assert look_at(member, Access()).header is not None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "found an empty file", id="empty"),
        pytest.param(b"\0\0\x0a\x01\0\0\0\0", "element type 0x0A", id="unknown-element-type"),
        pytest.param(b"\x1f\x8b\x08\0damaged", "gzip data is damaged", id="damaged-gzip"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_once(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    path = write_archive(tmp_path / "set.tar", {"anything": content})
    found = look_at(only_member(path), Access())
    assert found.header is None
    assert problem in str(found.error)
    assert str(found.error).count("anything in ") == 1
