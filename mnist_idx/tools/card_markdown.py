"""Pieces of Markdown: tables, blocks of code, and text that means nothing but itself."""

import re
from collections.abc import Sequence

# What Markdown may take for more than text.
SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")


def escape(text: str) -> str:
    r"""A text on one line, as Markdown that shows it as it is.

    >>> print(escape("a|b\n*c*"))
    a\|b \*c\*
    """
    on_one_line = " ".join(text.split())
    return SPECIAL.sub(r"\\\1", on_one_line)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of cells that are Markdown already.

    Args:
        numbers: the columns of numbers, which are aligned to the right.
    """
    aligned = ["---:" if column in numbers else "---" for column in range(len(head))]
    lines = [_row(head), f"|{'|'.join(aligned)}|"]
    for row in rows:
        lines.append(_row(row))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def block(language: str, text: str) -> str:
    """A block of code, or of `text`."""
    return f"```{language}\n{text}\n```"


def listed(items: Sequence[str]) -> str:
    """Items as a list."""
    return "\n".join(f"- {item}" for item in items)


def enumerate_words(words: Sequence[str]) -> str:
    """Words as a part of a sentence.

    >>> enumerate_words(["a", "b", "c"])
    'a, b and c'
    """
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}"
