"""One table of compressions: whatever else speaks of them, derives from it."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clients import ROOT
from hypothesis import given
from hypothesis import strategies as st
from packers import PACKERS

from mnist_idx import IdxError
from mnist_idx.archive import Location, list_members
from mnist_idx.compressions import (
    COMPRESSIONS,
    MAGIC_LENGTH,
    SUFFIXES,
    find_compression,
    is_compressed_name,
    strip_suffix,
)
from mnist_idx.filenames import base_name, parse_filename
from mnist_idx.members import Access
from mnist_idx.tools.cli import main, picture_name

MODULES = sorted((ROOT / "mnist_idx").rglob("*.py"))
COMMANDS = ("preview", "verify", "convert", "push", "export", "catalog-row", "example", "run")
# What says that one of the compressions is meant which not everybody has.
RARE = re.compile(r"\.(?:bz2|xz)\b|\b(?:bzip2|bz2|xz|lzma)\b")
Spell = Callable[[str], str]
each_suffix = pytest.mark.parametrize("suffix", SUFFIXES)


def usual_suffixes() -> list[str]:
    """The suffix that each compression has as a rule."""
    return [row.suffixes[0] for row in COMPRESSIONS.values() if row.suffixes]


def assert_lists_all_compressions_or_none(text: str) -> None:
    if RARE.search(text):
        missing = [suffix for suffix in usual_suffixes() if suffix not in text]
        assert missing == []


def test_the_tests_pack_each_compression() -> None:
    rows = {row.name: (row.suffixes, row.magic) for row in COMPRESSIONS.values()}
    assert rows == {name: (packer.suffixes, packer.magic) for name, packer in PACKERS.items()}


def test_each_compression_is_found_by_its_name() -> None:
    assert list(COMPRESSIONS) == [row.name for row in COMPRESSIONS.values()]


@pytest.mark.parametrize("name", PACKERS)
@given(content=st.binary(max_size=50))
def test_the_first_bytes_tell_a_compression(name: str, content: bytes) -> None:
    packed = PACKERS[name].pack(content)
    assert find_compression(packed[:MAGIC_LENGTH]) is COMPRESSIONS[name]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x1f", id="gzip-that-is-cut-short"),
        pytest.param(b"\0\0\x08\x03\0\0", id="idx"),
        pytest.param(b"PK\x03\x04", id="zip"),
        pytest.param(b"BZ", id="bzip2-that-is-cut-short"),
        pytest.param(b"xxx", id="text"),
    ],
)
def test_other_first_bytes_tell_none(head: bytes) -> None:
    assert find_compression(head) is None


@pytest.mark.parametrize("spell", [str.lower, str.upper], ids=["lower-case", "upper-case"])
@each_suffix
def test_names_are_understood_without_their_suffix(
    suffix: str, spell: Callable[[str], str]
) -> None:
    name = f"train-images-idx3-ubyte{spell(suffix)}"
    assert is_compressed_name(name)
    assert strip_suffix(name) == "train-images-idx3-ubyte"
    assert base_name(f"data/{name}") == "train-images-idx3-ubyte"
    assert parse_filename(name)[:3] == ("", "train", "images")


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("data/digits.tar{suffix}", id="tar"),
        pytest.param("data/digits{suffix}", id="file"),
        pytest.param("https://host/digits{suffix}?token=1", id="url-with-a-query"),
    ],
)
@each_suffix
def test_pictures_are_named_without_the_suffix(suffix: str, source: str) -> None:
    assert picture_name(source.format(suffix=suffix)) == "digits.png"


def test_the_message_of_what_is_no_archive_lists_all_compressions(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"something else")
    with pytest.raises(IdxError) as caught:
        list_members(Location(str(tmp_path / "file")), Access())
    assert re.findall(r"\.\w+(?= or|,|\))", str(caught.value)) == usual_suffixes()


@pytest.mark.parametrize("arguments", [[], *[[command] for command in COMMANDS]], ids=str)
def test_a_help_that_lists_compressions_lists_all(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*arguments, "--help"])
    assert_lists_all_compressions_or_none(capsys.readouterr().out)


def test_the_readme_lists_all_compressions_or_none() -> None:
    assert_lists_all_compressions_or_none((ROOT / "README.md").read_text(encoding="utf-8"))


def strings_of(code: str) -> Iterator[str]:
    """The strings in a module that are no documentation."""
    tree = ast.parse(code)
    documentation = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            documentation.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in documentation:
            yield str(node.value)


@pytest.mark.slow
def test_no_other_module_names_a_compression_that_not_everybody_has() -> None:
    found = {}
    for path in MODULES:
        strings = strings_of(path.read_text(encoding="utf-8"))
        rare = {text for text in strings if RARE.search(text)}
        if rare:
            found[path.name] = rare
    assert found.pop("compressions.py"), "the table itself"
    assert found.pop("catalog.py"), "it has the names of published files"
    # Formats that are not read, the words of which tell what was an IDX file.
    assert found == {"filenames.py": {".lzma"}}
