"""The records of a split as NumPy arrays."""

import os
from collections.abc import Sequence
from typing import Any, TypeAlias, overload

import numpy as np

from ..catalog import DATASETS
from ..errors import IdxError, shown_value
from ..paths import quoted
from ..records import Batch, too_large
from ..suggestions import BUILDERS, alternatives, calls_of, check_config_name, did_you_mean
from .free_memory import free_memory
from .opening import Opened, open_dataset
from .split_spec import Part, parse_parts

RECORDS_AT_ONCE = 1 << 17  # for which memory is taken at once; more as they arrive


Arrays: TypeAlias = tuple[np.ndarray, np.ndarray | None]  # images and labels


@overload
def load_arrays(
    path: str,
    name: str | None = None,
    *,
    split: str = "train",
    streaming: bool = False,
    **options: Any,
) -> Arrays: ...
@overload
def load_arrays(
    path: str,
    name: str | None = None,
    *,
    split: list[str],
    streaming: bool = False,
    **options: Any,
) -> list[Arrays]: ...
def load_arrays(
    path: str,
    name: str | None = None,
    *,
    split: str | list[str] = "train",
    streaming: bool = False,
    **options: Any,
) -> Arrays | list[Arrays]:
    """Load a split as arrays, without the cache of Arrow files.

    >>> from mnist_idx import load_arrays
    >>> images, labels = load_arrays("mnist_idx", "tiny", split="train")
    >>> images.shape, images.dtype, labels.shape, labels.dtype
    ((1000, 28, 28), dtype('uint8'), (1000,), dtype('uint8'))
    >>> (x, y), (x_test, y_test) = load_arrays("mnist_idx", "tiny", split=["train", "test[:10%]"])
    >>> len(x), len(x_test)
    (1000, 20)

    Without "tiny" it is all of MNIST: `load_arrays("mnist_idx", split="train")`. Your own files:
    `load_arrays("idxfolder", data_dir="my_idx")`.

    Args:
        path: "mnist_idx", the published datasets, or "idxfolder", your own files.
        name: of the config, for example "tiny"; by default "mnist".
        split: for example "train", "test[:10%]", "train+test" or "all". The files of other splits
            are not looked at. A list of them gives a list of pairs, as of `load_dataset`.
        streaming: fetch only the bytes that are needed, keep nothing on disk. Otherwise a download
            is kept and reused.
        **options: those of `load_dataset_builder`: `num_samples`, `seed`, `data_dir`,
            `data_files`, `cache_dir`, …

    Returns:
        Images, uint8 `(N, 28, 28)` from 0 (background) to 255, and labels, uint8 `(N,)`, the
        numbers of the classes; other types and shapes if the files have them. Labels are None if
        there are none.

    Raises:
        IdxError: the data is invalid or unavailable, or an argument is wrong.
        TransferError: a file cannot be reached.
    """
    _check_path(path)
    if path == "mnist_idx" and name is not None:
        check_config_name(name)
    arguments = {"as_array": True, **options}
    if isinstance(split, list) and split:
        opened = open_dataset(path, name, "+".join(map(str, split)), streaming, arguments)
        wanted = [parse_parts(spec, opened.sizes) for spec in split]
        return [read_parts(opened, parts) for parts in wanted]
    opened = open_dataset(path, name, split, streaming, arguments)
    return read_parts(opened, parse_parts(split, opened.sizes))


def _check_path(path: object) -> None:
    """Refuse what is neither of the builders: mostly the name of a config, or a folder."""
    if isinstance(path, str) and path in BUILDERS:
        return
    calls = []
    if isinstance(path, str | os.PathLike):
        text = os.fspath(path)
        # What is there was meant: a similar name would load the records of somebody else.
        is_place = "://" in text or os.path.exists(text)
        if is_place:
            calls.append(f'load_arrays("idxfolder", data_dir={quoted(text)})')
        if not is_place or text in DATASETS:
            calls += calls_of("load_arrays", text)
    expected = alternatives([quoted(name) for name in BUILDERS])
    raise IdxError(f"{shown_value(path)}: expected {expected}.{did_you_mean(calls)}")


