"""Train on several processes or machines, from a streamed dataset: `torchrun --nproc-per-node 2
distributed.py`.

Each process streams its own shards, and each worker of its `DataLoader` a part of them. Together
they see each record once.
"""

import argparse

import torch
import torch.distributed as dist
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

import mnist_idx  # registers the name

parser = argparse.ArgumentParser()
parser.add_argument("--split", default="train")
parser.add_argument("--epochs", type=int, default=1)
options = parser.parse_args()

dist.init_process_group("gloo")
torch.manual_seed(0)
data = load_dataset("mnist_idx", split=options.split, streaming=True, as_array=True, num_shards=64)
data = data.shuffle(seed=0, buffer_size=1000)
data = split_dataset_by_node(
    data, rank=dist.get_rank(), world_size=dist.get_world_size()
).with_format("torch")

model = DistributedDataParallel(
    torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28 * 28, 10))
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for epoch in range(options.epochs):
    data.set_epoch(epoch)  # reorders the shards
    count, correct = torch.tensor(0), torch.tensor(0)
    with model.join():  # the processes may have different numbers of batches
        for batch in DataLoader(data, batch_size=128, num_workers=2):
            output = model(batch["image"] / 255)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(output, batch["label"]).backward()
            optimizer.step()
            count += len(output)
            correct += (output.argmax(1) == batch["label"]).sum()
    dist.all_reduce(count)
    dist.all_reduce(correct)
    if dist.get_rank() == 0:
        accuracy = correct / count
        found = f"epoch {epoch}: {count} records, {accuracy:.1%} right"
        print(f"mnist_idx {mnist_idx.__version__}, {found}", flush=True)
dist.destroy_process_group()
