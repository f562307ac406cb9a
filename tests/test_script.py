"""The package as a loading script of `datasets` 3.x, which runs a copy of it: by every form of its path."""

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
result = {}
for way, options in {"prepared": {}, "num_proc": {"num_proc": 2}, "streamed": {"streaming": True}}.items():
    # A cache of its own: what another form of the path has prepared is not taken for this one's.
    cache = f"{args['cache']}-{way}"
    data = datasets.load_dataset(args["path"], "tiny", cache_dir=cache, trust_remote_code=True, **options)
    result[way] = {split: sum(1 for _ in rows.select_columns("label")) for split, rows in data.items()}
"""
DATASETS_CLI = """
import runpy
sys.argv = ["datasets-cli", "test", args["path"], "--name", "tiny", "--save_info", "--trust_remote_code"]
runpy.run_module("datasets.commands.datasets_cli", run_name="__main__")
"""


@pytest.fixture
def script(python: str, tmp_path: Path) -> Path:
    """The package in a folder of its own."""
    if not datasets_version(python).startswith("3."):
        pytest.skip("datasets 4 and later run no scripts")
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "mnist_idx", tmp_path / "parent" / "mnist_idx", ignore=ignored))


@pytest.mark.compat
@pytest.mark.parametrize(("folder", "path"), [(folder, path) for folder, paths in PATHS.items() for path in paths])
def test_script(folder: str, path: str, python: str, script: Path, tmp_path: Path, hf_home: Path) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    args = {"path": path.format(absolute=script), "cache": str(tmp_path / "cache")}
    # Installed: the checkout is not on the path, so that only the script is found.
    run = functools.partial(run_client, home=hf_home, python=python, cwd=tmp_path / folder, args=args, installed=True)
    assert run(LOAD).result == {"prepared": TINY, "num_proc": TINY, "streamed": TINY}
    if folder == "parent":
        run(DATASETS_CLI)
        assert all(f"num_examples: {count}" in (script / "README.md").read_text() for count in TINY.values())
