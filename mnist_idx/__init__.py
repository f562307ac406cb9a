"""MNIST, its relatives, and anyone's IDX files, as Hugging Face datasets.

>>> from mnist_idx import contact_sheet, load_arrays, load_dataset
>>> ds = load_dataset("mnist_idx", "tiny")  # without "tiny", all of MNIST
>>> images, labels = load_arrays("mnist_idx", "tiny", split="test")
>>> sheet = contact_sheet(ds["train"], num=12)  # an image of Pillow
>>> print(ds["train"][0]["label"], images.shape, labels.dtype)
5 (200, 28, 28) uint8

load_dataset             as in `datasets`; it knows "mnist_idx", and "idxfolder" for your own files
load_arrays              a split as NumPy arrays: images and labels
contact_sheet            a picture of images, each with its label under it
write_idx                any image dataset, or arrays, as IDX files
export                   a published dataset as Parquet files in a folder
push_to_hub              the same on the Hugging Face Hub
MnistIdx, IdxFolder      the builders of both names; MnistIdxConfig, IdxFolderConfig: their options
IdxError, TransferError  what is raised: the data is wrong or unavailable, a file is out of reach

In a terminal, `mnist-idx` lists the commands. Published are mnist, fashion_mnist, kmnist, qmnist,
qmnist_nist and six of EMNIST; `subset` and `tiny` are parts of MNIST.
"""

# Importing this registers both names. Everything else is imported when it is first used, so that
# the command line answers at once.

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from .import_hook import when_imported
from .registry import register

if TYPE_CHECKING:
    from datasets import load_dataset

    from .errors import IdxError, TransferError
    from .idxfolder import IdxFolder, IdxFolderConfig
    from .mnist_idx import MnistIdx, MnistIdxConfig
    from .tools.arrays import load_arrays
    from .tools.preview import contact_sheet
    from .tools.publish import export, push_to_hub
    from .tools.write import write_idx

__version__ = "3.0.0"
__all__ = [
    "IdxError",
    "IdxFolder",
    "IdxFolderConfig",
    "MnistIdx",
    "MnistIdxConfig",
    "TransferError",
    "contact_sheet",
    "export",
    "load_arrays",
    "load_dataset",
    "push_to_hub",
    "write_idx",
]
# What `dir` and `help` show: who needs a class of options finds it at its builder.
FIRST_NAMES = [name for name in __all__ if not name.endswith("Config")]
# What is looked for here under the name that it has on the command line, or elsewhere.
WORDS_OF_OTHERS = {
    "convert": "write_idx",
    "download": "load_dataset",
    "load_data": "load_arrays",
    "load_mnist": "load_dataset",
    "plot": "contact_sheet",
    "preview": "contact_sheet",
    "save": "write_idx",
    "show": "contact_sheet",
}
ONLY_COMMANDS = ("verify", "run")
MODULES = {
    "IdxError": ".errors",
    "IdxFolder": ".idxfolder",
    "IdxFolderConfig": ".idxfolder",
    "MnistIdx": ".mnist_idx",
    "MnistIdxConfig": ".mnist_idx",
    "TransferError": ".errors",
    "contact_sheet": ".tools.preview",
    "export": ".tools.publish",
    "load_arrays": ".tools.arrays",
    "load_dataset": "datasets",
    "push_to_hub": ".tools.publish",
    "write_idx": ".tools.write",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package, when it is first used (PEP 562)."""
    if name in MODULES:
        value = getattr(importlib.import_module(MODULES[name], __name__), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f".{name}", __name__)
    found = f"module {__name__!r} has no attribute {name!r}"
    if name.startswith("_"):
        raise AttributeError(found)
    from .suggestions import closest_names, did_you_mean

    # Without `obj`, Python adds no question of its own.
    if name in ONLY_COMMANDS:
        raise AttributeError(f"{found}. It is a command: mnist-idx {name}", name=name, obj=None)
    meant = [WORDS_OF_OTHERS[name]] if name in WORDS_OF_OTHERS else closest_names(name, __dir__())
    question = did_you_mean(meant) or f" It has {', '.join(FIRST_NAMES)}."
    raise AttributeError(f"{found}.{question}", name=name, obj=None)


def __dir__() -> list[str]:
    return [*FIRST_NAMES, "__version__"]


# At once if `datasets` is imported already, else as soon as it is.
when_imported("datasets", register)
