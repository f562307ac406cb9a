"""The package as a loading script of `datasets` 3.x, which runs a copy of it: by every form of its
path.
"""

import functools
import shutil
from pathlib import Path

import pytest
from clients import ROOT, datasets_version, run_client

TINY = {"train": 1000, "test": 200}
PATHS = {
    "parent": ("mnist_idx", "./mnist_idx", "mnist_idx/mnist_idx.py", "./mnist_idx/mnist_idx.py"),
    "parent/mnist_idx": ("mnist_idx.py", "./mnist_idx.py"),
    "elsewhere": ("../parent/mnist_idx", "{absolute}", "{absolute}/mnist_idx.py"),
}
LOAD = """
import datasets
result = []
for options in ({}, {"num_proc": 2}, {"streaming": True}):
    # A cache of its own: what another form of the path has prepared is not taken for this one's.
    options["cache_dir"] = f"{args['cache']}-{len(result)}"
    data = datasets.load_dataset(args["path"], "tiny", trust_remote_code=True, **options)
    result.append({split: sum(1 for _ in rows.select_columns("label")) for split, rows in data.items()})
"""
DATASETS_CLI = """
import runpy
sys.argv = ["datasets-cli", "test", args["path"], "--name", "tiny", "--save_info", "--trust_remote_code"]
runpy.run_module("datasets.commands.datasets_cli", run_name="__main__")
"""


@pytest.mark.compat
@pytest.mark.parametrize(
    ("folder", "path"), [(folder, path) for folder, paths in PATHS.items() for path in paths]
)
def test_script(folder: str, path: str, python: str, tmp_path: Path, hf_home: Path) -> None:
    if not datasets_version(python).startswith("3."):
        pytest.skip("datasets 4 and later run no scripts")
    script = tmp_path / "parent" / "mnist_idx"
    shutil.copytree(ROOT / "mnist_idx", script, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / folder).mkdir(exist_ok=True)
    args = {"path": path.format(absolute=script), "cache": str(tmp_path / "cache")}
    # Installed: the checkout is not on the path, so that only the script is found.
    run = functools.partial(
        run_client, home=hf_home, python=python, cwd=tmp_path / folder, args=args, installed=True
    )
    assert run(LOAD).result == [TINY] * 3
    if folder == "parent":
        run(DATASETS_CLI)
        assert all(
            f"num_examples: {count}" in (script / "README.md").read_text()
            for count in TINY.values()
        )
