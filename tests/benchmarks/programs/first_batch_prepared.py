"""The first batch of MNIST, prepared by an earlier run: `python first_batch_prepared.py CACHE`."""

import sys

import datasets

import mnist_idx

(cache,) = sys.argv[1:]
assert mnist_idx.__version__
data = datasets.load_dataset("mnist_idx", split="train", cache_dir=cache)
assert len(next(data.iter(256))["label"]) == 256
