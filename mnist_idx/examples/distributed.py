"""Train on several processes or machines, from a streamed dataset.

    torchrun --nproc-per-node 2 -m mnist_idx.examples.distributed

Each process streams its own shards, and each worker of its `DataLoader` a part of them. Together
they see each record once. `num_shards` should be a multiple of processes times workers: otherwise
each process reads everything, and skips what is not its own. It needs PyTorch.

For records of your own, write `load_dataset("idxfolder", data_dir=…)`, or the name of a dataset
that `mnist-idx push` has published.
"""

import argparse

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
    parser.add_argument("--split", default="train")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()

    dist.init_process_group("gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    stream = load_dataset(
        "mnist_idx", split=options.split, streaming=True, as_array=True, num_shards=NUM_SHARDS
    )
    stream = stream.shuffle(seed=0, buffer_size=1000)
    stream = split_dataset_by_node(stream, rank=rank, world_size=world_size).with_format("torch")
    model = DistributedDataParallel(nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(options.epochs):
        stream.set_epoch(epoch)  # reorders the shards
        count, correct = torch.tensor(0), torch.tensor(0)
        with model.join():  # the processes may have different numbers of batches
            for batch in DataLoader(stream, batch_size=128, num_workers=NUM_WORKERS):
                output = model(batch["image"] / 255)
                optimizer.zero_grad()
                nn.functional.cross_entropy(output, batch["label"]).backward()
                optimizer.step()
                count += len(output)
                correct += (output.argmax(1) == batch["label"]).sum()
        dist.all_reduce(count)
        dist.all_reduce(correct)
        if rank == 0:
            print(f"epoch {epoch}: {count} records, {correct / count:.1%} right", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
