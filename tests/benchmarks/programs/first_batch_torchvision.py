"""The first batch of torchvision, shuffled: `python first_batch_torchvision.py ROOT`."""

import sys

from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

(root,) = sys.argv[1:]
data = MNIST(root, train=True, transform=ToTensor())
images, labels = next(iter(DataLoader(data, batch_size=256, shuffle=True)))
assert len(images) == len(labels) == 256
