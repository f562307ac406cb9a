"""A folder for what a killed program has finished, from which the next one goes on.

It stands beside the target, or in it if that is a folder already, and its name begins with a dot:
nobody loads it. It goes when all is finished, and when nothing in it is.

```text
.mnist_idx-digits.unfinished/plan.json     what is being written: only the same plan goes on
.mnist_idx-digits.unfinished/new/…         files that are finished
.mnist_idx-digits.unfinished/notes/…       what is known of them, and files that are not finished
```
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import IdxError
from .staged import lock_folder, named_errors, unlock_folder

NEW, NOTES, PLAN = "new", "notes", "plan.json"


class Unfinished(NamedTuple):
    """Where finished files are kept."""

    new: Path
    notes: Path


def unfinished_path(target: Path) -> Path:
    """Where what is not finished of a target is kept."""
    place = target if target.is_dir() else target.parent
    return place / f".mnist_idx-{target.name}.unfinished"


@contextmanager
def unfinished(target: Path, plan: Mapping[str, Any]) -> Iterator[Unfinished]:
    """Yield where to keep finished files of a target, and those that an earlier run has kept.

    Args:
        target: an absolute path.
        plan: what decides which files they are, as JSON can tell it.

    Raises:
        IdxError: what is kept there is of another plan, or another process is writing it.
    """
    path = unfinished_path(target)
    with named_errors(target):
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock = lock_folder(path, wait=False)
        except BlockingIOError as error:
            found = f"{target}: another process is writing it"
            raise IdxError(f"{found}. Wait for it, or choose another target.") from error
    try:
        with named_errors(target):
            _check_plan(path, plan)
            _remove_halves(path / NOTES)
            (path / NEW).mkdir(exist_ok=True)
        try:
            yield Unfinished(path / NEW, path / NOTES)
        except BaseException:
            if not _has_files(path / NEW):
                shutil.rmtree(path, ignore_errors=True)
            raise
        shutil.rmtree(path, ignore_errors=True)
    finally:
        unlock_folder(lock)


def _check_plan(path: Path, plan: Mapping[str, Any]) -> None:
    """Refuse what is kept of another plan. Write the plan of a new folder."""
    file = path / PLAN
    text = json.dumps(plan, indent=1, default=str)
    if file.exists():
        if file.read_text(encoding="utf-8") == text:
            return
        found = "what is unfinished there is of other files or other options"
    elif any(path.iterdir()):
        found = f"found files there without a {PLAN}"
    else:
        written = file.with_suffix(".new")
        written.write_text(text, encoding="utf-8")
        written.replace(file)
        return
    raise IdxError(f"{path}: {found}. Repeat the command that began it, or remove this folder.")


def _remove_halves(notes: Path) -> None:
    """Remove what was not finished when a process was killed."""
    for path in notes.rglob("*"):
        if path.is_file() and path.suffix != ".json":
            path.unlink(missing_ok=True)


def _has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def link_files(source: Path, target: Path) -> None:
    """Put the files of a folder into another one, and keep them where they are if that is free."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        try:
            os.link(path, place)
        except OSError:  # a file system without hard links
            path.rename(place)
