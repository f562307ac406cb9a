"""What every program that uses `datasets` takes."""

import datasets

assert callable(datasets.load_dataset)
