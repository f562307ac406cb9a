"""Train on pictures that are turned at random, anew in each epoch.

    pip install torch
    python augment.py

That is this file, wherever it is saved; `python -m mnist_idx.examples.augment` runs the installed
one. An epoch takes half a minute on two cores.

`with_transform` calls `turn` for each batch that is asked for: any function of PIL pictures fits in
there, also the transforms of torchvision. The workers of the `DataLoader` do it while the model
learns. Without such transforms, `train.py` is several times as fast. `--config tiny` needs no
network.
"""

import argparse
import random
import time
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from mnist_idx import load_dataset

BATCH_SIZE, NUM_WORKERS = 128, 2
MAX_ANGLE = 15  # degrees

Columns = dict[str, list[Any]]


def to_tensor(picture: Image.Image) -> torch.Tensor:
    """A picture as a tensor, (1, 28, 28) from 0 to 1."""
    return torch.tensor(np.asarray(picture))[None] / 255


def turn(batch: Columns) -> Columns:
    """Turn each picture by an angle of its own."""
    pictures = [
        picture.rotate(random.uniform(-MAX_ANGLE, MAX_ANGLE), Image.Resampling.BILINEAR)
        for picture in batch["image"]
    ]
    return {**batch, "image": [to_tensor(picture) for picture in pictures]}


def leave_as_it_is(batch: Columns) -> Columns:
    return {**batch, "image": [to_tensor(picture) for picture in batch["image"]]}


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 10),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small CNN on turned pictures.")
    parser.add_argument("--config", default="mnist", help="mnist, fashion_mnist, kmnist or tiny")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()

    print(f"Loading {options.config}. The first time, it is downloaded.", flush=True)
    ds = load_dataset("mnist_idx", options.config)
    test_split = ds["test"].with_transform(leave_as_it_is)
    test_loader = DataLoader(test_split, batch_size=1000)
    torch.manual_seed(0)
    loader = DataLoader(
        ds["train"].with_transform(turn),
        batch_size=BATCH_SIZE,
        shuffle=True,
        num_workers=NUM_WORKERS,
        persistent_workers=True,
    )
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, options.epochs + 1):
        start = time.perf_counter()
        for batch in loader:
            loss = nn.functional.cross_entropy(model(batch["image"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        num_right = 0
        with torch.no_grad():
            for batch in test_loader:
                num_right += int((model(batch["image"]).argmax(1) == batch["label"]).sum())
        seconds = time.perf_counter() - start
        accuracy = num_right / len(test_split)
        print(f"epoch {epoch}: {accuracy:.2%} of the test split right, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
