"""The records of a split as NumPy arrays."""

from typing import Any

import datasets
import numpy as np

from ..builder import IdxBuilder
from ..errors import IdxError
from ..records import too_large
from ..storage import SplitFiles


def load_arrays(
    path: str,
    name: str | None = None,
    *,
    split: str = "train",
    streaming: bool = False,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Load a split as arrays, without the cache of Arrow files.

    >>> images, labels = load_arrays("mnist_idx", split="train")
    >>> images, labels = load_arrays("idxfolder", data_dir="my_idx", split="test[:100]")

    Args:
        name: of the config, for example "tiny".
        split: for example "train", "test[:10%]" or "train+test".
        streaming: fetch only the bytes that are needed, keep nothing on disk. Otherwise a download
        is kept and reused. **options: those of `load_dataset_builder`: `num_samples`, `seed`,
        `data_dir`, `data_files`, `cache_dir`, …

    Returns:
        Images, uint8 `(N, 28, 28)`, and labels, uint8 `(N,)`; other types and shapes if the files
        have them. Labels are None if there are none.

    Raises:
        IdxError: the data is invalid or unavailable, or an argument is out of range.
    """
    if path not in ("mnist_idx", "idxfolder"):
        raise IdxError(f'{path!r}: expected "mnist_idx" or "idxfolder".')
    builder = datasets.load_dataset_builder(path, name, **{"as_array": True, **options})
    if builder.info.splits is not None:  # wrong arguments are found before the network is touched
        _ranges(split, {known: found.num_examples for known, found in builder.info.splits.items()})
    splits = builder.locate_splits(
        builder.download_manager(streaming, options.get("download_mode"))
    )
    sizes = builder.config.selection.counts(
        {known: files.num_records for known, files in splits.items()}
    )
    ranges = _ranges(split, sizes)
    parts = [_read(builder, known, splits[known], start, stop) for known, start, stop in ranges]
    if len(parts) == 1:
        return parts[0]
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), None if labels[0] is None else np.concatenate(labels)


def _ranges(split: str, sizes: dict[str, int]) -> list[tuple[str, int, int]]:
    """The splits that are requested, with their first record and the record to stop before."""
    try:
        parts = datasets.ReadInstruction.from_spec(split).to_absolute(sizes)
    except (ValueError, AssertionError) as error:
        raise IdxError(
            f"split={split!r}: expected one of {', '.join(map(repr, sizes))}, or a part of one."
        ) from error
    ranges = [
        (p.splitname, p.from_ or 0, sizes[p.splitname] if p.to is None else p.to) for p in parts
    ]
    return [(known, start, max(start, stop)) for known, start, stop in ranges]


def _read(
    builder: IdxBuilder, split: str, files: SplitFiles, start: int, stop: int
) -> tuple[Any, Any]:
    arrays: dict[str, np.ndarray] = {}
    try:
        for position, batch in builder.read_batches(split, files, [(start, stop)]):
            done, count = position - start, stop - start
            for name, values in batch._asdict().items():
                if values is None:
                    continue
                if name not in arrays:  # A longer array grows as records arrive.
                    arrays[name] = np.empty((min(count, 1 << 17), *values.shape[1:]), values.dtype)
                if done + len(values) > len(arrays[name]):
                    arrays[name].resize(
                        (min(count, 2 * len(arrays[name])), *values.shape[1:]), refcheck=False
                    )
                arrays[name][done : done + len(values)] = values
    except MemoryError:
        raise too_large(files.images.title, stop - start) from None
    return arrays.get("images"), arrays.get("labels")
