"""The classes of the package."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import mnist_idx


def module_names(package: ModuleType = mnist_idx) -> Iterator[str]:
    """The names of the modules of a package that can be imported without doing anything.

    Examples are programs, some of which need PyTorch or Ray.
    """
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        is_program = info.name.endswith("__main__") or ".examples" in info.name
        if not is_program:
            yield info.name


def classes_with(*names: str) -> set[type]:
    """The classes of the package that have attributes of these names, and are no protocols."""
    found = set()
    for name in module_names():
        for kind in vars(importlib.import_module(name)).values():
            if not inspect.isclass(kind) or kind.__module__ != name:
                continue
            is_protocol = getattr(kind, "_is_protocol", False)
            if not is_protocol and all(hasattr(kind, attribute) for attribute in names):
                found.add(kind)
    return found
