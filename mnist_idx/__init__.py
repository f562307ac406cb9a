"""MNIST, and anyone's IDX files, as Hugging Face datasets.

Importing this makes `load_dataset("mnist_idx")` and `load_dataset("idxfolder")` work. Everything
else is imported when it is first used, so that the command line answers at once.
"""

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
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


# At once if `datasets` is imported already, else as soon as it is.
when_imported("datasets", register)