def read_parts(opened: Opened, parts: Sequence[Part]) -> Batch:
    """Read parts of splits, one after the other, as one batch.

    Raises:
        IdxError: they cannot be read, or do not fit into memory.
    """
    sizes = [part.stop - part.start for part in parts]
    count = sum(sizes)
    title = " + ".join(dict.fromkeys(opened.splits[part.split].images.title for part in parts))
    first_count = min(count, RECORDS_AT_ONCE)
    if opened.source.selects:
        _check_memory(opened, parts, title)
        first_count = count
    joined = JoinedRecords(count, first_count, title)
    try:
        for part in parts:
            _read_part(opened, part, joined)
    except MemoryError:
        raise too_large(title, count) from None
    return joined.records


def _read_part(opened: Opened, part: Part, joined: "JoinedRecords") -> None:
    """Append the records of a part."""
    source, files = opened.source, opened.splits[part.split]
    places = (part.start, part.stop)
    if source.selects:
        for gathered in source.gather(
            part.split, files, places, opened.class_names, joined.make_room
        ):
            joined.keep(len(gathered.images))
    else:
        for _, batch in source.read(part.split, files, [places], opened.class_names):
            joined.add(batch)


def _check_memory(opened: Opened, parts: Sequence[Part], title: str) -> None:
    """Refuse selected records that do not fit into the memory that is free.

    They take it at once. Of others it is taken as they arrive.
    """
    count = needed = 0
    for part in parts:
        size = part.stop - part.start
        count += size
        needed += size * (opened.splits[part.split].record_bytes or 0)
    free = free_memory()
    if free is not None and needed > free:
        found = f"{needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free"
        raise too_large(title, count, found)


class JoinedRecords:
    """Records that arrive one after the other, in one array of images and one of labels.

    Args:
        count: of all records.
        first_count: for how many memory is taken at first. It grows as they arrive.
        title: what errors call them.
    """

    def __init__(self, count: int, first_count: int, title: str) -> None:
        self._count = count
        self._first_count = first_count
        self._title = title
        self._num_kept = 0
        self._images: np.ndarray | None = None
        self._labels: np.ndarray | None = None

    @property
    def records(self) -> Batch:
        """All records."""
        if self._images is None or self._num_kept != self._count:
            raise AssertionError("all records have arrived, in one batch at least")
        return Batch(self._images, self._labels)

    def add(self, batch: Batch) -> None:
        """Append a copy of a batch."""
        room = self.make_room(len(batch.images), batch)
        room.images[:] = batch.images
        if room.labels is not None:
            room.labels[:] = batch.labels
        self.keep(len(batch.images))

    def make_room(self, count: int, like: Batch) -> Batch:
        """Arrays that the next `count` records can be written to, for `keep` to append them.

        Args:
            like: any records of their shape and type.
        """
        part = slice(self._num_kept, self._num_kept + count)
        self._images = self._grown(self._images, like.images, part.stop)
        if like.labels is None:
            return Batch(self._images[part])
        self._labels = self._grown(self._labels, like.labels, part.stop)
        return Batch(self._images[part], self._labels[part])

    def keep(self, count: int) -> None:
        """Append the records that were written to the room for them."""
        self._num_kept += count

    def _grown(self, target: np.ndarray | None, like: np.ndarray, count: int) -> np.ndarray:
        """The array that has room for `count` records: `target`, if there is one."""
        shape = like.shape[1:]
        if target is None:
            return np.empty((max(count, self._first_count), *shape), like.dtype)
        if target.shape[1:] != shape:
            found = f"found records of the shapes {target.shape[1:]} and {shape}"
            raise IdxError(f"{self._title}: {found}. Load the splits one by one.")
        if target.dtype != like.dtype:  # of labels in two splits
            target = target.astype(np.promote_types(target.dtype, like.dtype))
        if count > len(target):
            size = min(self._count, max(count, 2 * len(target)))
            target.resize((size, *shape), refcheck=False)
        return target
