"""`mnist-idx example`: the programs to copy, and what each of them promises.

That they run is the matter of `test_example_programs`.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from clients import ROOT, run_client

from mnist_idx.tools import cli
from mnist_idx.tools.cli import main

Capsys = pytest.CaptureFixture[str]
FOLDER = ROOT / "mnist_idx" / "examples"
PROGRAMS = {path.stem: path for path in FOLDER.glob("*.py") if path.stem != "__init__"}
NOTEBOOK = FOLDER / "notebook.ipynb"
TEXTS = {
    name: path.read_text(encoding="utf-8")
    for name, path in {**PROGRAMS, "notebook": NOTEBOOK}.items()
}


# The command


def test_the_list_has_a_line_for_each_example(capsys: Capsys) -> None:
    assert main(["example"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines[:-2]]
    assert listed == sorted(TEXTS)
    assert lines[-2:] == ["", "Print one: mnist-idx example train > train.py"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_line_of_a_program_is_the_first_of_its_text(name: str, capsys: Capsys) -> None:
    assert main(["example"]) == 0
    first_line = TEXTS[name].splitlines()[0].removeprefix('"""')
    assert f"{name:12} {first_line}\n" in capsys.readouterr().out


def test_the_line_of_the_notebook_is_its_title(capsys: Capsys) -> None:
    assert main(["example"]) == 0
    line = "notebook     MNIST in ten minutes: look, load, stream, train, write your own\n"
    assert line in capsys.readouterr().out


@pytest.mark.parametrize("name", TEXTS)
def test_an_example_is_printed_as_it_is(name: str, capsys: Capsys) -> None:
    assert main(["example", name]) == 0
    assert capsys.readouterr().out == TEXTS[name]


@pytest.mark.parametrize("option", ["-o", "--output"])
def test_an_example_is_written(option: str, tmp_path: Path, capsys: Capsys) -> None:
    target = tmp_path / "mine.py"
    assert main(["example", "train", option, str(target)]) == 0
    assert target.read_bytes() == TEXTS["train"].encode()
    advice = "Its beginning says what it needs, and how to run it."
    assert capsys.readouterr().out == f"wrote {target}. {advice}\n"


def test_a_file_is_not_overwritten(tmp_path: Path, capsys: Capsys) -> None:
    target = tmp_path / "train.py"
    target.write_text("mine")
    assert main(["example", "train", "--output", str(target)]) == 1
    said = f"mnist-idx: {target}: exists already. Choose another file with --output.\n"
    assert capsys.readouterr() == ("", said)
    assert target.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("trian", "Did you mean train? There are ", id="letters that are exchanged"),
        pytest.param("train.py", "Did you mean train? There are ", id="the name of the file"),
        pytest.param("zzz", "There are ", id="like no name"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_names(
    name: str, said: str, capsys: Capsys
) -> None:
    assert main(["example", name]) == 1
    names = ", ".join(sorted(TEXTS))
    expected = f"mnist-idx: {name}: no such example. {said}{names}.\n"
    assert capsys.readouterr() == ("", expected)


def test_a_file_without_a_name_is_an_error_with_the_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["example", "--output", "a.py"]) == 1
    line = capsys.readouterr().err.partition("is missing: mnist-idx ")[2]
    assert main(line.split()) == 0
    assert (tmp_path / "a.py").exists()


def test_the_examples_of_the_help_run(capsys: Capsys, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(cli.example) or ""
    lines = re.findall(r"^  mnist-idx (.*?)(?: {2,}.*)?$", text, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        arguments = line.partition(">")[0].split()
        assert main(arguments) == 0
        assert capsys.readouterr().out


def test_the_command_imports_no_heavy_package(hf_home: Path) -> None:
    args = {"names": sorted(TEXTS)}
    assert run_client("modules_of_the_examples", home=hf_home, args=args).result == []


# The programs


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_says_how_to_run_it(name: str) -> None:
    docstring = TEXTS[name].split('"""')[1]
    assert "\n    pip install " in docstring
    assert re.search(rf"\n    (python|torchrun .*) {name}\.py", docstring)
    assert f"mnist_idx.examples.{name}" in docstring
    assert re.search(r"\b(minutes?|seconds?)\b", docstring)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_may_be_imported_by_its_workers(name: str) -> None:
    assert TEXTS[name].endswith('\n\nif __name__ == "__main__":\n    main()\n')


@pytest.mark.parametrize("name", TEXTS)
def test_an_example_passes_every_terminal(name: str) -> None:
    """In any encoding that a shell writes to a file."""
    assert TEXTS[name].isascii()


# The notebook


def cells(kind: str) -> list[dict[str, Any]]:
    """The cells of the notebook, "code" or "markdown"."""
    every_cell = json.loads(TEXTS["notebook"])["cells"]
    return [cell for cell in every_cell if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_the_notebook_is_stored_without_what_it_printed() -> None:
    assert len(cells("code")) > 10
    for cell in cells("code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}


@pytest.mark.parametrize("cell", cells("code"), ids=lambda cell: cell["id"])
def test_a_cell_compiles(cell: dict[str, Any]) -> None:
    lines = source(cell).splitlines()
    code = [line for line in lines if not line.startswith("%")]
    compile("\n".join(code), cell["id"], "exec")


def test_each_magic_installs() -> None:
    code = "\n".join(source(cell) for cell in cells("code"))
    magics = re.findall(r"^[%!].*$", code, re.MULTILINE)
    assert magics == ["%pip install --quiet torch"]


def test_the_notebook_has_the_form_of_notebooks() -> None:
    """What the schema of nbformat 4.5 asks for; see also `test_example_programs`."""
    notebook = json.loads(TEXTS["notebook"])
    assert set(notebook) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    fields = {
        "code": {"cell_type", "execution_count", "id", "metadata", "outputs", "source"},
        "markdown": {"cell_type", "id", "metadata", "source"},
    }
    for cell in notebook["cells"]:
        assert set(cell) == fields[cell["cell_type"]]
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert all(isinstance(line, str) for line in cell["source"])
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
