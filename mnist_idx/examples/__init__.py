"""Programs to copy and change: `mnist-idx example` lists them.

Each is a file of its own, which runs wherever it is copied to. Here it runs by
`python -m mnist_idx.examples.NAME`.
"""
