"""Load the train split as arrays: `python load_ours.py ARCHIVE`."""

import sys

import mnist_idx

(archive,) = sys.argv[1:]
images, labels = mnist_idx.load_arrays("mnist_idx", split="train", data_dir=archive)
assert images.shape == (60000, 28, 28) and labels.shape == (60000,)
