"""The first batch of LitData, shuffled: `python first_batch_litdata.py FOLDER`."""

import sys

import litdata

(folder,) = sys.argv[1:]
data = litdata.StreamingDataset(folder, shuffle=True)
batch = next(iter(litdata.StreamingDataLoader(data, batch_size=256)))
assert len(batch["image"]) == len(batch["label"]) == 256
