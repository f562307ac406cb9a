"""The first batch of Parquet files: `python first_batch_parquet.py CACHE FILE`."""

import sys

import datasets

cache, file = sys.argv[1:]
data = datasets.load_dataset("parquet", data_files=file, split="train", cache_dir=cache)
assert len(next(data.iter(256))["label"]) == 256
