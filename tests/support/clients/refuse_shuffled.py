"""Read in an order of its own what cannot be read."""

from loading import refusal


def main(path: str, modes: list[str]) -> list[str]:
    """The error message in each mode."""
    messages = []
    for mode in modes:
        messages.append(refusal(mode, "idxfolder", splits=["train"], data_dir=path, seed=1))
    return messages
