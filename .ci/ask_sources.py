"""Ask each source of the catalog for the sizes of its files, with HEAD requests.

Prints a line for each file. The exit code is 1 if one is gone, or is not the published one any
more.
"""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import NamedTuple

from mnist_idx.catalog import DATASETS, File, PublishedDataset

TIMEOUT_SECONDS = 30
# A source is gone if it does not answer after these, too.
RETRY_DELAYS = (5.0, 60.0)


class Asked(NamedTuple):
    """A file of a source, and how many bytes it should have."""

    url: str
    size: int
    is_archive: bool  # of other files too, so that it may be larger


def files_of_sources(datasets: Iterable[PublishedDataset]) -> list[Asked]:
    """The files at the sources of published datasets, each once."""
    in_archives: dict[str, set[File]] = {}
    single: dict[str, int] = {}
    for dataset in datasets:
        files = [file for split in dataset.splits.values() for file in split[:2]]
        for source in dataset.sources:
            if "://" not in source:  # in the package
                continue
            if not source.endswith("/"):
                in_archives.setdefault(source, set()).update(files)
                continue
            for file in files:
                single[source + file.name + file.suffix] = file.size
    asked = [Asked(url, size, is_archive=False) for url, size in single.items()]
    for url, files_inside in in_archives.items():
        least = sum(file.size for file in files_inside)
        asked.append(Asked(url, least, is_archive=True))
    return asked


def problem_of(asked: Asked) -> str | None:
    """What is wrong with a file of a source; None if it has the size that it should have."""
    try:
        found = _size_at(asked.url)
    except OSError as error:
        return f"it cannot be reached: {error}"
    if found is None:
        return "the server does not tell its size"
    if asked.is_archive and found < asked.size:
        return f"it has {found:,} bytes, expected at least {asked.size:,}"
    if not asked.is_archive and found != asked.size:
        return f"it has {found:,} bytes, expected {asked.size:,}"
    return None


def _size_at(url: str) -> int | None:
    """The bytes of a remote file; None if the server does not tell.

    Raises:
        OSError: the file cannot be reached.
    """
    # Without compression of the transfer: servers tell no length of that.
    request = urllib.request.Request(url, method="HEAD", headers={"Accept-Encoding": "identity"})
    delays = list(RETRY_DELAYS)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                length = answer.headers["Content-Length"]
                return None if length is None else int(length)
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is an answer, too
            if not delays:
                raise
        time.sleep(delays.pop(0))


def ask(datasets: Iterable[PublishedDataset]) -> int:
    """Ask for each file, and print what is found. Returns the number of those with problems."""
    num_problems = 0
    for asked in files_of_sources(datasets):
        problem = problem_of(asked)
        if problem is None:
            print(f"- there: {asked.url}", flush=True)
        else:
            num_problems += 1
            print(f"- **gone**: {asked.url}: {problem}", flush=True)
    return num_problems


if __name__ == "__main__":
    sys.exit(1 if ask(DATASETS.values()) else 0)
