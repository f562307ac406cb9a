"""The records as NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import DownloadConfig, DownloadManager, StreamingDownloadManager

from .columns import classes_of
from .idx import IdxError
from .mnist_idx import MnistIdx
from .records import SplitFiles


def load_arrays(
    split: str = "train",
    num_samples: int | None = None,
    seed: int | None = None,
    sampling: str = "first",
    *,
    config_name: str | None = None,
    streaming: bool = False,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Load a split as arrays, without the cache of Arrow files.

    The sources, the checks and the choice of records are those of `load_dataset("mnist_idx", …)`.

    Args:
        split: name of the split.
        num_samples: the most records to load; all when None.
        seed: of the order of the records; 1 when None and `num_samples` is given. With neither, the order is that of
            the file.
        sampling: "first" takes the first records of the split, "uniform" draws them from the whole split.
        config_name: name of the config, such as "tiny"; "mnist" when None.
        streaming: fetch only what is needed, keep nothing on disk; otherwise a download is kept and used again.
        **options: what else the builder takes: `data_dir`, `data_files`, `cache_dir`, `token`, `storage_options`, …

    Returns:
        Images, uint8 of shape `(N, 28, 28)`, and labels, uint8 of shape `(N,)`. Other data sets have the type and
        shape of their own files; labels are None where there are none.

    Raises:
        IdxError: the data cannot be had or is not what it should be, or an argument is out of range.
    """
    # Arrays may have any type and shape, which images may not.
    options = {"num_samples": num_samples, "seed": seed, "sampling": sampling, "as_array": True, **options}
    builder = MnistIdx(config_name=config_name, **options)
    manager = _manager(builder, streaming)
    # Nothing is handed out before all has been read: what is verified while it is read need not be verified before.
    builder._verify_first = streaming
    gen_kwargs = _find_split(builder, manager, split)
    try:
        return _read(builder, **gen_kwargs)
    except IdxError:
        if builder._data_set is None or streaming:
            raise
        builder._verify_first = True  # gets rid of a bad download, and goes on to another source
        return _read(builder, **_find_split(builder, manager, split))


def _find_split(builder: MnistIdx, manager: DownloadManager | StreamingDownloadManager, split: str) -> dict[str, Any]:
    generators = {generator.name: generator for generator in builder._split_generators(manager)}
    if split not in generators:
        raise IdxError(f"split={split!r}: expected one of {', '.join(map(repr, generators))}.")
    return generators[split].gen_kwargs


def _read(
    builder: MnistIdx, split: str, files: SplitFiles, ranges: Sequence[tuple[int, int]], **_: Any
) -> tuple[np.ndarray, np.ndarray | None]:
    total = ranges[-1][1]
    images: np.ndarray | None = None
    labels: np.ndarray | None = None
    done = 0
    for start, stop in ranges:
        for block in builder._blocks(split, files, start, stop):
            images = _filled(images, block.images, done, total)
            if block.labels is not None and files.labels is not None:
                classes_of(block.labels, builder.num_classes, files.labels.title, done)
                labels = _filled(labels, block.labels, done, total)
            done += len(block.images)
    if images is None:
        with builder._pool.borrow(files) as reader:
            return reader.empty_block(0)
    return images, labels


def _filled(array: np.ndarray | None, block: np.ndarray, start: int, total: int) -> np.ndarray:
    shape = (total, *block.shape[1:])
    try:
        array = np.empty(shape, block.dtype) if array is None else array
    except MemoryError as error:
        raise IdxError(
            f"An array of shape {shape} does not fit into memory. Set num_samples= to what does, or stream the data "
            "with load_dataset(…, streaming=True)."
        ) from error
    array[start : start + len(block)] = block
    return array


def _manager(builder: MnistIdx, streaming: bool) -> DownloadManager | StreamingDownloadManager:
    config = DownloadConfig(
        cache_dir=builder._cache_downloaded_dir,
        use_etag=False,
        token=builder.token,
        storage_options=builder.storage_options,
    )
    manager = StreamingDownloadManager if streaming else DownloadManager
    return manager(dataset_name=builder.dataset_name, data_dir=builder.config.data_dir, download_config=config)
