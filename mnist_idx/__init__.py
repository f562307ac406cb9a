"""MNIST, and anyone's IDX files, as Hugging Face data sets. Importing this makes `load_dataset("mnist_idx")` work."""

from .arrays import load_arrays
from .convert import write_idx
from .folder import export
from .hub import push_to_hub
from .idx import IdxError
from .mnist_idx import VERSION as __version__
from .mnist_idx import MnistIdx, MnistIdxConfig
from .registry import register

__all__ = [
    "IdxError",
    "MnistIdx",
    "MnistIdxConfig",
    "__version__",
    "export",
    "load_arrays",
    "push_to_hub",
    "write_idx",
]

register()
