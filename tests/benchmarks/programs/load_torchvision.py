"""Load the train split as tensors: `python load_torchvision.py ROOT`."""

import sys

from torchvision.datasets import MNIST

(root,) = sys.argv[1:]
data = MNIST(root, train=True)
assert data.data.shape == (60000, 28, 28) and data.targets.shape == (60000,)
