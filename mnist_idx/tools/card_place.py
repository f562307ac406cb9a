"""Where the programs of a card load a dataset from: a repository, or a folder."""

import os
import re
from typing import NamedTuple

from .image_folder import quoted

# What a card says before it is known where it goes.
ANYWHERE = "user/mnist_idx"
LITERAL = r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'"""
CALL = re.compile(rf"load_dataset\((?P<path>{LITERAL})(?P<others>[^()\n]*)\)")


class Place(NamedTuple):
    """Where a dataset is loaded from."""

    path: str  # what `load_dataset` takes: the name of a repository, or the path of a folder
    revision: str | None = None  # a branch of a repository; None for `main`

    @classmethod
    def of_folder(cls, folder: str | os.PathLike[str]) -> "Place":
        """A folder, by the path that the user gives."""
        return cls(os.path.expanduser(os.fspath(folder)) or ".")

    @classmethod
    def of_repository(cls, repo_id: str, revision: str | None) -> "Place":
        """A repository on the Hub. What is proposed for `main` will be loaded from there."""
        is_main = revision is None or revision == "main" or revision.startswith("refs/")
        return cls(repo_id, None if is_main else revision)


def fill_in(card: str, place: Place) -> str:
    """Let the programs of a card load from a place.

    The first program of a card says where it was loaded from before. Other datasets, which people
    may load in programs of their own, stay.

    >>> print(fill_in('load_dataset("user/mnist_idx", "tiny")', Place("alice/digits")))
    load_dataset("alice/digits", "tiny")
    """
    first = CALL.search(card)
    if first is None:
        return card
    old = first["path"]
    new = quoted(place.path)
    revision = "" if place.revision is None else f", revision={quoted(place.revision)}"

    def replaced(call: "re.Match[str]") -> str:
        if call["path"] != old:
            return call[0]
        return f"load_dataset({new}{call['others']}{revision})"

    return CALL.sub(replaced, card)
