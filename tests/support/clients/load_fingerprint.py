"""Load MNIST."""

from typing import Any

import datasets
from clients import fingerprint

import mnist_idx


def main(streaming: bool = False) -> dict[str, Any]:
    """The fingerprint of what is prepared."""
    return fingerprint(datasets.load_dataset("mnist_idx", streaming=streaming))
