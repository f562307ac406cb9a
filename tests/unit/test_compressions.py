"""One table of compressions: whatever else speaks of them, derives from it."""

import argparse
import ast
import re
from collections.abc import Iterator
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
from mnist_idx.filenames import LEFTOVER_WORDS, base_name, parse_filename
from mnist_idx.members import Access
from mnist_idx.tools.cli import build_parser, picture_name

each_suffix = pytest.mark.parametrize("suffix", SUFFIXES)
# What says that one of the compressions is meant which not everybody has.
RARE = re.compile(r"\.(?:bz2|xz)\b|\b(?:bzip2|bz2|xz|lzma)\b")


def test_the_tests_pack_each_of_them() -> None:
    rows = {row.name: (row.suffixes, row.magic) for row in COMPRESSIONS.values()}
    assert rows == {name: (packer.suffixes, packer.magic) for name, packer in PACKERS.items()}
    assert list(COMPRESSIONS) == list(rows), "each is found by its name"


@pytest.mark.parametrize("name", PACKERS)
@given(content=st.binary(max_size=50))
def test_the_first_bytes_tell_a_compression(name: str, content: bytes) -> None:
    assert find_compression(PACKERS[name].pack(content)[:MAGIC_LENGTH]) is COMPRESSIONS[name]


@pytest.mark.parametrize("head", [b"", b"\x1f", b"\0\0\x08\x03\0\0", b"PK\x03\x04", b"BZ", b"xxx"])
def test_other_first_bytes_tell_none(head: bytes) -> None:
    assert find_compression(head) is None


@each_suffix
def test_names_are_understood_without_their_suffix(suffix: str) -> None:
    for written in (suffix, suffix.upper()):
        name = "train-images-idx3-ubyte" + written
        assert is_compressed_name(name)
        assert strip_suffix(name) == base_name(f"data/{name}") == "train-images-idx3-ubyte"
        assert parse_filename(name) == ("", "train", "images")
    assert suffix.strip(".") not in LEFTOVER_WORDS


@each_suffix
def test_pictures_are_named_without_the_suffix(suffix: str) -> None:
    assert picture_name(f"data/digits.tar{suffix}") == "digits.png"
    assert picture_name(f"data/digits{suffix}") == "digits.png"
    assert picture_name(f"https://host/digits{suffix}?token=1") == "digits.png"


def usual_suffixes() -> list[str]:
    return [row.suffixes[0] for row in COMPRESSIONS.values() if row.suffixes]


def test_the_message_of_what_is_no_archive_names_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"something else")
    with pytest.raises(IdxError) as caught:
        list_members(Location(str(tmp_path / "file")), Access())
    assert re.findall(r"\.\w+(?= or|,|\))", str(caught.value)) == usual_suffixes()


def helps() -> Iterator[str]:
    parser = build_parser()
    yield parser.format_help()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command.format_help()


def test_texts_that_list_compressions_list_all() -> None:
    texts = [(ROOT / "README.md").read_text(encoding="utf-8"), *helps()]
    assert len(texts) > 5
    for text in texts:
        listed = {suffix for suffix in usual_suffixes() if suffix in text}
        assert not RARE.search(text) or listed == set(usual_suffixes())


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


def test_no_other_module_names_one_that_not_everybody_has() -> None:
    found = {}
    for path in (ROOT / "mnist_idx").rglob("*.py"):
        strings = strings_of(path.read_text(encoding="utf-8"))
        # The catalog has the names of published files.
        if path.name not in ("compressions.py", "catalog.py"):
            found[path.name] = {text for text in strings if RARE.search(text)}
    # Formats that are not read, the words of which tell what was an IDX file.
    assert {name: texts for name, texts in found.items() if texts} == {"filenames.py": {"lzma"}}
