"""Coverage-guided fuzzing of archives, of what they are packed with and of IDX:

    pip install -e ".[fuzz]"
    python tests/fuzz/fuzz_idx.py -runs=1000000

Any file either reads to its end or ends in an `IdxError`; nothing takes more than 200 MB or 10 seconds. The options are
those of libFuzzer; a folder as last argument keeps the corpus for the next run.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parent.parent.parent), str(Path(__file__).resolve().parent)]

import crafted  # noqa: E402
import datasets  # noqa: E402, F401  # imported here so that only the package itself is instrumented

with atheris.instrument_imports(include=["mnist_idx"]):
    import mnist_idx
    from mnist_idx import archive, idx, stream

MEMORY = 200 << 20


class Input:
    """What `crafted` draws from: the bytes that the fuzzer came up with."""

    def __init__(self, data: bytes) -> None:
        self._provider = atheris.FuzzedDataProvider(data)

    def number(self, low: int, high: int) -> int:
        return self._provider.ConsumeIntInRange(low, high)

    def bytes(self, most: int) -> bytes:
        return self._provider.ConsumeBytes(self._provider.ConsumeIntInRange(0, most))


def read_everything(path: str) -> int:
    """Read every member of an archive as IDX. Returns the number of records."""
    count = 0
    for locator in archive.list_members(path):
        member = None
        try:
            member = stream.open_member(locator)
            header = idx.read_header(member, locator.name)
            for block in idx.iter_blocks(member, header, locator.name):
                count += len(block)
        except mnist_idx.IdxError:
            pass  # the other members still have to be read
        finally:
            if member is not None:
                member.close()
    return count


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    folder = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())
    path = folder / f"fuzz-idx-{os.getpid()}"

    def one_input(data: bytes) -> None:
        path.write_bytes(crafted.file(Input(data)))
        with contextlib.suppress(mnist_idx.IdxError):
            read_everything(str(path))

    limits = [
        f"-rss_limit_mb={(resident() + MEMORY) >> 20}",
        "-timeout=10",
        "-max_len=8192",
        f"-artifact_prefix={tempfile.gettempdir()}/",
    ]
    atheris.Setup([sys.argv[0], *limits, *sys.argv[1:]], one_input)
    try:
        atheris.Fuzz()
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
