"""Coverage-guided fuzzing of archives, their compression and IDX, with the standard library as the judge:

    pip install -e ".[fuzz]"
    python tests/fuzz/fuzz_idx.py -runs=1000000

Whatever the input, the package reads what `oracle` reads, or it raises an `IdxError`. Nothing takes more than 200 MB or
10 seconds. The options are those of libFuzzer; a folder as last argument keeps the corpus for the next run.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

sys.path[:0] = [str(Path(__file__).resolve().parent.parent.parent), str(Path(__file__).resolve().parent)]

import crafted  # noqa: E402
import datasets  # noqa: E402, F401  # imported here so that only the package itself is instrumented
import oracle  # noqa: E402

with atheris.instrument_imports(include=["mnist_idx"]):
    import mnist_idx
    from mnist_idx import archive, filenames, idx, records, storage

MEMORY = 200 << 20


class Input:
    """What `crafted` draws from: the bytes that the fuzzer came up with."""

    def __init__(self, data: bytes) -> None:
        self._provider = atheris.FuzzedDataProvider(data)

    def number(self, low: int, high: int) -> int:
        return self._provider.ConsumeIntInRange(low, high)

    def bytes(self, most: int) -> bytes:
        return self._provider.ConsumeBytes(self._provider.ConsumeIntInRange(0, most))


def check(path: Path) -> None:
    """The package agrees with the oracle about a file, or refuses it.

    Raises:
        AssertionError: it does neither.
    """
    try:
        members = archive.list_members(str(path))
    except mnist_idx.IdxError:
        return
    try:
        contents = oracle.read_members(path)
    except oracle.Refused:
        contents = {}  # none of the members may be read
    for member in members:
        check_member(member, contents.get(member.name, []))
    try:
        splits = filenames.find_splits(members, root=str(path))
    except mnist_idx.IdxError:
        return
    for split, roles in oracle.find_roles(contents).items():
        files = splits[split]
        assert roles == {"images"} or files.labels is not None, f"{split} has lost its labels"
        check_split(files)


def check_member(member: storage.Member, contents: list[bytes | None]) -> None:
    """A member is read to its end as one of those that the oracle has by that name, or refused."""
    try:
        with storage.open_member(member) as stream:
            header = idx.read_header(stream, member.name)
            batches = list(idx.iter_batches(stream, header, member.name))
    except mnist_idx.IdxError:
        return
    data = b"".join(batch.astype(batch.dtype.newbyteorder(">")).tobytes() for batch in batches)
    assert header.pack() + data in contents, f"{member.name} is not what the standard library reads"


def check_split(files: records.SplitFiles) -> None:
    """All labels are there and belong to the images, or the split is refused."""
    try:
        reader = records.SplitReader(files)
    except mnist_idx.IdxError:
        return
    try:
        for images, labels in reader.batches():
            assert labels is None or len(images) == len(labels)
    except mnist_idx.IdxError:
        pass
    finally:
        reader.close()


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    folder = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())
    path = folder / f"fuzz-idx-{os.getpid()}"

    warnings.simplefilter("ignore")  # `zipfile` warns of names that are there twice

    def one_input(data: bytes) -> None:
        path.write_bytes(crafted.file(Input(data)))
        check(path)

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
