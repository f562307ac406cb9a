"""Use a function of the package, and list what was imported for that."""

import importlib
import sys
from typing import Any

from array_digests import digest_array


def summary(result: Any) -> Any:
    """A result as JSON has it: arrays by their digests, reports of files as what they found."""
    if isinstance(result, tuple):
        return [digest_array(array) for array in result]
    if isinstance(result, list):
        return [[report.split, report.role, report.shape, report.problem] for report in result]
    return result


def main(
    function: str,
    arguments: list[Any],
    options: dict[str, Any],
    modules: list[str],
    sources: list[str] | None = None,
) -> dict[str, Any]:
    """What a function, as `module:name`, returns, and which of the modules are imported then.

    Args:
        sources: where MNIST is published, in place of the built-in sources.
    """
    if sources is not None:
        from mnist_idx import catalog

        catalog.DATASETS["mnist"] = catalog.DATASETS["mnist"]._replace(sources=tuple(sources))
    module, _, name = function.partition(":")
    try:
        result = getattr(importlib.import_module(module), name)(*arguments, **options)
    except SystemExit as error:
        result = error.code
    imported = [name for name in modules if name in sys.modules]
    return {"result": summary(result), "imported": imported}
