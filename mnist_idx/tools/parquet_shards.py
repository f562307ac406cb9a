"""Parquet files of records: how a dataset is divided into shards, and how each is written.

A *shard* is a file, and the records in it. What writes it needs nothing but the shard and a
`ShardWriter`, in whatever process or on whatever machine, and any attempt gives the same bytes.
"""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ..arrow import make_features, make_table
from ..errors import IdxError
from ..prefetch import prefetch
from ..record_layout import Layout
from ..records import Batch
from .exported import ExportedSplits
from .progress import Advance

SHARD_BYTES = 500 << 20
# Of small files, groups have as many records: the first ones of a stream arrive soon, and all of
# them take few requests.
SMALL_GROUP = 1000
# Of large files, groups are a hundredth. The list of groups at the end of a file stays small.
GROUPS_PER_SHARD = 100
GROUP_BYTES = 16 << 20  # most bytes of a group before compression
HASH_BYTES = 1 << 20
# In the metadata of each file: that it is one of ours, which an export may replace.
OWN_KEY = b"mnist_idx"


class Shard(NamedTuple):
    """A file, and the records in it."""

    path: str  # in the folder, for example "data/train-00000-of-00012.parquet"
    split: str
    start: int  # the records of the split that are exported, `start` to `stop`
    stop: int
    group_size: int  # records of a row group


class ShardFacts(NamedTuple):
    """What is known of a shard that was written."""

    num_rows: int
    num_bytes: int  # in memory
    file_bytes: int
    digest: str  # of the file
    class_counts: list[int]  # records of each class, up to the last one that occurs


Written = dict[Shard, ShardFacts]


def plan_shards(
    sizes: Mapping[str, int], folder: str, num_shards: int, record_bytes: int
) -> list[Shard]:
    """Divide splits into files of nearly equal size.

    >>> [shard.path for shard in plan_shards({"train": 60, "test": 20}, "data", 2, 784)]
    ['data/train-00000-of-00002.parquet', 'data/train-00001-of-00002.parquet', \
'data/test-00000-of-00001.parquet']

    Args:
        sizes: records by the name of the split.
        folder: in which the files are.
        num_shards: of the largest split.
        record_bytes: of a record, before compression.
    """
    largest = max(1, *sizes.values())
    group_size = _group_size(largest / num_shards, record_bytes)
    shards: list[Shard] = []
    for split, size in sizes.items():
        count = min(max(1, math.ceil(size * num_shards / largest)), max(1, size))
        for number in range(count):
            path = f"{folder}/{split}-{number:05d}-of-{count:05d}.parquet"
            start, stop = size * number // count, size * (number + 1) // count
            shards.append(Shard(path, split, start, stop, group_size))
    return shards


def _group_size(shard_size: float, record_bytes: int) -> int:
    """How many records a row group has."""
    wanted = max(SMALL_GROUP, math.floor(shard_size / GROUPS_PER_SHARD))
    largest = GROUP_BYTES // max(1, record_bytes)
    return max(1, min(wanted, largest))


def estimate_num_shards(splits: ExportedSplits, as_array: bool) -> int:
    """How many shards of about `SHARD_BYTES` the largest split takes, by its first records."""
    split = max(splits.sizes, key=lambda name: splits.sizes[name])
    with contextlib.closing(splits.batches(split)) as batches:
        batch = next(batches)
    schema = features_of(splits.layout, as_array).arrow_schema
    table = make_table(batch, schema, compress=True, title=splits.title(split))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    bytes_per_record: float = sink.tell() / max(1, len(table))
    return max(1, round(bytes_per_record * splits.sizes[split] / SHARD_BYTES))


def features_of(layout: Layout, as_array: bool) -> datasets.Features:
    """The features of exported records. Integers that are no classes stay integers."""
    if layout.not_classes is None:
        return make_features(layout, as_array)
    as_classes = layout._replace(label_dtype=None, class_names=("any",))
    features = make_features(as_classes, as_array)
    features["label"] = datasets.Value("int64")
    return features


