"""The ways in which users read IDX files, behind one function."""

import contextlib
import io
from collections.abc import Iterable, Mapping
from typing import Any

import datasets
import numpy as np

import mnist_idx
from mnist_idx.tools import cli

MODES = ("prepared", "streamed", "arrays")
Arrays = Mapping[str, tuple[np.ndarray, np.ndarray | None]]


def read_all(
    mode: str,
    path: str,
    name: str | None = None,
    splits: Iterable[str] = ("train", "test"),
    **options: Any,
) -> Arrays:
    """Read every record: split -> (images, labels).

    "prepared" and "streamed" read the splits that `load_dataset` finds, "arrays" asks for the given
    ones.
    """
    if mode == "arrays":
        return {
            split: mnist_idx.load_arrays(path, name, split=split, **options) for split in splits
        }
    data = datasets.load_dataset(path, name, streaming=mode == "streamed", **options)
    return {split: _stack(list(rows)) for split, rows in data.items()}


def refusal(way: str, path: str, name: str | None = None, **options: Any) -> str:
    """The error message when reading in one of the modes, or by the command "verify"."""
    if way != "verify":
        try:
            read_all(way, path, name, **options)
        except mnist_idx.IdxError as error:
            return str(error)
        raise AssertionError("nothing was refused")
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        assert cli.main(["verify", str(options.get("data_dir", name or "mnist"))]) == 1
    return printed.getvalue()


def assert_same(found: Arrays, expected: Arrays) -> None:
    """The same splits, and the same records in each."""
    assert sorted(found) == sorted(expected)
    for split, (images, labels) in expected.items():
        np.testing.assert_array_equal(found[split][0], images)
        assert (found[split][1] is None) == (labels is None)
        if labels is not None:
            np.testing.assert_array_equal(found[split][1], labels)


def _stack(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray | None]:
    images = np.array([np.asarray(row["image"]) for row in rows])
    return images, np.array([row["label"] for row in rows]) if rows and "label" in rows[0] else None
