"""A large IDX file becomes Parquet on a Ray cluster: `python to_parquet.py IMAGES LABELS FOLDER
--tasks 64`.

The tasks share nothing but the URLs of the files: each reads its own range of records, a batch at a
time, and writes a file of its own. That takes uncompressed files: to read a range of a compressed
one, all that comes before it has to be decompressed. `load_dataset(FOLDER)` loads the result, with
its `Image` and `ClassLabel`.
"""

import argparse
from pathlib import Path

import ray
from datasets import load_dataset

from mnist_idx import __version__

parser = argparse.ArgumentParser()
parser.add_argument("images", help="path or URL of the IDX file of the images")
parser.add_argument("labels", help="path or URL of the IDX file of the labels")
parser.add_argument(
    "folder", type=Path, help="folder for the Parquet files, which all machines see"
)
parser.add_argument("--tasks", type=int, default=64)
parser.add_argument("--classes", type=int, default=10)
options = parser.parse_args()

stream = load_dataset(
    "idxfolder",
    data_files={"train": [options.images, options.labels]},
    label_names=[
        str(number) for number in range(options.classes)
    ],  # else all labels are read to count the classes
    split="train",
    streaming=True,
    num_shards=options.tasks,
)
count = stream.num_shards
folder = options.folder.absolute()
folder.mkdir(parents=True, exist_ok=True)


@ray.remote
def convert(index: int) -> None:
    target = folder / f"train-{index:05d}-of-{count:05d}.parquet"
    unfinished = target.with_suffix(".part")
    stream.shard(num_shards=count, index=index).to_parquet(unfinished)
    unfinished.replace(target)


ray.get([convert.remote(index) for index in range(count)])
print(f"mnist_idx {__version__}: {count} tasks are done")
