"""Programs to copy and change: `python -m mnist_idx.examples.NAME`."""
