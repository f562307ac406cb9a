"""MNIST, and anyone's IDX files, as Hugging Face datasets. Importing this registers "mnist_idx" and "idxfolder"."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "2.0.0"

# The command line imports only what a command needs: `mnist-idx --help` answers at once.
if TYPE_CHECKING or Path(sys.argv[0] if sys.argv else "").name not in ("mnist-idx", "mnist-idx.exe"):
    from .idx import IdxError as IdxError
    from .idxfolder import IdxFolder as IdxFolder, IdxFolderConfig as IdxFolderConfig
    from .mnist_idx import MnistIdx as MnistIdx, MnistIdxConfig as MnistIdxConfig
    from .registry import register
    from .tools.arrays import load_arrays as load_arrays
    from .tools.preview import contact_sheet as contact_sheet
    from .tools.publish import export as export, push_to_hub as push_to_hub
    from .tools.write import write_idx as write_idx

    register()
