"""The package as a loading script of `datasets` 3.x, which runs a copy of it: by every form of its
path.
"""

import functools
import shutil
from pathlib import Path

import pytest
from clients import ROOT, run_client

TINY = {"train": 1000, "test": 200}
PATHS = {
    "parent": ("mnist_idx", "./mnist_idx", "mnist_idx/mnist_idx.py", "./mnist_idx/mnist_idx.py"),
    "parent/mnist_idx": ("mnist_idx.py", "./mnist_idx.py"),
    "elsewhere": ("../parent/mnist_idx", "{absolute}", "{absolute}/mnist_idx.py"),
}


@pytest.mark.scripts
@pytest.mark.compat
@pytest.mark.parametrize(
    ("folder", "path"), [(folder, path) for folder, paths in PATHS.items() for path in paths]
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
        assert all(
            f"num_examples: {count}" in (script / "README.md").read_text()
            for count in TINY.values()
        )
