"""Makes `load_dataset("mnist_idx")` and `load_dataset("idxfolder")` resolve to the builders.

From 4.0 on, `datasets` runs no scripts; `datasets.load.dataset_module_factory` is where names become builders.
"""

import functools
from typing import Any

import datasets.inspect
import datasets.load
from datasets.data_files import DataFilesDict, sanitize_patterns

from .builder import code_hash
from .idxfolder import IdxFolder
from .mnist_idx import MnistIdx

BUILDERS = {"mnist_idx": MnistIdx, "idxfolder": IdxFolder}


def register() -> None:
    """Teach `datasets` both names. A second call does nothing."""
    try:
        resolve = datasets.load.dataset_module_factory
        for name in BUILDERS:
            _module(name)
    except (AttributeError, TypeError) as error:
        found = f"datasets {datasets.__version__} resolves names in a way that mnist_idx does not know ({error})"
        code = "from mnist_idx.mnist_idx import MnistIdx; builder = MnistIdx(); builder.download_and_prepare()"
        way_out = f"Use the builder itself: `{code}; builder.as_dataset()`, or install another version of datasets."
        raise ImportError(f"{found}. {way_out}") from error
    if getattr(resolve, "knows_mnist_idx", False):
        return

    @functools.wraps(resolve)
    def dataset_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        if path not in BUILDERS:
            return resolve(path, *args, **kwargs)
        data_files, data_dir = kwargs.get("data_files"), kwargs.get("data_dir")
        if path == "idxfolder" and data_files is not None and data_dir is not None:
            # As for `imagefolder`, the files are relative to the folder.
            patterns, config = sanitize_patterns(data_files), kwargs.get("download_config")
            return _module(path, data_files=DataFilesDict.from_patterns(patterns, str(data_dir), config))
        return _module(path)

    dataset_module_factory.knows_mnist_idx = True  # type: ignore[attr-defined]
    for module in (datasets.load, datasets.inspect):  # each holds its own reference
        module.dataset_module_factory = dataset_module_factory


def _module(name: str, **builder_kwargs: Any) -> Any:
    kwargs = {"dataset_name": name, **builder_kwargs}
    return datasets.load.DatasetModule(BUILDERS[name].__module__, code_hash(), kwargs)
