"""A program that never imports the package. `mnist-idx run` runs it."""

import sys

from datasets import load_dataset

if __name__ == "__main__":
    train = load_dataset("mnist_idx", "tiny", num_proc=2)["train"]
    print(train.num_rows, sys.argv[1:])
    sys.exit(3)
