"""Datasets of pictures, as `datasets` makes them."""

from typing import Any

from datasets import ClassLabel, Dataset, Features, Image


def pictures(
    images: Any, labels: Any = None, names: list[str] | None = None, split: Any = None
) -> Dataset:
    """A dataset of images, which are given as arrays or Pillow images."""
    content = {"image": list(images)}
    features: dict[str, Any] = {"image": Image()}
    if labels is not None:
        content["label"] = labels
        features["label"] = ClassLabel(names=names or list("0123456789"))
    return Dataset.from_dict(content, features=Features(features), split=split)
