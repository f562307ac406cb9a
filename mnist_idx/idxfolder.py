"""`IdxFolder`: anyone's IDX files, as `imagefolder` is for pictures."""

import os
from dataclasses import dataclass

import datasets

from .builder import IdxBuilder, IdxConfig
from .catalog import DATASETS
from .errors import IdxError
from .failover import Locator
from .folder import DESCRIPTION, Folder
from .members import Access
from .options import IdxFolderOptions
from .paths import local_part, local_path, quoted
from .suggestions import did_you_mean

_patched_for_streaming = True  # as in `hf`


@dataclass
class IdxFolderConfig(IdxFolderOptions, IdxConfig):
    """Options of `idxfolder`, see `IdxFolderOptions`, in addition to those of `datasets`.

    `data_dir` is a folder, a tar or a zip, local or remote; `data_files` names single files, of
    each split or of one.

    >>> import numpy as np
    >>> from mnist_idx import load_dataset, write_idx
    >>> images, labels = np.zeros((4, 8, 8), np.uint8), [0, 1, 1, 0]
    >>> written = write_idx((images, labels), "cats_and_dogs")
    >>> ds = load_dataset("idxfolder", data_dir="cats_and_dogs", label_names=["cat", "dog"])
    >>> ds["train"].features["label"].names
    ['cat', 'dog']

    Raises:
        IdxError: an option has a value that it cannot have; when the builder is made.
    """

    def validate(self) -> None:
        super().validate()
        if not self.data_dir and not self.data_files:
            ways = 'load_dataset("idxfolder", data_dir=…) or data_files=…'
            question = ""
            if self.name in DATASETS:
                question = did_you_mean([f'load_dataset("mnist_idx", "{self.name}")'])
            elif os.path.exists(self.name):
                question = did_you_mean([f"data_dir={quoted(self.name)}"])
            raise IdxError(f"Expected the IDX files to load: {ways}.{question}")

    def files_in(self, data_dir: str) -> list[str]:
        """The local files that take part: others in the folder do not change the cache key."""
        if local_part(data_dir) != data_dir:
            return super().files_in(data_dir)
        return Folder(data_dir, None, Access(), prefix=self.prefix).local_files()


class IdxFolder(IdxBuilder):
    """The builder of "idxfolder": IDX files in a folder, a tar or a zip; local or remote.

    The files say what the records are. Images of bytes, (rows, cols) or (rows, cols, 3), become
    an `Image`, others an array; integer labels become a `ClassLabel`, labels of floats stay
    numbers. `load_dataset` makes the builder, and prepares the splits.

    >>> import numpy as np
    >>> from mnist_idx import IdxFolder, write_idx
    >>> written = write_idx((np.zeros((4, 8, 8), np.uint8), [0, 1, 1, 0]), "four_images")
    >>> builder = IdxFolder(data_dir="four_images")
    >>> builder.download_and_prepare()
    >>> builder.as_dataset(split="train")[0]["image"].size
    (8, 8)

    Raises:
        IdxError: there are no IDX files, they are damaged, or an option is wrong.
        TransferError: they cannot be reached.
    """

    BUILDER_CONFIG_CLASS = IdxFolderConfig
    config: IdxFolderConfig

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description=DESCRIPTION)

    def make_locator(self) -> Locator:
        data_files = {}
        for split, paths in (self.config.data_files or {}).items():
            data_files[str(split)] = [local_path(str(path)) for path in paths]
        return Folder(
            self.config.data_dir,
            data_files,
            self.access,
            prefix=self.config.prefix,
            label_names=self.config.label_names,
            reads_labels=self.info.features is None,
            are_splits_named=self.are_splits_named,
            keeps_parts="label_details" in (self.info.features or {}),
        )
