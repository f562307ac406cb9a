"""Code of the documentation, run as users paste it: into a file, or into a cell of a notebook."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clients import DROPPED, PROGRAMS, ROOT, SET

PATH = (ROOT, PROGRAMS.with_name("at_start"), PROGRAMS, PROGRAMS.parent)
SHOWN = re.compile(r"^\s*print\(.*\) +# (.*)$", re.MULTILINE)


def blocks_of(text: str, language: str) -> list[str]:
    """The blocks of code in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def pasted_environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a user who has the package, and an empty cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    path = os.pathsep.join(map(str, PATH))
    return {**kept, **dict.fromkeys(SET, "1"), "HF_HOME": str(home), "PYTHONPATH": path, **extra}


def run_as_file(code: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run code as a file in a folder. Returns what it prints."""
    program = folder / "program.py"
    program.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program.name],
        cwd=folder,
        env=pasted_environment(folder / "hf_home", environment),
        capture_output=True,
        encoding="utf-8",
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return done.stdout


def run_as_notebook(code: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run code as the only cell of a notebook in a folder. Returns what it prints."""
    import nbclient
    import nbformat

    cell = nbformat.v4.new_code_cell(code)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, kernel_name="python3", resources=resources)
    client.execute(env=pasted_environment(folder / "hf_home", environment))
    return "".join(output.text for output in cell.outputs if is_printed(output))


def is_printed(output: Any) -> bool:
    return bool(output.output_type == "stream" and output.name == "stdout")


def assert_prints_what_it_says(code: str, printed: str) -> None:
    """Compare what code prints with its comments; "…" stands for any text."""
    shown = SHOWN.findall(code)
    if not shown:
        return
    lines = printed.splitlines()
    assert len(lines) == len(shown), printed
    for line, pattern in zip(lines, shown, strict=True):
        assert re.fullmatch(re.escape(pattern).replace("…", ".*"), line), printed
