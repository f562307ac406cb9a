"""Clients of the package: Python programs in processes of their own, with their own cache and
environment.

The programs are the files of `clients/`, each with a function `main`: arguments come in and its
result goes out as JSON.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from stand_in_catalog import CATALOG_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
PathLike = str | os.PathLike[str]

PROGRAMS = Path(__file__).with_name("clients")
SET = (
    "HF_HUB_DISABLE_TELEMETRY",
    "HF_DATASETS_DISABLE_PROGRESS_BARS",
    "HF_HUB_DISABLE_PROGRESS_BARS",
)
SET += ("PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "OMP_NUM_THREADS")
DROPPED = (
    "MNIST_IDX_",
    "HF_",
    "HUGGINGFACE_",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "all_proxy",
)


@dataclasses.dataclass
class Outcome:
    returncode: int
    stdout: str
    stderr: str
    result: Any = None  # of `main`, None if it did not return
    peak: int | None = None  # bytes of resident memory at its highest, where Linux counts them

    @property
    def error(self) -> str:
        """The exception that ended the program: the last lines from its type on."""
        return re.split(r"(?m)^(?=(?:\w+\.)*[A-Z]\w*(?:: .*)?$)", self.stderr)[-1].rstrip()


@dataclasses.dataclass
class Client:
    process: subprocess.Popen[bytes]
    folder: Path
    temporary: tempfile.TemporaryDirectory[str]

    def kill(self) -> None:
        """`kill -9` the client and the processes it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.temporary.cleanup()

    def wait(self, timeout: float = 120, check: bool = True) -> Outcome:
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGABRT)  # the fault handler says where it hangs
            self.process.wait()
            check = True
        self.temporary.cleanup()
        stdout, stderr = (
            (self.folder / name).read_text(errors="replace") for name in ("stdout", "stderr")
        )
        assert self.process.returncode == 0 or not check, (
            f"{self.folder} ended with:\n{stderr[-6000:]}"
        )
        answer = json.loads((self.folder / "answer.json").read_text() or "{}")
        return Outcome(self.process.returncode, stdout, stderr, **answer)


def start_client(
    program: str,
    *,
    home: PathLike,
    args: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
    cwd: PathLike | None = None,
    memory: int | None = None,  # bytes of its address space, at most
    file_size: int | None = None,  # bytes of each file it writes, at most
    processor_time: int | None = None,  # seconds
    # leave the checkout off the path, so that only an installed package is found
    installed: bool = False,
) -> Client:
    """Start a program of `PROGRAMS`, with `HF_HOME=home`. `args` are those of its `main`."""
    folder = Path(tempfile.mkdtemp(prefix="client-", dir=Path(home).parent))
    # Short: the paths of sockets have 108 characters at most.
    temporary = tempfile.TemporaryDirectory(prefix="c-")
    (folder / "cwd").mkdir()
    (folder / "answer.json").touch()
    support = str(PROGRAMS.parent)
    request = {
        "program": program,
        "args": args or {},
        "limits": resource_limits(memory, file_size, processor_time),
        "answer": str(folder / "answer.json"),
    }
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(DROPPED)
    }
    environment |= {
        **dict.fromkeys(SET, "1"),
        "HF_HOME": str(home),
        "TMPDIR": temporary.name,
        **(env or {}),
    }
    environment["PYTHONPATH"] = support if installed else f"{ROOT}{os.pathsep}{support}"
    if installed:
        environment.pop(CATALOG_VARIABLE, None)
    environment["CLIENT"] = json.dumps(request)
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        process = subprocess.Popen(
            [python, "-u", str(PROGRAMS / "run_program.py")],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=cwd or folder / "cwd",
            env=environment,
            start_new_session=True,
        )
    return Client(process, folder, temporary)


def resource_limits(
    memory: int | None, file_size: int | None, processor_time: int | None
) -> dict[str, int]:
    """Limits by their names in the module `resource`, which not every system has."""
    named = {"RLIMIT_AS": memory, "RLIMIT_FSIZE": file_size, "RLIMIT_CPU": processor_time}
    limits = {name: value for name, value in named.items() if value is not None}
    if limits:
        skip_unless_linux("limits a process, and measures its memory")
    return limits


def skip_unless_linux(what: str) -> None:
    """Skip the test that asks on other systems; `what` is what it does."""
    if sys.platform != "linux":
        import pytest  # which the interpreters of clients may lack

        pytest.skip(f"{what}, on Linux only")


def run_client(
    program: str, *, timeout: float = 120, check: bool = True, **options: Any
) -> Outcome:
    """Run a program to its end; see `start_client`."""
    return start_client(program, **options).wait(timeout, check)


def start_snippet(code: str, **options: Any) -> Client:
    """Start a few lines of Python; see `start_client`. What they call `result` is the result."""
    return start_client("run_snippet", args={"code": code}, **options)


def run_snippet(code: str, *, timeout: float = 120, check: bool = True, **options: Any) -> Outcome:
    """Run a few lines of Python to their end; see `start_snippet`."""
    return start_snippet(code, **options).wait(timeout, check)


@functools.cache
def datasets_version(python: str) -> str:
    """The version of `datasets` that an interpreter has."""
    command = [python, "-c", "import importlib.metadata as m; print(m.version('datasets'))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def pixels(image: Any) -> bytes:
    """The raw pixels of a PIL image, a dict of PNG bytes or an array."""
    if isinstance(image, dict):
        image = PIL.Image.open(io.BytesIO(image["bytes"]))
    return np.asarray(image, dtype=np.uint8).tobytes()


def digest(rows: Any, content: Callable[[Any], bytes] = pixels) -> list[Any]:
    """[count, SHA-256 over every record's pixels and label, in order] of rows with `image` and
    `label`.
    """
    hashed, count = hashlib.sha256(), 0
    for row in rows:
        hashed.update(content(row["image"]) + bytes([int(row["label"])]))
        count += 1
    return [count, hashed.hexdigest()]


def stored(dataset: Any) -> Iterator[dict[str, Any]]:
    """The rows of a prepared `Dataset`, without decoding images."""
    return (row for batch in dataset.with_format("arrow").iter(1000) for row in batch.to_pylist())


def digest_table(dataset: Any) -> list[Any]:
    return digest(stored(dataset))


def digest_arrays(images: Any, labels: Any) -> list[Any]:
    return digest(
        {"image": image, "label": label} for image, label in zip(images, labels, strict=True)
    )


def fingerprint(dataset: Any) -> dict[str, Any]:
    """Split -> [count, SHA-256 of the stored records], of a prepared `DatasetDict`.

    Fast: it decodes no image.
    """
    return {
        split: digest(stored(rows), lambda image: image["bytes"]) for split, rows in dataset.items()
    }


@contextlib.contextmanager
def traced_memory(limit: int) -> Iterator[None]:
    """Fail if what runs within allocates more than `limit` bytes at once, NumPy arrays included."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def tree(folder: PathLike) -> dict[str, int]:
    """Every file below a folder with its size."""
    root = Path(folder)
    return {
        p.relative_to(root).as_posix(): p.stat().st_size
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }
