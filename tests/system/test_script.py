"""The package as a loading script of `datasets` 3.x, which runs a copy of it: by every form of its
path.
"""

import functools
import shutil
from pathlib import Path

import pytest
from clients import ROOT, run_client

TINY = {"train": 1000, "test": 200}


@pytest.mark.scripts
@pytest.mark.compat
@pytest.mark.parametrize(
    ("folder", "path"),
    [
        pytest.param("parent", "mnist_idx", id="folder"),
        pytest.param("parent", "./mnist_idx", id="./folder"),
        pytest.param("parent", "mnist_idx/mnist_idx.py", id="folder/file"),
        pytest.param("parent", "./mnist_idx/mnist_idx.py", id="./folder/file"),
        pytest.param("parent/mnist_idx", "mnist_idx.py", id="file"),
        pytest.param("parent/mnist_idx", "./mnist_idx.py", id="./file"),
        pytest.param("elsewhere", "../parent/mnist_idx", id="../folder"),
        pytest.param("elsewhere", "{absolute}", id="absolute-folder"),
        pytest.param("elsewhere", "{absolute}/mnist_idx.py", id="absolute-file"),
    ],
)
def test_script(folder: str, path: str, python: str, tmp_path: Path, hf_home: Path) -> None:
    script = tmp_path / "parent" / "mnist_idx"
    shutil.copytree(ROOT / "mnist_idx", script, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / folder).mkdir(exist_ok=True)
    path = path.format(absolute=script)
    # Installed: the checkout is not on the path, so that only the script is found.
    run = functools.partial(
        run_client, home=hf_home, python=python, cwd=tmp_path / folder, installed=True
    )
    loading = {"path": path, "cache": str(tmp_path / "cache")}
    assert run("load_script", args=loading).result == [TINY] * 3
    if folder == "parent":
        line = ["test", path, "--name", "tiny", "--save_info", "--trust_remote_code"]
        run("run_datasets_cli", args={"line": line})
        card = (script / "README.md").read_text()
        for count in TINY.values():
            assert f"num_examples: {count}" in card
