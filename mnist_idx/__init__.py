"""MNIST, and anyone's IDX files, as Hugging Face datasets. Importing this registers "mnist_idx" and "idxfolder"."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "2.0.0"

if TYPE_CHECKING:
    from .idx import IdxError as IdxError
    from .idxfolder import IdxFolder as IdxFolder
    from .idxfolder import IdxFolderConfig as IdxFolderConfig
    from .mnist_idx import MnistIdx as MnistIdx
    from .mnist_idx import MnistIdxConfig as MnistIdxConfig
    from .tools.arrays import load_arrays as load_arrays
    from .tools.preview import contact_sheet as contact_sheet
    from .tools.publish import export as export
    from .tools.publish import push_to_hub as push_to_hub
    from .tools.write import write_idx as write_idx

_MODULES = {
    "IdxError": "idx",
    "IdxFolder": "idxfolder",
    "IdxFolderConfig": "idxfolder",
    "MnistIdx": "mnist_idx",
    "MnistIdxConfig": "mnist_idx",
    "contact_sheet": "tools.preview",
    "export": "tools.publish",
    "load_arrays": "tools.arrays",
    "push_to_hub": "tools.publish",
    "write_idx": "tools.write",
}
__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """Import what is used, when it is used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


# The command line imports `datasets` only in the commands that need it: `mnist-idx --help` answers at once.
if Path(sys.argv[0] if sys.argv else "").name not in ("mnist-idx", "mnist-idx.exe"):
    from .registry import register

    register()
