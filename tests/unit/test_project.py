"""What the project says of itself is true: its lists of faults and of guards, its examples."""

import configparser
import doctest
import importlib
import re
from pathlib import Path

import pytest
from clients import ROOT

TESTS = ROOT / "tests"
MODULES = sorted((ROOT / "mnist_idx").rglob("*.py"))
FAULTS = (TESTS / "FAULTS.md").read_text(encoding="utf-8")
GUARDS = configparser.ConfigParser()
GUARDS.read(TESTS / "mutation" / "guards.ini", encoding="utf-8")


def module_name(path: Path) -> str:
    """The name by which a module is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


EXAMPLES = [module_name(path) for path in MODULES if ">>>" in path.read_text(encoding="utf-8")]


def test_each_fault_has_its_test() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", FAULTS)
    assert len(named) > 40
    for file, name in named:
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_each_file_of_the_list_of_faults_exists() -> None:
    named = set(re.findall(r"`([\w/]*test_\w+\.py)", FAULTS))
    assert {file for file in named if not (TESTS / file).exists()} == set()


def test_each_module_has_guards_against_mutation() -> None:
    without_rules = {"__init__", "__main__"}  # They only import.
    assert set(GUARDS["guards"]) == {path.stem for path in MODULES} - without_rules


@pytest.mark.parametrize("module", GUARDS["guards"])
def test_each_guard_exists(module: str) -> None:
    guards = GUARDS["guards"][module].split()
    assert guards
    assert [name for name in guards if not list(TESTS.glob(f"*/test_{name}.py"))] == []


@pytest.mark.parametrize("name", GUARDS["equivalent"])
def test_each_constant_that_mutation_leaves_alone_exists(name: str) -> None:
    definition = re.compile(rf"^ *{name}\b.* = ", re.MULTILINE | re.IGNORECASE)
    assert any(definition.search(path.read_text(encoding="utf-8")) for path in MODULES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Some write files.
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_each_test_file_is_in_the_folder_of_its_kind() -> None:
    assert {path.parent.name for path in TESTS.rglob("test_*.py")} == {"unit", "datasets", "system"}


def test_names_of_test_files_differ() -> None:
    """They are imported by their names alone."""
    names = [path.name for path in TESTS.glob("*/test_*.py")]
    assert sorted(names) == sorted(set(names))
