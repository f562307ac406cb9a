"""Makes `load_dataset("mnist_idx")` and `load_dataset("idxfolder")` resolve to the builders.

From 4.0 on, `datasets` runs no scripts; `datasets.load.dataset_module_factory` is where names
become builders. This may be called while `datasets` is imported on behalf of the builders: it must
not import them. Nor does it import `datasets` before a function is called.
"""

import functools
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets.load import DatasetModule

BUILDER_MODULES = {
    "mnist_idx": "mnist_idx.mnist_idx",
    "idxfolder": "mnist_idx.idxfolder",
}


def register() -> None:
    """Let `datasets` find the builders by their names. Repeated calls do nothing."""
    import datasets.inspect
    import datasets.load

    try:
        resolve: Callable[..., DatasetModule] = datasets.load.dataset_module_factory
        for name in BUILDER_MODULES:
            _module(name)
    except (AttributeError, TypeError) as error:
        # Not an error: the builder could not be imported then.
        warnings.warn(_unknown_version(datasets.__version__, error), stacklevel=2)
        return
    if getattr(resolve, "knows_mnist_idx", False):
        return

    @functools.wraps(resolve)
    def dataset_module_factory(path: str, *args: object, **kwargs: object) -> "DatasetModule":
        if path in BUILDER_MODULES:
            return _module(path)
        try:
            return resolve(path, *args, **kwargs)
        except (ConnectionError, FileNotFoundError) as error:  # There is no dataset of this name.
            question = _question_about(path)
            if not question or len(error.args) != 1:
                raise
            raise type(error)(f"{str(error).rstrip('.')}.{question}") from error

    dataset_module_factory.knows_mnist_idx = True  # type: ignore[attr-defined]
    # Each holds its own reference.
    for module in (datasets.load, datasets.inspect):
        module.dataset_module_factory = dataset_module_factory  # type: ignore[attr-defined]


def _unknown_version(version: str, error: Exception) -> str:
    """What to say of a version of `datasets` in which names cannot be registered."""
    found = f"datasets {version} resolves names in a way that mnist_idx does not know ({error})"
    code = "builder = mnist_idx.MnistIdx(); builder.download_and_prepare(); builder.as_dataset()"
    return f"{found}. Use `{code}`, or install another version of datasets."


def _question_about(path: object) -> str:
    """Says what of ours may have been meant, with a space before it; "" if nothing was."""
    from .paths import quoted
    from .suggestions import calls_of, did_you_mean

    if not isinstance(path, str):
        return ""
    if os.path.exists(path):
        return f' If it holds IDX files: load_dataset("idxfolder", data_dir={quoted(path)}).'
    return did_you_mean(calls_of("load_dataset", path))


def _module(name: str) -> "DatasetModule":
    """What `datasets` makes a builder of."""
    import datasets.load

    return datasets.load.DatasetModule(BUILDER_MODULES[name], code_hash(), {"dataset_name": name})


@functools.cache
def code_hash() -> str:
    """A hash of the code that makes records, part of the cache key.

    `tools` is excluded: it makes no records.
    """
    import hashlib  # takes longer to import than all of this

    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
