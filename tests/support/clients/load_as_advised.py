"""Import the package where `datasets` lacks a name that it needs, and do what its warning says."""

import warnings

import datasets


def main(missing: str) -> dict[str, int]:
    """The counts of the miniature, loaded by the code that the warning shows."""
    delattr(datasets.load, missing)  # as a future version may
    with warnings.catch_warnings(record=True) as caught:
        import mnist_idx
    shown = str(caught[0].message).split("`")[1]
    setup, _, expression = shown.replace("MnistIdx()", "MnistIdx(config_name='tiny')").rpartition(
        ";"
    )
    namespace = {"mnist_idx": mnist_idx}
    exec(setup, namespace)
    return eval(expression.strip(), namespace).num_rows
