"""Load a published dataset from sources none of which answers, with options for storage."""

from typing import Any

import datasets

import mnist_idx


def main(config: str, storage_options: list[dict[str, Any]]) -> list[str]:
    """The messages of the errors."""
    messages = []
    for options in storage_options:
        for streaming in (True, False):
            try:
                data = datasets.load_dataset(
                    "mnist_idx", config, streaming=streaming, storage_options=options
                )
                next(iter(data["train"]))
            except mnist_idx.IdxError as error:
                messages.append(str(error))
    return messages
