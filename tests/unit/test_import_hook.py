"""Something is called as soon as a module is imported, in whatever way that happens."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_idx.import_hook import when_imported

NAME = "module_that_is_awaited"
CODE = "value = 1\n"


class Calls:
    def __init__(self) -> None:
        self.values: list[int] = []

    def __call__(self) -> None:
        """Called when the module has been executed: it has its names."""
        self.values.append(sys.modules[NAME].value)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """A module that is not imported yet."""
    (tmp_path / f"{NAME}.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    yield Calls()
    sys.modules.pop(NAME, None)


def test_it_is_called_once_the_module_is_imported(calls: Calls) -> None:
    when_imported(NAME, calls)
    assert calls.values == []
    importlib.import_module(NAME)
    importlib.import_module(NAME)
    assert calls.values == [1]


def test_it_is_called_at_once_for_a_module_that_is_there(calls: Calls) -> None:
    importlib.import_module(NAME)
    when_imported(NAME, calls)
    assert calls.values == [1]


def test_looking_for_the_module_is_not_importing_it(calls: Calls) -> None:
    when_imported(NAME, calls)
    spec = importlib.util.find_spec(NAME)
    assert spec is not None
    assert spec.origin is not None
    assert spec.origin.endswith(f"{NAME}.py")
    assert calls.values == []
    importlib.import_module(NAME)
    assert calls.values == [1]


def test_it_is_called_again_after_a_reload(calls: Calls) -> None:
    when_imported(NAME, calls)
    importlib.reload(importlib.import_module(NAME))
    assert calls.values == [1, 1]


def test_a_module_that_fails_may_be_imported_later(calls: Calls, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.py"
    path.write_text("raise ValueError('not yet')\n")
    when_imported(NAME, calls)
    with pytest.raises(ValueError, match="not yet"):
        importlib.import_module(NAME)
    assert calls.values == []
    path.write_text(CODE)
    importlib.invalidate_caches()
    importlib.import_module(NAME)
    assert calls.values == [1]


def test_other_modules_and_missing_ones_are_as_without_it(calls: Calls) -> None:
    when_imported("module_that_does_not_exist", calls)
    importlib.import_module(NAME)
    with pytest.raises(ModuleNotFoundError, match="module_that_does_not_exist"):
        importlib.import_module("module_that_does_not_exist")
    assert calls.values == []


def test_two_wait_for_the_same_module(calls: Calls) -> None:
    when_imported(NAME, calls)
    when_imported(NAME, calls)
    module = importlib.import_module(NAME)
    assert calls.values == [1, 1]
    assert module.__spec__ is not None
    assert module.__loader__ is module.__spec__.loader
