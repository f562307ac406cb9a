"""A program whose workers are spawned. `mnist-idx run` runs it."""

from datasets import load_dataset
from torch.utils.data import DataLoader

if __name__ == "__main__":
    stream = load_dataset(
        "mnist_idx", "tiny", split="test", streaming=True, num_shards=2, as_array=True
    )
    loader = DataLoader(
        stream.with_format("torch"),
        batch_size=50,
        num_workers=2,
        multiprocessing_context="spawn",
    )
    print(sorted(int(label) for batch in loader for label in batch["label"]))
