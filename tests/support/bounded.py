"""Reads with a bound on processor time, each in a process of its own.

A busy machine fails no test, and a read that never ends does not hold up the others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from clients import PathLike, run_client, skip_unless_linux

WALL_SECONDS = 60  # for a process that waits instead of working

Case = tuple[str, str, float]  # the way to read, the path, and the seconds that it may take
Result = tuple[str, Any]  # how it ended, and what was read or said


def read_bounded(cases: Sequence[Case], home: PathLike) -> list[Result]:
    """Read paths in the ways "prepared", "streamed", "arrays", "verify" and "preview".

    The results are ("read", split -> [images, labels]), or ("read", output) of a command;
    ("refused", message) for an `IdxError`, or a command that failed; ("late", ""), and
    ("failed", error) for any other error. "arrays" reads the split "train".
    """
    skip_unless_linux("bounds the time of forked processes")
    timeout = 30 + WALL_SECONDS * len(cases)
    outcome = run_client("read_in_children", home=home, args={"cases": cases}, timeout=timeout)
    return [(state, found) for state, found in outcome.result]


def as_lists(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Splits of arrays in the form of a result."""
    lists: dict[str, Any] = {}
    for split, (images, labels) in arrays.items():
        lists[split] = [images.tolist(), None if labels is None else labels.tolist()]
    return lists
