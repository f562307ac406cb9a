"""Write records as one .npz file, as `np.load` reads it and as Keras names its arrays."""

import os
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ..errors import IdxError
from .exported import ExportedSplits, progress_bar
from .image_folder import quoted
from .progress import Advance
from .staged import resolve_target, staged

CLASS_NAMES = "class_names"
# The comment of the zip file that an .npz is: whose it is.
COMMENT = b"mnist-idx export"
# Equal data gives equal bytes: the oldest time that a zip can tell, for all members.
NO_TIME = (1980, 1, 1, 0, 0, 0)


class WrittenArray(NamedTuple):
    """An array in the file."""

    name: str  # for example "x_train"
    shape: tuple[int, ...]
    dtype: np.dtype


def write_npz(
    splits: ExportedSplits, target: str | os.PathLike[str], overwrite: bool
) -> list[WrittenArray]:
    """Write x_train, y_train, x_test, y_test, … to a file, which appears whole or not at all.

    Another split NAME gives x_NAME and y_NAME, a split without labels only x_NAME. Names of classes
    are in `class_names`, unless they are the numbers of the classes. One batch of images is in
    memory at a time.

    Args:
        overwrite: replace an earlier export. Any other file is never replaced.

    Raises:
        IdxError: the target is no name of such a file, or it cannot be written.
    """
    _check_target(target, overwrite)
    with (
        staged(target, overwrite, is_folder=False) as path,
        progress_bar(splits) as advance,
        zipfile.ZipFile(path, "w") as archive,
    ):
        archive.comment = COMMENT
        written: list[WrittenArray] = []
        for split in splits.sizes:
            written += _write_split(archive, splits, split, advance)
        names = splits.layout.class_names
        if names is not None and names != tuple(str(number) for number in range(len(names))):
            written.append(_write_array(archive, CLASS_NAMES, np.array(names)))
    return written


def load_code(target: str | os.PathLike[str]) -> str:
    """Python code, in one line, that loads what was written."""
    path = os.path.expanduser(os.fspath(target))
    return f"import numpy as np; arrays = dict(np.load({quoted(path)}))"


def _check_target(target: str | os.PathLike[str], overwrite: bool) -> None:
    path = resolve_target(target)
    if path.suffix != ".npz":
        raise IdxError(f"{path}: expected the name of a file that ends in .npz.")
    if path.is_file() and not is_exported(path):
        found = "not replaced, since it" if overwrite else "exists already, and"
        raise IdxError(f"{path}: {found} is not an earlier export. Choose another target.")


def is_exported(path: Path) -> bool:
    """Whether a file is from an earlier export."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == COMMENT
    except zipfile.BadZipFile:
        return False


# Arrays


def _write_split(
    archive: zipfile.ZipFile, splits: ExportedSplits, split: str, advance: Advance
) -> list[WrittenArray]:
    """Write the arrays of a split: images, and labels if there are any."""
    size = splits.sizes[split]
    images: WrittenArray | None = None
    labels: list[np.ndarray] = []
    with _open_array(archive, f"x_{split}") as file:
        for batch in splits.batches(split):
            if images is None:
                images = WrittenArray(
                    f"x_{split}", (size, *batch.images.shape[1:]), batch.images.dtype
                )
                _write_header(file, images)
            _write_values(file, batch.images)
            if batch.labels is not None:
                labels.append(batch.labels)
            advance(len(batch.images))
    if images is None:
        raise AssertionError("there is at least one batch, an empty one")
    if not labels:
        return [images]
    return [images, _write_array(archive, f"y_{split}", np.concatenate(labels))]


def _write_array(archive: zipfile.ZipFile, name: str, values: np.ndarray) -> WrittenArray:
    written = WrittenArray(name, values.shape, values.dtype)
    with _open_array(archive, name) as file:
        _write_header(file, written)
        _write_values(file, values)
    return written


def _open_array(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A member to write an array to."""
    info = zipfile.ZipInfo(f"{name}.npy", NO_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    # Its size is not known before it is written; it may exceed 4 GB.
    return archive.open(info, "w", force_zip64=True)


def _write_header(file: IO[bytes], array: WrittenArray) -> None:
    description = np.lib.format.dtype_to_descr(array.dtype.newbyteorder("="))
    header = {"descr": description, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, header)


def _write_values(file: IO[bytes], values: np.ndarray) -> None:
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    file.write(native.tobytes())
