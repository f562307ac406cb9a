"""A slice that begins behind the end of its file is empty, or an error if it has a size."""

from pathlib import Path

import pytest

from mnist_idx.errors import DamagedError
from mnist_idx.members import open_file
from mnist_idx.streams import FileSlice


@pytest.mark.parametrize("offset", [5, 6, 9])
@pytest.mark.parametrize("size", [None, 0])
def test_there_is_nothing_behind_the_end(offset: int, size: int | None, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    with FileSlice(open_file(str(tmp_path / "file")), offset, size, "part") as part:
        assert part.size == 0
        assert part.readall() == b""


@pytest.mark.parametrize("offset", [5, 6, 9])
def test_bytes_behind_the_end_are_an_error(offset: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    with open_file(str(tmp_path / "file")) as file, pytest.raises(DamagedError, match="part"):
        FileSlice(file, offset, 1, "part")
