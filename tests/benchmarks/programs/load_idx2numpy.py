"""Load the train split as arrays: `python load_idx2numpy.py FOLDER`."""

import gzip
import sys

import idx2numpy

(folder,) = sys.argv[1:]
images = idx2numpy.convert_from_file(gzip.open(f"{folder}/train-images-idx3-ubyte.gz"))
labels = idx2numpy.convert_from_file(gzip.open(f"{folder}/train-labels-idx1-ubyte.gz"))
assert images.shape == (60000, 28, 28) and labels.shape == (60000,)
