"""Makes `load_dataset("mnist_idx")` resolve to the builder.

From 4.0 on, `datasets` runs no loading scripts, and its table of packaged modules is for builders that are given data
files. The one place where names become builders is `datasets.load.dataset_module_factory`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import datasets.inspect
import datasets.load

from .mnist_idx import code_hash

NAME = "mnist_idx"
BUILDER_MODULE = f"{__package__}.mnist_idx"


def register() -> None:
    """Teach `datasets` the name; doing so twice does nothing.

    Raises:
        ImportError: this version of `datasets` resolves names in another way.
    """
    try:
        resolve = datasets.load.dataset_module_factory
        modules = (datasets.load, datasets.inspect)
        datasets.load.DatasetModule(BUILDER_MODULE, code_hash(), {"dataset_name": NAME})
    except (AttributeError, TypeError) as error:
        raise ImportError(
            f"datasets {datasets.__version__} resolves names in a way that mnist_idx does not know ({error}). Use the "
            "builder itself: `from mnist_idx.mnist_idx import MnistIdx; builder = MnistIdx(); "
            "builder.download_and_prepare(); builder.as_dataset()`, or install another version of datasets."
        ) from error
    if getattr(resolve, "knows_mnist_idx", False):
        return
    for module in modules:  # each holds its own reference
        module.dataset_module_factory = _extended(resolve)


def _extended(resolve: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(resolve)
    def dataset_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        if path == NAME:
            return datasets.load.DatasetModule(BUILDER_MODULE, code_hash(), {"dataset_name": NAME})
        return resolve(path, *args, **kwargs)

    dataset_module_factory.knows_mnist_idx = True  # type: ignore[attr-defined]
    return dataset_module_factory
