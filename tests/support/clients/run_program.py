"""Run a program of this folder as a client, and write down what its `main` returns.

`clients.start_client` starts it. The variable CLIENT says, as JSON, which program, the arguments of
its `main`, what it may take, and the file for the answer.
"""

import importlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from process_memory import STATUS, peak_memory
from stand_in_catalog import CATALOG_VARIABLE, described


def limit_process(limits: dict[str, int]) -> None:
    """Set limits, by their names in the module `resource`."""
    if not limits:
        return
    import resource  # not every system has it

    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))


def describe_stand_in() -> None:
    """Let the catalog describe the stand-in for MNIST, if this is the client of a test on it."""
    facts = os.environ.get(CATALOG_VARIABLE)
    if facts is None:
        return
    from mnist_idx.catalog import DATASETS

    DATASETS.update(described(Path(facts)))


def write_answer(path: str, result: Any) -> None:
    answer = {"result": result}
    if os.path.exists(STATUS):
        answer["peak"] = peak_memory()
    with open(path, "w") as file:
        json.dump(answer, file)


def run() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, shells ignore it
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it
    request = json.loads(os.environ.pop("CLIENT"))
    limit_process(request["limits"])
    describe_stand_in()
    result = None
    try:
        program = importlib.import_module(request["program"])
        result = program.main(**request["args"])
    finally:
        write_answer(request["answer"], result)


if __name__ == "__main__":
    run()
