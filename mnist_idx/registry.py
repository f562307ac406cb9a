"""Makes `load_dataset("mnist_idx")` and `load_dataset("idxfolder")` resolve to the builders.

From 4.0 on, `datasets` runs no scripts; `datasets.load.dataset_module_factory` is where names
become builders. This is called while `datasets` may be imported on behalf of the builders: it must
not import them.
"""

import functools
import hashlib
import warnings
from pathlib import Path
from typing import Any

MODULES = {
    "mnist_idx": "mnist_idx.mnist_idx",
    "idxfolder": "mnist_idx.idxfolder",
}  # of the builders


def register() -> None:
    """Let `datasets` find the builders by their names. Repeated calls do nothing."""
    import datasets.inspect
    import datasets.load

    try:
        resolve = datasets.load.dataset_module_factory
        for name in MODULES:
            _module(name)
    except (AttributeError, TypeError) as error:
        version = f"datasets {datasets.__version__}"
        found = f"{version} resolves names in a way that mnist_idx does not know ({error})"
        code = (
            "builder = mnist_idx.MnistIdx(); builder.download_and_prepare(); builder.as_dataset()"
        )
        # Not an error: the builder could not be imported then.
        warnings.warn(
            f"{found}. Use `{code}`, or install another version of datasets.", stacklevel=2
        )
        return
    if getattr(resolve, "knows_mnist_idx", False):
        return

    @functools.wraps(resolve)
    def dataset_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        return _module(path) if path in MODULES else resolve(path, *args, **kwargs)

    dataset_module_factory.knows_mnist_idx = True  # type: ignore[attr-defined]
    # Each holds its own reference.
    for module in (datasets.load, datasets.inspect):
        module.dataset_module_factory = dataset_module_factory  # type: ignore[attr-defined]


def _module(name: str) -> Any:
    import datasets.load

    return datasets.load.DatasetModule(MODULES[name], code_hash(), {"dataset_name": name})


@functools.cache
def code_hash() -> str:
    """A hash of the code that makes records, part of the cache key.

    `tools` is excluded: it makes no records.
    """
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
