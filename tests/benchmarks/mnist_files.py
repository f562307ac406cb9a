"""The names of the files of MNIST."""

# In the archive: images and labels of each split.
MEMBERS = {
    "train": ("data/train-images-idx3-ubyte.gz", "data/train-labels-idx1-ubyte.gz"),
    "test": ("data/t10k-images-idx3-ubyte.gz", "data/t10k-labels-idx1-ubyte.gz"),
}
# Those of the train split, uncompressed.
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
