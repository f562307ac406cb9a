"""MNIST, and anyone's IDX files, as Hugging Face datasets. Importing this registers "mnist_idx" and "idxfolder"."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "2.1.0"
__all__ = ["IdxError", "IdxFolder", "IdxFolderConfig", "MnistIdx", "MnistIdxConfig", "TransferError"]
__all__ += ["contact_sheet", "export", "load_arrays", "push_to_hub", "write_idx"]

# The command line imports only what a command needs: `mnist-idx --help` answers at once.
if TYPE_CHECKING or Path(sys.argv[0] if sys.argv else "").name not in ("mnist-idx", "mnist-idx.exe"):
    from .errors import IdxError, TransferError
    from .idxfolder import IdxFolder, IdxFolderConfig
    from .mnist_idx import MnistIdx, MnistIdxConfig
    from .registry import register
    from .tools.arrays import load_arrays
    from .tools.preview import contact_sheet
    from .tools.publish import export, push_to_hub
    from .tools.write import write_idx

    register()
