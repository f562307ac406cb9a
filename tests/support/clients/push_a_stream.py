"""Push the stream of a split to a Hub."""

import datasets

import mnist_idx


def main() -> None:
    stream = datasets.load_dataset("mnist_idx", "tiny", split="train", streaming=True, num_shards=2)
    stream.push_to_hub("alice/digits", split="train")
