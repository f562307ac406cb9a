"""Calls a function as soon as another package is imported.

`wrapt.when_imported` does the same. It imports asyncio, which takes longer than all of ours.
"""

import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


def when_imported(name: str, action: Callable[[], None]) -> None:
    """Call `action` once the module `name` is imported: now, if it is already.

    It is called again if the module is reloaded.
    """
    if name in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _ImportHook(name, action))


class _ImportHook:
    """Finds one module as the other finders do, and lets something follow its execution.

    It is a `MetaPathFinder`, without the base class: importing that takes 14 ms.
    """

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self._name = name
        self._action = action

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        # Those before it have found nothing, or are other hooks that are asking.
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                self._follow(spec)
                return spec
        return None

    def _follow(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Call the action after the module is executed. Others may only look at the spec."""
        loader = spec.loader
        if loader is None:
            return
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self._action()

        loader.exec_module = exec_module  # type: ignore[method-assign]
