"""Load and run commands, and print each error as the interpreter prints one that ends a program."""

import sys
import traceback
from typing import Any

import datasets

import mnist_idx
from mnist_idx.tools import cli


def load(mode: str, path: str = "idxfolder", **options: Any) -> None:
    if mode == "arrays":
        mnist_idx.load_arrays(path, **options)
        return
    data = datasets.load_dataset(path, streaming=mode == "streamed", **options)
    for split in data.values():
        list(split)


def call(mode: str, options: dict[str, Any]) -> int:
    """The exit code of a command, 0 for what loads."""
    if mode in ("verify", "preview"):
        return cli.main([mode, options["data_dir"]])
    load(mode, **options)
    return 0


def main(calls: list[tuple[str, str, dict[str, Any]]], escape: bool) -> list[int | str]:
    """Exit codes, 1 for an `IdxError`, and what other errors are, of each (title, mode, options).

    With `escape`, the last options are of a call whose error nobody catches.
    """
    outcomes: list[int | str] = []
    for title, mode, options in calls:
        print("#", title, mode, file=sys.stderr)
        try:
            outcomes.append(call(mode, options))
        except mnist_idx.IdxError:
            traceback.print_exc()
            outcomes.append(1)
        except Exception as error:
            traceback.print_exc()
            outcomes.append(repr(error))
    if escape:
        try:
            load("prepared", **options)
        except Exception:
            sys.excepthook(*sys.exc_info())  # as the interpreter calls it, which would end here
    return outcomes
