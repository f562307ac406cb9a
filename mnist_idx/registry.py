"""Makes `load_dataset("mnist_idx")` and `load_dataset("idxfolder")` resolve to the builders.

From 4.0 on, `datasets` runs no scripts; `datasets.load.dataset_module_factory` is where names become builders.
"""

import functools
import warnings
from typing import Any

import datasets.inspect
import datasets.load

from .builder import code_hash
from .idxfolder import IdxFolder
from .mnist_idx import MnistIdx

BUILDERS = {"mnist_idx": MnistIdx, "idxfolder": IdxFolder}


def register() -> None:
    try:
        resolve = datasets.load.dataset_module_factory
        for name in BUILDERS:
            _module(name)
    except (AttributeError, TypeError) as error:
        found = f"datasets {datasets.__version__} resolves names in a way that mnist_idx does not know ({error})"
        code = "builder = mnist_idx.MnistIdx(); builder.download_and_prepare(); builder.as_dataset()"
        # Not an error: the builder could not be imported then.
        return warnings.warn(f"{found}. Use `{code}`, or install another version of datasets.", stacklevel=2)

    @functools.wraps(resolve)
    def dataset_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        return _module(path) if path in BUILDERS else resolve(path, *args, **kwargs)

    for module in (datasets.load, datasets.inspect):  # each holds its own reference
        module.dataset_module_factory = dataset_module_factory


def _module(name: str) -> Any:
    return datasets.load.DatasetModule(BUILDERS[name].__module__, code_hash(), {"dataset_name": name})
