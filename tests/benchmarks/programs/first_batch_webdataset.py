"""The first batch of WebDataset, shuffled: `python first_batch_webdataset.py FOLDER`."""

import sys
from pathlib import Path

import webdataset

(folder,) = sys.argv[1:]
shards = sorted(map(str, Path(folder).glob("*.tar")))
data = webdataset.WebDataset(shards, shardshuffle=len(shards)).shuffle(1000).decode("l8")
images, labels = next(iter(data.to_tuple("png", "cls").batched(256)))
assert len(images) == len(labels) == 256
