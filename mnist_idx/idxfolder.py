"""`IdxFolder`: anyone's IDX files, as `imagefolder` is for pictures."""

from dataclasses import dataclass

import datasets

from .builder import IdxBuilder, IdxConfig
from .errors import IdxError
from .failover import Locator
from .folder import Folder
from .members import Access
from .options import IdxFolderOptions
from .paths import local_part, local_path

_patched_for_streaming = True  # as in `hf`


@dataclass
class IdxFolderConfig(IdxFolderOptions, IdxConfig):
    """Options of `idxfolder`, see `IdxFolderOptions`, in addition to those of `datasets`."""

    def validate(self) -> None:
        super().validate()
        if not self.data_dir and not self.data_files:
            ways = 'load_dataset("idxfolder", data_dir=…) or data_files=…'
            raise IdxError(f"Expected the IDX files to load: {ways}.")

    def files_in(self, data_dir: str) -> list[str]:
        """The local files that take part: others in the folder do not change the cache key."""
        if local_part(data_dir) != data_dir:
            return super().files_in(data_dir)
        return Folder(data_dir, None, Access(), prefix=self.prefix).local_files()


class IdxFolder(IdxBuilder):
    """IDX files in a folder, a tar or a zip, or single ones; local or remote."""

    BUILDER_CONFIG_CLASS = IdxFolderConfig
    config: IdxFolderConfig

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description="A dataset of IDX files.")

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
