"""Tells objects of `datasets` and of Pillow from others, without importing either.

Importing `datasets` takes more than a second. Who has one of its objects has imported it already.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import ClassLabel, Dataset, Image, IterableDataset
    from datasets.exceptions import DatasetsError
    from PIL.Image import Image as Picture
    from typing_extensions import TypeIs  # only for checkers of types


def is_dataset(value: object) -> "TypeIs[Dataset | IterableDataset]":
    return _is_instance(value, "datasets", "Dataset", "IterableDataset")


def is_stored(value: object) -> "TypeIs[Dataset]":
    """Whether a value is a dataset that is kept as a table, unlike a stream."""
    return _is_instance(value, "datasets", "Dataset")


def is_image(feature: object) -> "TypeIs[Image]":
    return _is_instance(feature, "datasets", "Image")


def is_picture(value: object) -> "TypeIs[Picture]":
    """Whether a value is an image of Pillow."""
    return _is_instance(value, "PIL.Image", "Image")


def is_class_label(feature: object) -> "TypeIs[ClassLabel]":
    return _is_instance(feature, "datasets", "ClassLabel")


def is_error_of_datasets(error: object) -> "TypeIs[DatasetsError]":
    return _is_instance(error, "datasets.exceptions", "DatasetsError")


def _is_instance(value: object, module_name: str, *class_names: str) -> bool:
    """Whether a value is an instance of one of the classes of a module, if that is imported."""
    module = sys.modules.get(module_name)
    if module is None:
        return False
    classes = tuple(getattr(module, name) for name in class_names)
    return isinstance(value, classes)
