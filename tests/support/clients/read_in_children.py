"""Read paths in several ways, each in a forked process with a bound on its processor time."""

import contextlib
import io
import json
import math
import os
import resource
import time
from pathlib import Path

from bounded import WALL_SECONDS, Case, Result, as_lists
from loading import read_all

import mnist_idx
from mnist_idx.tools import cli, verify  # imports are no part of the time

ANSWER = Path("answer.json")  # of a child


def main(cases: list[Case]) -> list[Result]:
    return [read_in_child(way, path, seconds) for way, path, seconds in cases]


def read_in_child(way: str, path: str, seconds: float) -> Result:
    ANSWER.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        limit = math.ceil(seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        try:
            result = read(way, path)
        except BaseException as error:
            result = "failed", repr(error)
        ANSWER.write_text(json.dumps(result))
        os._exit(0)
    wait_for(child)
    if not ANSWER.exists():
        return "late", ""
    state, found = json.loads(ANSWER.read_text())
    return state, found


def wait_for(child: int) -> None:
    """Wait until a process has ended. It is killed when its time is over."""
    until = time.monotonic() + WALL_SECONDS
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > until:
            os.kill(child, 9)
        time.sleep(0.005)


def read(way: str, path: str) -> Result:
    if way in ("verify", "preview"):
        return run_command(way, path)
    try:
        found = read_all(way, "idxfolder", splits=("train",), data_dir=path, as_array=True)
    except mnist_idx.IdxError as error:
        return "refused", str(error)
    return "read", as_lists(found)


def run_command(way: str, path: str) -> Result:
    line = [way, path, "--ascii"] if way == "preview" else [way, path]
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = cli.main(line)
    if code != 0:
        return "refused", errors.getvalue()
    return "read", output.getvalue()
