"""What an export has written."""

import re
from pathlib import Path

STAMP = re.compile(rb"\n<!--.*-->\n$")  # the last line of a card: a digest of the lines before it


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each file below a folder, hidden ones, too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)}


def contents_without_name(folder: Path, name: str) -> dict[str, bytes]:
    """The same of an export, but for the name of its folder.

    A card has it in its programs, and of anyone's files as the title.
    """
    found = contents(folder)
    card = STAMP.sub(b"", found["README.md"]).decode()
    assert f'"{name}"' in card
    card = card.replace(f'"{name}"', '"FOLDER"')
    title = re.escape(Path(name).name)
    card = re.sub(rf"^(# |pretty_name: ){title}$", r"\1TITLE", card, flags=re.MULTILINE)
    return {**found, "README.md": card.encode()}
