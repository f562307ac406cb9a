"""Cards, taken apart: metadata, tables, and programs with what they are said to print."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from clients import run_snippet

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
# None of the package may be needed by a program in a card.
WITHOUT_US = """
import sys
assert not [name for name in sys.modules if name.partition(".")[0] == "mnist_idx"]
"""


class Program(NamedTuple):
    """A program, and the lines that it is said to print."""

    code: str
    prints: list[str]


class Card(NamedTuple):
    """A card: its metadata, and its text."""

    metadata: dict[str, Any]
    text: str

    @property
    def tables(self) -> list[list[list[str]]]:
        """The cells of each table, with its head, without the line under that."""
        return [parse_table(table) for table in find_tables(outside_of_blocks(self.text))]

    def table(self, *head: str) -> list[list[str]]:
        """The rows of the only table whose head starts so."""
        (found,) = [rows for rows in self.tables if rows[0][: len(head)] == list(head)]
        return found[1:]

    def has_table(self, *head: str) -> bool:
        return any(rows[0][: len(head)] == list(head) for rows in self.tables)

    @property
    def programs(self) -> list[Program]:
        """All programs. Each is followed by what it prints: as text, or as a table."""
        found = []
        for block in BLOCK.finditer(self.text):
            if block[1] == "python":
                found.append(Program(block[2], printed_lines(self.text[block.end() :])))
        return found


def parse_card(text: str) -> Card:
    start, head, body = text.split("---\n", 2)
    assert start == ""
    return Card(yaml.safe_load(head), body)


def read_card(folder: Path) -> Card:
    return parse_card((folder / "README.md").read_text(encoding="utf-8"))


def printed_lines(rest: str) -> list[str]:
    """What follows a program: what it is said to print."""
    as_text = re.match(r"\n\nIt prints:\n\n```text\n(.*?)```", rest, re.DOTALL)
    if as_text is not None:
        return as_text[1].splitlines()
    as_table = re.match(r"\n\n((?:\|.*\n)+)", rest)
    assert as_table is not None, f"nothing says what is printed, before {rest[:60]!r}"
    _, *rows = parse_table(as_table[1])
    return [" ".join(cell.strip("`") for cell in row) for row in rows]


def outside_of_blocks(text: str) -> str:
    return BLOCK.sub("", text)


def find_tables(text: str) -> list[str]:
    return re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)


def parse_table(table: str) -> list[list[str]]:
    """The cells of a table, which must be well formed."""
    rows = []
    for line in table.splitlines():
        assert line.startswith("|")
        assert line.endswith("|")
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    under_head = rows.pop(1)
    for cell in under_head:
        assert re.fullmatch(r"-+:?", cell)
    widths = {len(row) for row in [*rows, under_head]}
    assert len(widths) == 1, f"a table whose rows have {widths} cells"
    return rows


def check_programs(card: Card, home: Path, env: dict[str, str] | None = None) -> None:
    """Run each program of a card alone, without the package, in an empty folder."""
    assert card.programs
    for program in card.programs:
        outcome = run_snippet(program.code + WITHOUT_US, home=home, env=env, installed=True)
        assert ADDRESS.sub("", outcome.stdout).splitlines() == program.prints
