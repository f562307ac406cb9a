"""The programs of `mnist_idx.examples`, as texts to copy."""

import ast
import importlib.resources
import json
import os
from typing import NamedTuple

from .. import examples
from ..errors import IdxError
from ..suggestions import closest_names, did_you_mean

PROGRAM, NOTEBOOK = ".py", ".ipynb"


class Example(NamedTuple):
    """A program, or a notebook."""

    name: str
    text: str
    summary: str  # a line


def list_examples() -> list[Example]:
    """All examples that the installed package has, by their names.

    >>> [example.name for example in list_examples()][:3]
    ['augment', 'cluster', 'distributed']
    """
    found: list[Example] = []
    for file in importlib.resources.files(examples).iterdir():
        name, ending = os.path.splitext(file.name)
        if name.startswith("_") or ending not in (PROGRAM, NOTEBOOK):
            continue
        text = file.read_text(encoding="utf-8")
        summary = summary_of_program(text) if ending == PROGRAM else summary_of_notebook(text)
        found.append(Example(name, text, summary))
    return sorted(found)


def summary_of_program(text: str) -> str:
    """The first line of the docstring.

    >>> summary_of_program("'''Count.\\n\\nLong.\\n'''")
    'Count.'
    """
    docstring = ast.get_docstring(ast.parse(text)) or ""
    return docstring.partition("\n")[0]


def summary_of_notebook(text: str) -> str:
    """The title: the first line of the first cell.

    >>> summary_of_notebook('{"cells": [{"source": ["# Count\\\\n", "More."]}]}')
    'Count'
    """
    first_line: str = json.loads(text)["cells"][0]["source"][0]
    return first_line.strip("# \n")


def find_example(name: str) -> Example:
    """The example of a name."""
    by_name = {example.name: example for example in list_examples()}
    if name in by_name:
        return by_name[name]
    stem, _ = os.path.splitext(name)
    question = did_you_mean(closest_names(stem, by_name))
    raise IdxError(f"{name}: no such example.{question} There are {', '.join(by_name)}.")


def write_example(example: Example, target: str | os.PathLike[str]) -> None:
    """Write an example to a file that is not there yet."""
    try:
        file = open(target, "x", encoding="utf-8", newline="\n")
    except FileExistsError:
        advice = "Choose another file with --output."
        raise IdxError(f"{os.fspath(target)}: exists already. {advice}") from None
    with file:
        file.write(example.text)
