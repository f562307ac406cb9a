"""List the examples, and print each."""

import sys

HEAVY = {"datasets", "numpy", "pyarrow", "huggingface_hub", "torch", "ray"}


def main(names: list[str]) -> list[str]:
    """The heavy packages that this imports."""
    from mnist_idx.tools.cli import main as run_command

    assert run_command(["example"]) == 0
    for name in names:
        assert run_command(["example", name]) == 0
    packages = {name.partition(".")[0] for name in sys.modules}
    return sorted(packages & HEAVY)