class ShardWriter:
    """Writes the shards of a dataset, and keeps what is finished. Picklable.

    A shard is written beside its place first, and noted once it is there: its size and its digest.
    What was noted and is still the same file is not written again.

    Args:
        splits: what is exported.
        folder: where the shards go.
        notes: a folder on the same disk for what is noted, and for shards that are being written.
        as_array: whether images are arrays, not pictures.
    """

    def __init__(self, splits: ExportedSplits, folder: Path, notes: Path, as_array: bool) -> None:
        self._splits = splits
        self._folder = folder
        self._notes = notes
        self._as_array = as_array

    def write(self, shard: Shard, advance: Advance) -> ShardFacts:
        """Write a shard, unless it is finished already.

        Args:
            advance: is told of records that were written.

        Raises:
            IdxError: the records cannot be read, or this machine does not see the folder.
        """
        finished = self.find_finished(shard)
        if finished is not None:
            advance(finished.num_rows)
            return finished
        if not self._folder.is_dir():
            found = f"{self._folder}: the machine that shall write {shard.path} has no such folder"
            raise IdxError(f"{found}. Choose one that all machines see by the same path.")
        target, note = self._folder / shard.path, self._note_of(shard)
        for path in (target, note):
            path.parent.mkdir(parents=True, exist_ok=True)
        # Others may be writing the same shard: on a machine that was given up too early.
        token = secrets.token_hex(4)
        new_file, new_note = note.with_suffix(f".{token}.new"), note.with_suffix(f".{token}.note")
        try:
            facts = self._write_file(new_file, shard, advance)
            new_note.write_text(json.dumps(facts._asdict()), encoding="utf-8")
            os.replace(new_file, target)
            os.replace(new_note, note)
        finally:
            new_file.unlink(missing_ok=True)
            new_note.unlink(missing_ok=True)
        return facts

    def find_finished(self, shard: Shard) -> ShardFacts | None:
        """What is known of a shard, if it was finished earlier and is undamaged; else None."""
        try:
            noted = json.loads(self._note_of(shard).read_text(encoding="utf-8"))
            facts = ShardFacts(**noted)
            digest = file_digest(self._folder / shard.path)
        except (OSError, ValueError, TypeError):  # not there, or not whole
            return None
        return facts if digest == facts.digest else None

    def _note_of(self, shard: Shard) -> Path:
        return self._notes / f"{shard.path}.json"

    def _write_file(self, path: Path, shard: Shard, advance: Advance) -> ShardFacts:
        features = features_of(self._splits.layout, self._as_array)
        counter = _Counter(features)
        schema = features.arrow_schema
        schema = schema.with_metadata({**(schema.metadata or {}), OWN_KEY: b"export"})
        # No image occurs twice: a dictionary of them would save nothing.
        of_few_values = ["label"] if "label" in features else []
        with open(path, "wb") as file:
            with pq.ParquetWriter(
                file, schema, use_dictionary=of_few_values, write_page_index=True
            ) as writer:
                for table in regroup(self._tables(shard, schema), shard.group_size):
                    writer.write_table(table, row_group_size=shard.group_size)
                    counter.add(table)
                    advance(len(table))
            file.flush()
            os.fsync(file.fileno())
        return ShardFacts(
            num_rows=counter.num_rows,
            num_bytes=counter.num_bytes,
            file_bytes=path.stat().st_size,
            digest=file_digest(path),
            class_counts=counter.class_counts.tolist(),
        )

    def _tables(self, shard: Shard, schema: pa.Schema) -> Iterator[pa.Table]:
        title = self._splits.title(shard.split)
        batches: Generator[Batch, None, None]
        batches = self._splits.batches(shard.split, shard.start, shard.stop)
        for batch in prefetch(batches, size_of=_num_bytes):
            yield make_table(batch, schema, compress=True, title=title)


def _num_bytes(batch: Batch) -> int:
    return batch.num_bytes


class _Counter:
    """Counts the rows of tables, their bytes, and the records of each class."""

    def __init__(self, features: datasets.Features) -> None:
        self._has_classes = isinstance(features.get("label"), datasets.ClassLabel)
        self.num_rows = 0
        self.num_bytes = 0
        self.class_counts = np.zeros(0, np.int64)

    def add(self, table: pa.Table) -> None:
        self.num_rows += len(table)
        self.num_bytes += table.nbytes
        if self._has_classes:
            counts = np.bincount(table["label"].to_numpy())
            self.class_counts = add_counts(self.class_counts, counts)


def add_counts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The sum of counts, of which one may have more classes than the other."""
    total = np.zeros(max(len(first), len(second)), np.int64)
    total[: len(first)] += first
    total[: len(second)] += second
    return total


def regroup(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """The rows of tables as tables of `size` rows, the last of which may have fewer.

    Each is contiguous in memory, so that what is written depends on nothing but the rows.
    """
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        while count >= size:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, size).combine_chunks()
            waiting = [joined.slice(size)]
            count -= size
    if count > 0:
        yield pa.concat_tables(waiting).combine_chunks()


def file_digest(path: Path) -> str:
    """The digest of a file: a fast one, for damage, not for malice."""
    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while chunk := file.read(HASH_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def is_shard(path: Path) -> bool:
    """Whether a file is a shard that was exported."""
    try:
        metadata = pq.read_schema(path).metadata
    except (OSError, pa.ArrowInvalid):
        return False
    return metadata is not None and OWN_KEY in metadata
