"""A large IDX file becomes Parquet on a Ray cluster: `python to_parquet.py IMAGES LABELS FOLDER --tasks 64`.

The tasks share nothing but the URLs of the files: each reads its own range of records, a batch at a time. That takes
uncompressed files: to read a range of a compressed one, all that comes before it has to be decompressed.
"""

import argparse
from collections.abc import Iterator

import pyarrow as pa
import ray
from datasets import load_dataset

import mnist_idx  # registers the name "idxfolder"

parser = argparse.ArgumentParser()
parser.add_argument("images", help="path or URL of the IDX file of the images")
parser.add_argument("labels", help="path or URL of the IDX file of the labels")
parser.add_argument("folder", help="folder for the Parquet files")
parser.add_argument("--tasks", type=int, default=64)
parser.add_argument("--classes", type=int, default=10)
options = parser.parse_args()

stream = load_dataset(
    "idxfolder",
    data_files={"train": [options.images, options.labels]},
    label_names=[str(number) for number in range(options.classes)],  # else all labels are read to count the classes
    split="train",
    streaming=True,
    num_shards=options.tasks,
)


def read(batch: pa.Table) -> Iterator[pa.Table]:
    for index in batch["id"].to_pylist():
        part = stream.shard(num_shards=options.tasks, index=index)
        yield from part.with_format("arrow").iter(1000)


tasks = ray.data.range(stream.num_shards, override_num_blocks=stream.num_shards)
tasks.map_batches(read, batch_size=1, batch_format="pyarrow").write_parquet(options.folder)
print(f"mnist_idx {mnist_idx.__version__}: {stream.num_shards} tasks are done")
