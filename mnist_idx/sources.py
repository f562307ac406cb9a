"""What was read from a source that may fail: remembered, to be compared with the source that takes
its place.

Whether a streamed file is the published one shows at its end only. If it breaks off before, its
records have been yielded unverified. The next source must hold the same ones, or the stream ends in
an error.
"""

import secrets
from collections.abc import Callable, Iterator

import numpy as np
import xxhash

from .records import Batch

# All records of a stream are hashed: SHA-256 would take as long as decompressing them. Nobody who
# does not know the seed can make other records of the same hash.
SEED = secrets.randbits(64)


class Stretch:
    """Adjacent records, remembered by their digests."""

    def __init__(self) -> None:
        self.length = 0
        self._images = xxhash.xxh3_128(seed=SEED)
        self._labels = xxhash.xxh3_128(seed=SEED)

    def add(self, batch: Batch) -> None:
        self.length += len(batch.images)
        self._images.update(np.ascontiguousarray(batch.images).data)
        if batch.labels is not None:
            self._labels.update(np.ascontiguousarray(batch.labels).data)

    def is_same(self, other: "Stretch") -> bool:
        return self._digests() == other._digests()

    def _digests(self) -> tuple[int, bytes, bytes]:
        return self.length, self._images.digest(), self._labels.digest()


class YieldedRecords:
    """The records of a split that were yielded, as the stretches in which they were requested."""

    def __init__(self) -> None:
        self.has_any = False
        self._stretches: dict[int, Stretch] = {}  # by the place of the first record

    def __reduce__(self) -> tuple[type["YieldedRecords"], tuple[()]]:
        return YieldedRecords, ()  # Another process has yielded nothing yet.

    def begin(self, start: int) -> Stretch:
        """Begin a stretch, in place of an earlier one from the same record on."""
        self._stretches[start] = Stretch()
        return self._stretches[start]

    def are_in(self, read: Callable[[int, int], Iterator[Batch]]) -> bool:
        """Whether `read(start, stop)` gives the same records."""
        for start, stretch in self._stretches.items():
            found = Stretch()
            if stretch.length > 0:
                for batch in read(start, start + stretch.length):
                    found.add(batch)
            if not found.is_same(stretch):
                return False
        return True
