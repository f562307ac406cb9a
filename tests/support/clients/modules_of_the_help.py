"""Make the help of the command line."""

import sys

HEAVY = {"datasets", "numpy", "pyarrow", "huggingface_hub"}


def main() -> list[str]:
    """The heavy packages that this imports."""
    sys.argv[0] = "/usr/bin/mnist-idx"
    from mnist_idx.tools.cli import build_parser

    build_parser().format_help()
    packages = {name.partition(".")[0] for name in sys.modules}
    return sorted(packages & HEAVY)
