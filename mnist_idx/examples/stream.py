"""Train from a stream with two workers, without a copy on disk.

    pip install torch "datasets>=5"
    python stream.py

That is this file, wherever it is saved; `python -m mnist_idx.examples.stream` runs the installed
one. An epoch takes half a minute on two cores. It fetches the records anew, about 10 MB for each
worker: the worker decompresses the file up to its own records.

`num_shards` parts are shared out among the workers, and each part is read once. Workers are new
processes (on macOS and Windows they import this file), so what they call is defined at the top,
and what starts them stands below `if __name__ == "__main__"`. `--config tiny` needs no network.
"""

import argparse
import time

import pyarrow as pa
import torch
from torch import nn
from torch.utils.data import DataLoader

from mnist_idx import load_arrays, load_dataset

BATCH_SIZE, NUM_SHARDS, NUM_WORKERS = 128, 64, 2


def to_tensors(batch: pa.Table) -> tuple[torch.Tensor, torch.Tensor]:
    """The images of a batch, (N, 1, 28, 28) from 0 to 1, and their labels."""
    images = batch["image"].combine_chunks().values.to_numpy()
    labels = batch["label"].combine_chunks().values.to_numpy()
    return torch.tensor(images)[:, None] / 255, torch.tensor(labels)


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
    parser = argparse.ArgumentParser(description="Train a small CNN on streamed records.")
    parser.add_argument("--config", default="mnist", help="mnist, fashion_mnist, kmnist or tiny")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()

    print(f"Streaming {options.config}.", flush=True)
    stream = load_dataset(
        "mnist_idx",
        options.config,
        split="train",
        streaming=True,
        as_array=True,
        num_shards=NUM_SHARDS,
    )
    stream = stream.with_format("arrow").shuffle(seed=0, buffer_size=1000).batch(BATCH_SIZE)
    loader = DataLoader(
        stream,
        batch_size=None,  # The stream makes the batches.
        num_workers=NUM_WORKERS,
        collate_fn=to_tensors,
        persistent_workers=True,
    )
    arrays = load_arrays("mnist_idx", options.config, split="test", streaming=True)
    test_images = torch.tensor(arrays[0])[:, None] / 255
    test_labels = torch.tensor(arrays[1])

    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, options.epochs + 1):
        start = time.perf_counter()
        num_records = 0
        stream.set_epoch(epoch)  # another order in each epoch
        for images, labels in loader:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            num_records += len(labels)
        with torch.no_grad():
            is_right = model(test_images).argmax(1) == test_labels
        seconds = time.perf_counter() - start
        accuracy = is_right.float().mean()
        print(f"epoch {epoch}: {num_records:,} records,", end=" ")
        print(f"{accuracy:.2%} of the test split right, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
