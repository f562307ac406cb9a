"""Train from a streamed dataset, and go on where the program was killed.

    pip install torch torchdata
    python resumable.py

That is this file, wherever it is saved; `python -m mnist_idx.examples.resumable` runs the installed
one. An epoch takes half a minute on two cores.

Every hundred batches, the model and the place in the stream go into a checkpoint. Started again,
the program goes on from there, and sees each of the other records of the epoch once.

Records are shuffled by `seed=`: what `stream.shuffle()` holds in its buffer is lost where a stream
is resumed. To find its place, each worker reads at most one of `num_shards` parts of the split
again. `--config tiny` needs no network; for records of your own, write
`load_dataset("idxfolder", data_dir="my_idx")`.
"""

import argparse
import os
from typing import Any

import torch
from torch import nn
from torchdata.stateful_dataloader import StatefulDataLoader

from mnist_idx import load_dataset

NUM_SHARDS, NUM_WORKERS = 64, 2
SAVE_EVERY = 100  # batches
START = {"epoch": 0, "batches": 0, "records": 0, "right": 0, "loader": None}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a linear model on streamed records.")
    parser.add_argument("--config", default="mnist", help="mnist, fashion_mnist, kmnist or tiny")
    parser.add_argument("--split", default="train")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--checkpoint", default="checkpoint.pt", help="a file")
    options = parser.parse_args()

    torch.manual_seed(0)
    model = nn.Linear(28 * 28, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    at: dict[str, Any] = dict(START)
    if os.path.exists(options.checkpoint):
        saved = torch.load(options.checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        at = saved["at"]
        print(f"going on behind {at['records']} records of epoch {at['epoch']}", flush=True)
    while at["epoch"] < options.epochs:
        loader = make_loader(options.config, options.split, at["epoch"])
        if at["loader"] is not None:
            loader.load_state_dict(at["loader"])
        for images, labels in loader:
            output = model(images / 255)
            optimizer.zero_grad()
            nn.functional.cross_entropy(output, labels).backward()
            optimizer.step()
            at["batches"] += 1
            at["records"] += len(labels)
            at["right"] += int((output.argmax(1) == labels).sum())
            if at["batches"] % SAVE_EVERY == 0:
                at["loader"] = loader.state_dict()
                save(options.checkpoint, model, optimizer, at)
        right = at["right"] / at["records"]
        print(f"epoch {at['epoch']}: {at['records']} records, {right:.1%} right", flush=True)
        at = {**START, "epoch": at["epoch"] + 1}
        save(options.checkpoint, model, optimizer, at)


def make_loader(config: str, split: str, epoch: int) -> StatefulDataLoader:
    """Batches of a stream, which has another order in each epoch."""
    stream = load_dataset(
        "mnist_idx",
        config,
        split=split,
        streaming=True,
        as_array=True,
        num_shards=NUM_SHARDS,
        seed=epoch,
    )
    return StatefulDataLoader(
        stream.with_format("arrow").batch(128),
        batch_size=None,
        num_workers=NUM_WORKERS,
        collate_fn=to_tensors,
        snapshot_every_n_steps=SAVE_EVERY,
    )


def to_tensors(table: Any) -> list[torch.Tensor]:
    """The images and the labels of a batch."""
    columns = [table[name].combine_chunks() for name in ("image", "label")]
    images, labels = [torch.tensor(column.values.to_numpy()) for column in columns]
    return [images.reshape(len(labels), -1), labels]


def save(path: str, model: nn.Module, optimizer: torch.optim.Optimizer, at: dict[str, Any]) -> None:
    """Write a checkpoint. It replaces the last one when it is complete."""
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "at": at}
    torch.save(states, f"{path}.new")
    os.replace(f"{path}.new", path)


if __name__ == "__main__":
    main()
