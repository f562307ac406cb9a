"""The classes of the package."""

import importlib
import inspect
import pkgutil

import mnist_idx


def classes_with(*names: str) -> set[type]:
    """The classes of the package that have attributes of these names, and are no protocols."""
    found = set()
    for info in pkgutil.walk_packages(mnist_idx.__path__, "mnist_idx."):
        if info.name.endswith("__main__"):  # which runs when it is imported
            continue
        for kind in vars(importlib.import_module(info.name)).values():
            if not inspect.isclass(kind) or kind.__module__ != info.name:
                continue
            is_protocol = getattr(kind, "_is_protocol", False)
            if not is_protocol and all(hasattr(kind, name) for name in names):
                found.add(kind)
    return found
