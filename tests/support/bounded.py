"""Reads with a bound on processor time, each in a process of its own.

A busy machine fails no test, and a read that never ends does not hold up the others.
"""

import contextlib
import io
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clients import PathLike, run_client

WALL_SECONDS = 60  # for a process that waits instead of working
CODE = "from bounded import run; result = run(args['cases'])"

Case = tuple[str, str, float]  # the way to read, the path, and the seconds that it may take
Result = tuple[str, Any]  # how it ended, and what was read or said


def read_bounded(cases: Sequence[Case], home: PathLike) -> list[Result]:
    """Read paths in the ways "prepared", "streamed", "arrays", "verify" and "preview".

    The results are ("read", split -> [images, labels]), or ("read", output) of a command;
    ("refused", message) for an `IdxError`, or a command that failed; ("late", ""), and
    ("failed", error) for any other error. "arrays" reads the split "train".
    """
    timeout = 30 + WALL_SECONDS * len(cases)
    outcome = run_client(CODE, home=home, args={"cases": cases}, timeout=timeout)
    return [(state, found) for state, found in outcome.result]


def as_lists(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Splits of arrays in the form of a result."""
    lists: dict[str, Any] = {}
    for split, (images, labels) in arrays.items():
        lists[split] = [images.tolist(), None if labels is None else labels.tolist()]
    return lists


# In the client


def run(cases: Sequence[Case]) -> list[Result]:
    from mnist_idx.tools import cli, verify  # noqa: F401  (imports are not part of the time)

    return [_read_in_child(*case) for case in cases]


def _read_in_child(way: str, path: str, seconds: float) -> Result:
    import resource

    answer = Path("answer.json")
    answer.unlink(missing_ok=True)
    if (child := os.fork()) == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
        try:
            result = _read(way, path)
        except BaseException as error:
            result = "failed", repr(error)
        answer.write_text(json.dumps(result))
        os._exit(0)
    until = time.monotonic() + WALL_SECONDS
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > until:
            os.kill(child, 9)
        time.sleep(0.005)
    return tuple(json.loads(answer.read_text())) if answer.exists() else ("late", "")


def _read(way: str, path: str) -> Result:
    from loading import read_all

    import mnist_idx
    from mnist_idx.tools import cli

    if way not in ("verify", "preview"):
        try:
            found = read_all(way, "idxfolder", splits=("train",), data_dir=path, as_array=True)
        except mnist_idx.IdxError as error:
            return "refused", str(error)
        return "read", as_lists(found)
    command = [way, path, "--ascii"] if way == "preview" else [way, path]
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = cli.main(command)
    return ("refused", errors.getvalue()) if code else ("read", output.getvalue())
