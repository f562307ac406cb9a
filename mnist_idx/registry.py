"""Makes `load_dataset("mnist_idx")` and `load_dataset("idxfolder")` resolve to the builders.

From 4.0 on, `datasets` runs no loading scripts. `datasets.load.dataset_module_factory` is the one place where names
become builders.
"""

import functools
from collections.abc import Callable
from typing import Any

import datasets.inspect
import datasets.load
from datasets.data_files import DataFilesDict, sanitize_patterns

from .builder import code_hash
from .idxfolder import IdxFolder
from .mnist_idx import MnistIdx

BUILDERS = {"mnist_idx": MnistIdx, "idxfolder": IdxFolder}


def register() -> None:
    """Teach `datasets` both names. A second call does nothing.

    Raises:
        ImportError: this version of `datasets` resolves names in another way.
    """
    try:
        resolve = datasets.load.dataset_module_factory
        modules = (datasets.load, datasets.inspect)
        for name in BUILDERS:
            _module(name)
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


def _module(name: str, **builder_kwargs: Any) -> Any:
    kwargs = {"dataset_name": name, **builder_kwargs}
    return datasets.load.DatasetModule(BUILDERS[name].__module__, code_hash(), kwargs)


def _extended(resolve: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(resolve)
    def dataset_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        if path not in BUILDERS:
            return resolve(path, *args, **kwargs)
        data_files, data_dir = kwargs.get("data_files"), kwargs.get("data_dir")
        if path == "idxfolder" and data_files is not None and data_dir is not None:
            # As for `imagefolder`, the files are relative to the folder.
            patterns = sanitize_patterns(data_files)
            found = DataFilesDict.from_patterns(patterns, str(data_dir), kwargs.get("download_config"))
            return _module(path, data_files=found)
        return _module(path)

    dataset_module_factory.knows_mnist_idx = True  # type: ignore[attr-defined]
    return dataset_module_factory
