"""A catalog that describes the stand-in for MNIST, in this process or in a client."""

import json
from pathlib import Path
from typing import Any

CATALOG_VARIABLE = "STAND_IN_CATALOG"  # the file of facts, for clients
CONFIGS = ("mnist", "subset")  # that are made of the files of MNIST


def described(facts: Path) -> dict[str, Any]:
    """The rows of the catalog that are changed, by name.

    Args:
        facts: JSON of split -> role -> columns of the file's row.
    """
    from mnist_idx.catalog import DATASETS  # which clients of other tests shall not import

    columns = json.loads(facts.read_text())
    changed = {}
    for name in CONFIGS:
        splits = {}
        for split, known in DATASETS[name].splits.items():
            images = known.images._replace(**columns[split]["images"])
            labels = known.labels._replace(**columns[split]["labels"])
            splits[split] = known._replace(images=images, labels=labels)
        changed[name] = DATASETS[name]._replace(splits=splits)
    return changed
