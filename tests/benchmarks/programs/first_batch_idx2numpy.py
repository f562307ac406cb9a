"""The first batch of arrays, shuffled: `python first_batch_idx2numpy.py FOLDER`."""

import sys

import idx2numpy
import numpy as np

(folder,) = sys.argv[1:]
images = idx2numpy.convert_from_file(f"{folder}/train-images-idx3-ubyte")
labels = idx2numpy.convert_from_file(f"{folder}/train-labels-idx1-ubyte")
first = np.random.default_rng(0).permutation(len(images))[:256]
assert len(images[first]) == len(labels[first]) == 256
