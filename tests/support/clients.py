"""Clients of the package: Python programs in processes of their own, with their own cache and environment."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path(__file__).resolve().parent

# The program around a snippet: `args` comes in, `result` goes out, both as JSON.
PROGRAM = """\
import json, os, resource, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, shells ignore it
for limit, value in json.loads(os.environ.pop("CLIENT_LIMITS")).items():
    resource.setrlimit(getattr(resource, limit), (value, value))
args = json.loads(os.environ.pop("CLIENT_ARGS"))
result = None
answer = os.environ.pop("CLIENT_ANSWER")
{code}
usage = resource.getrusage(resource.RUSAGE_SELF)
with open(answer, "w") as file:
    json.dump({{"result": result, "peak": usage.ru_maxrss * 1024}}, file)
"""

QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONFAULTHANDLER": "1",
    "OMP_NUM_THREADS": "1",
}
DROPPED = ("MNIST_IDX_", "HF_", "HUGGINGFACE_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy")
EXCEPTION = re.compile(r"^(\w+\.)*[A-Z]\w*(: .*)?$", re.MULTILINE)


@dataclasses.dataclass
class Outcome:
    returncode: int
    stdout: str
    stderr: str
    result: Any
    peak: int  # bytes of resident memory at its highest

    @property
    def error(self) -> str:
        """The exception that ended the program: the last lines from its type on."""
        starts = [match.start() for match in EXCEPTION.finditer(self.stderr)]
        return self.stderr[starts[-1] :].rstrip() if starts else self.stderr


class Client:
    """A running client. `wait()` returns its outcome."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, code: str, temporary: Any):
        self.process = process
        self._folder = folder
        self._code = code
        self._temporary = temporary

    def kill(self) -> None:
        """`kill -9` the client and the processes it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._temporary.cleanup()

    def wait(self, timeout: float = 120, check: bool = True) -> Outcome:
        try:
            returncode = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGABRT)  # the fault handler says where it hangs
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            self.kill()
            raise AssertionError(f"the client still ran after {timeout} s:\n{self._text('stderr')[-4000:]}") from None
        self._temporary.cleanup()
        answer = self._folder / "answer.json"
        data = json.loads(answer.read_text()) if answer.exists() else {"result": None, "peak": 0}
        if check and returncode != 0:
            errors = self._text("stderr")[-6000:]
            raise AssertionError(f"the client ended with {returncode}:\n{errors}\n--- its code:\n{self._code}")
        return Outcome(returncode, self._text("stdout"), self._text("stderr"), **data)

    def _text(self, stream: str) -> str:
        return (self._folder / stream).read_text(errors="replace")


def start_client(
    code: str,
    *,
    home: str | os.PathLike[str],
    args: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
    cwd: str | os.PathLike[str] | None = None,
    memory: int | None = None,
    file_size: int | None = None,
    installed: bool = False,
) -> Client:
    """Start a Python program with `HF_HOME=home`.

    Args:
        code: the program, see `PROGRAM`.
        memory: limit of its address space, in bytes.
        file_size: limit of each file it writes, in bytes.
        installed: leave the checkout off the path, so that only an installed package is found.
    """
    folder = Path(tempfile.mkdtemp(prefix="client-", dir=Path(home).parent))
    temporary = tempfile.TemporaryDirectory(prefix="c-")  # short: the paths of sockets have 108 characters at most
    work = Path(cwd) if cwd is not None else folder / "cwd"
    work.mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(DROPPED)}
    path = [str(TESTS)] if installed else [str(ROOT), str(TESTS)]
    environment |= QUIET | {
        "HF_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CLIENT_ARGS": json.dumps(dict(args or {})),
        "CLIENT_ANSWER": str(folder / "answer.json"),
        "TMPDIR": temporary.name,
        **(env or {}),
    }
    script = folder / "client.py"
    script.write_text(PROGRAM.format(code=code))

    limits = {"RLIMIT_AS": memory, "RLIMIT_FSIZE": file_size}
    environment["CLIENT_LIMITS"] = json.dumps({name: value for name, value in limits.items() if value is not None})
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        command, streams = [python, "-u", str(script)], {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
        process = subprocess.Popen(command, cwd=work, env=environment, start_new_session=True, **streams)
    return Client(process, folder, code, temporary)


def run_client(code: str, *, timeout: float = 120, check: bool = True, **options: Any) -> Outcome:
    """Run a Python program to its end; see `start_client`."""
    return start_client(code, **options).wait(timeout, check)


@functools.cache
def datasets_version(python: str) -> str:
    """The version of `datasets` that an interpreter has."""
    command = [python, "-c", "import importlib.metadata as m; print(m.version('datasets'))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


# For tests and clients alike: `from clients import …`.


def pixels(image: Any) -> bytes:
    """The raw pixels of a PIL image, a dict of PNG bytes or an array."""
    import io

    import numpy as np
    import PIL.Image

    if isinstance(image, dict):
        image = PIL.Image.open(io.BytesIO(image["bytes"]))
    return np.asarray(image, dtype=np.uint8).tobytes()


def digest(rows: Any) -> list[Any]:
    """[count, SHA-256 over every record's pixels and label, in order] of rows with `image` and `label`."""
    import hashlib

    hashed, count = hashlib.sha256(), 0
    for row in rows:
        hashed.update(pixels(row["image"]) + bytes([int(row["label"])]))
        count += 1
    return [count, hashed.hexdigest()]


def digest_table(dataset: Any) -> list[Any]:
    """The digest of a prepared `Dataset`."""
    return digest(row for batch in dataset.with_format("arrow").iter(1000) for row in batch.to_pylist())


def fingerprint(dataset: Any) -> dict[str, Any]:
    """Split -> [count, SHA-256 of the stored records], of a prepared `DatasetDict`. Fast: it decodes no image."""
    import hashlib

    found = {}
    for split, rows in dataset.items():
        hashed = hashlib.sha256()
        for batch in rows.with_format("arrow").iter(10_000):
            images, labels = batch.column("image").to_pylist(), batch.column("label").to_pylist()
            hashed.update(
                b"".join(image["bytes"] + bytes([label]) for image, label in zip(images, labels, strict=True))
            )
        found[split] = [len(rows), hashed.hexdigest()]
    return found


def digest_arrays(images: Any, labels: Any) -> list[Any]:
    """The digest of arrays (N, 28, 28) and (N,)."""
    import hashlib

    import numpy as np

    count = len(labels)
    joined = np.concatenate(
        [np.asarray(images, np.uint8).reshape(count, -1), np.asarray(labels, np.uint8).reshape(count, 1)], axis=1
    )
    return [count, hashlib.sha256(joined.tobytes()).hexdigest()]


@contextlib.contextmanager
def traced_memory(limit: int) -> Iterator[None]:
    """Fail if what runs within allocates more than `limit` bytes at once, NumPy arrays included."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def tree(folder: str | os.PathLike[str]) -> dict[str, int]:
    """Every file below a folder with its size."""
    root = Path(folder)
    return {p.relative_to(root).as_posix(): p.stat().st_size for p in sorted(root.rglob("*")) if p.is_file()}
