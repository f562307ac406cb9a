"""The examples in the docstrings of the package and of its public names run as they are written."""

import doctest
import inspect
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import mnist_idx

# `load_dataset` is documented by `datasets`.
DOCUMENTED = sorted(set(mnist_idx.__all__) - {"load_dataset"})


def examples_of(value: Any, name: str) -> list[doctest.DocTest]:
    """The docstring of a class, a function or a module as a test; without those of its members."""
    finder = doctest.DocTestFinder(recurse=False)
    return finder.find(value, name, module=False, globs={})


def run(value: Any, name: str) -> doctest.TestResults:
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    for test in examples_of(value, name):
        runner.run(test)
    return runner.summarize()


@pytest.fixture(autouse=True)
def offline_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples need nothing but the miniature in the package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_IDX_MIRROR", str(tmp_path / "nothing"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def test_the_examples_of_the_package_run() -> None:
    assert run(mnist_idx, "mnist_idx").failed == 0


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_examples_of_a_public_name_run(name: str) -> None:
    results = run(getattr(mnist_idx, name), name)
    assert results.attempted > 0, "each has an example"
    assert results.failed == 0


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_docstring_says_what_is_raised(name: str) -> None:
    value = getattr(mnist_idx, name)
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    assert "Raises:\n" in (inspect.getdoc(value) or "")


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTED if isinstance(getattr(mnist_idx, name), FunctionType)]
)
def test_a_docstring_describes_each_argument(name: str) -> None:
    function = getattr(mnist_idx, name)
    parameters = set(inspect.signature(function).parameters) - {"options"}
    text = (inspect.getdoc(function) or "").partition("Args:\n")[2]
    assert [parameter for parameter in parameters if parameter not in text] == []


def test_the_package_starts_with_code_that_runs_and_lists_its_names() -> None:
    text = mnist_idx.__doc__ or ""
    (test,) = examples_of(mnist_idx, "mnist_idx")
    assert len(test.examples) == 5
    assert text.index(">>>") < 200, "what people need comes first"
    assert [name for name in mnist_idx.__all__ if name not in text] == []


def test_dir_shows_the_ten_names_that_people_need() -> None:
    shown = [name for name in dir(mnist_idx) if not name.startswith("_")]
    assert shown == sorted(
        [
            "IdxError",
            "IdxFolder",
            "MnistIdx",
            "TransferError",
            "contact_sheet",
            "export",
            "load_arrays",
            "load_dataset",
            "push_to_hub",
            "write_idx",
        ]
    )
    assert set(shown) < set(mnist_idx.__all__)
