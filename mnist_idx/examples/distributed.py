"""Train on several processes or machines, from a stream.

    pip install torch
    torchrun --nproc-per-node 2 distributed.py

That is this file, wherever it is saved; `torchrun --nproc-per-node 2 -m
mnist_idx.examples.distributed` runs the installed one. An epoch of two processes takes half a
minute on two cores. It needs no copy of the data on disk.

Each process streams its own shards, and each worker of its `DataLoader` a part of them. Together
they see each record once. `num_shards` should be a multiple of processes times workers: otherwise
each process reads everything, and skips what is not its own.

For records of your own, write `load_dataset("idxfolder", data_dir=FOLDER_OR_URL)`, or the name of a
dataset that `mnist-idx push` has published.
"""

import argparse
import time

import torch
import torch.distributed as dist
from datasets.distributed import split_dataset_by_node
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from mnist_idx import load_dataset

NUM_SHARDS, NUM_WORKERS = 64, 2


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a linear model on streamed records.")
    parser.add_argument("--config", default="mnist", help="mnist, fashion_mnist, kmnist or tiny")
    parser.add_argument("--split", default="train")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()

    dist.init_process_group("gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    stream = load_dataset(
        "mnist_idx",
        options.config,
        split=options.split,
        streaming=True,
        as_array=True,
        num_shards=NUM_SHARDS,
    )
    stream = stream.shuffle(seed=0, buffer_size=1000)
    stream = split_dataset_by_node(stream, rank=rank, world_size=world_size).with_format("torch")
    loader = DataLoader(stream, batch_size=128, num_workers=NUM_WORKERS, persistent_workers=True)
    model = DistributedDataParallel(nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(options.epochs):
        start = time.perf_counter()
        stream.set_epoch(epoch)  # reorders the shards
        count, correct = torch.tensor(0), torch.tensor(0)
        with model.join():  # The processes may have different numbers of batches.
            for batch in loader:
                output = model(batch["image"] / 255)
                optimizer.zero_grad()
                nn.functional.cross_entropy(output, batch["label"]).backward()
                optimizer.step()
                count += len(output)
                correct += (output.argmax(1) == batch["label"]).sum()
        dist.all_reduce(count)
        dist.all_reduce(correct)
        seconds = time.perf_counter() - start
        if rank == 0:
            print(f"epoch {epoch}: {count} records, {correct / count:.1%} right", end=", ")
            print(f"{seconds:.1f} s", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
