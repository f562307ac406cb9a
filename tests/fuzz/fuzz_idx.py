"""Coverage-guided fuzzing of archives, their compression and IDX, with the standard library as the
judge:

    pip install -e ".[fuzz]"
    python tests/fuzz/fuzz_idx.py -runs=1000000

Whatever the input, the package reads what `oracle` reads, or it raises an `IdxError`. Nothing takes
more than 200 MB or 10 seconds. The options are those of libFuzzer; a folder as last argument keeps
the corpus for the next run.
"""

import importlib
import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
# The user's cache stays as it is. Runs share the folder: libFuzzer ends the process without a
# chance to remove it.
os.environ["HF_HOME"] = str(Path(tempfile.gettempdir(), "fuzz-idx-home"))

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import crafted

# Imported here so that only the package itself is instrumented.
importlib.import_module("datasets")
with atheris.instrument_imports(include=["mnist_idx"]):
    from checks import check

MEMORY = 200 << 20


class Input:
    """What `crafted` draws from: the bytes that the fuzzer came up with."""

    def __init__(self, data: bytes) -> None:
        self._provider = atheris.FuzzedDataProvider(data)

    def number(self, low: int, high: int) -> int:
        return self._provider.ConsumeIntInRange(low, high)

    def bytes(self, most: int) -> bytes:
        return self._provider.ConsumeBytes(self._provider.ConsumeIntInRange(0, most))


def main() -> None:
    temporary = tempfile.gettempdir()
    path = Path(
        "/dev/shm" if os.access("/dev/shm", os.W_OK) else temporary, f"fuzz-idx-{os.getpid()}"
    )
    warnings.simplefilter("ignore")  # `zipfile` warns of names that are there twice

    def one_input(data: bytes) -> None:
        path.write_bytes(crafted.file(Input(data)))
        check(path)

    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    limits = [f"-rss_limit_mb={(resident + MEMORY) >> 20}", "-timeout=10", "-max_len=8192"]
    atheris.Setup(
        [sys.argv[0], *limits, f"-artifact_prefix={temporary}/", *sys.argv[1:]], one_input
    )
    try:
        atheris.Fuzz()
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
