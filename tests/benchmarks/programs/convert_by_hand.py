"""Write Parquet files as IDX files, as people do by hand: `python convert_by_hand.py FILE`."""

import gzip
import sys

import datasets
import idx2numpy
import numpy as np

(file,) = sys.argv[1:]
data = datasets.load_dataset("parquet", data_files=file, split="train")
images = np.stack([np.array(row["image"]) for row in data])
labels = np.array(data["label"], np.uint8)
for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
    with gzip.open(f"{name}.gz", "wb") as target:
        target.write(idx2numpy.convert_to_string(array))
