"""The package reads what the oracle reads, or it raises an `IdxError` that names the file."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import oracle

from mnist_idx import IdxError, load_arrays
from mnist_idx.tools.verify import verify

Contents = Mapping[str, list[bytes | None]]


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except IdxError as error:
        # A split that is not there is an error of its own.
        assert str(path) in str(error) or str(error).startswith("split=")


def check(path: Path) -> None:
    """Raises an `AssertionError` if the package neither agrees with the oracle about a file nor
    refuses it.
    """
    try:
        contents = oracle.read_members(path)
    except oracle.Refused:
        contents = {}  # none of the members may be read
    check_reports(path, contents)
    for split in {"train", *oracle.find_roles(contents)}:
        check_split(path, split, contents)


def check_reports(path: Path, contents: Contents) -> None:
    """What `verify` calls valid is read to its end as one of those that the oracle has by that
    name.
    """
    with refusing(path):
        for report in verify(str(path)):
            found = contents.get(report.name.removeprefix(f"{path}/"), [])
            digests = [
                hashlib.sha256(content).hexdigest() for content in found if content is not None
            ]
            assert report.problem or report.sha256 in digests, (
                f"{report.name} is not what the standard library reads"
            )


def check_split(path: Path, split: str, contents: Contents) -> None:
    with refusing(path):
        images, labels = load_arrays("idxfolder", data_dir=str(path), split=split)
        arrays = oracle.parse_all(contents)
        assert is_one_of(images, arrays), f"the images of {split} are not in the file"
        assert labels is None or len(images) == len(labels)
        assert labels is None or is_one_of(labels, map(oracle.as_labels, arrays)), (
            f"{split} has other labels"
        )
        roles = oracle.find_roles(contents).get(split, {"images"})
        assert roles == {"images"} or labels is not None, f"{split} has lost its labels"
        with suppress(oracle.Refused):  # another split may be damaged
            expected = oracle.read_splits(path) if oracle.is_plain(contents) else {}
            for found, array in zip((images, labels), expected.get(split, ()), strict=False):
                assert found is None or is_one_of(found, [array]), (
                    f"{split} has what belongs to another"
                )


def is_one_of(found: np.ndarray, arrays: Iterator[np.ndarray] | list[np.ndarray]) -> bool:
    return any(np.array_equal(found, array, equal_nan=found.dtype.kind == "f") for array in arrays)
