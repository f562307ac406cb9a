"""The first batch of arrays, shuffled: `python first_batch_arrays.py FOLDER`."""

import sys

import numpy as np

import mnist_idx

(folder,) = sys.argv[1:]
images, labels = mnist_idx.load_arrays("idxfolder", split="train", data_dir=folder)
first = np.random.default_rng(0).permutation(len(images))[:256]
assert len(images[first]) == len(labels[first]) == 256
