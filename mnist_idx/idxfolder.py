"""`IdxFolder`: anyone's IDX files, as `imagefolder` is for pictures."""

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np

from .archive import list_archive, list_folder
from .arrow import make_features
from .builder import IdxBuilder, IdxConfig
from .filenames import SPLITS, base_name, find_splits, parse_filename, split_files
from .idx import Header, IdxError, IdxFile
from .records import SplitReader
from .remote import download, evict, is_remote
from .storage import Member, SplitFiles, verify_member

_patched_for_streaming = True  # as in `builder`
MAX_CLASSES = 100_000  # each gets a name
# By split: the header of its images, the numbers per label (0: no labels), the largest class (-1: not needed).
Metadata = dict[str, tuple[Header, int, int]]
ONE_BY_ONE = 'Load the splits one by one: data_files={"train": …}.'


@dataclass
class IdxFolderConfig(IdxConfig):
    """What to load.

    Attributes:
        label_names: names of the classes; by default "0", "1", … up to the largest label.
        prefix: which of several datasets in one place, by the start of their file names.
    """

    label_names: Sequence[str] | None = None
    prefix: str | None = None

    def validate(self) -> None:
        super().validate()
        names = self.label_names
        is_list = isinstance(names, list | tuple | np.ndarray) and len(names) > 0
        if names is not None and not (is_list and all(isinstance(name, str) for name in names)):
            raise IdxError(f'label_names={names!r}: expected a list of strings, for example ["cat", "dog"].')
        if self.prefix is not None and not isinstance(self.prefix, str):
            raise IdxError(f"prefix={self.prefix!r}: expected a string.")
        if not self.data_dir and self.data_files is None:
            raise IdxError('Expected the IDX files to load: load_dataset("idxfolder", data_dir=…) or data_files=….')


class IdxFolder(IdxBuilder):
    """IDX files in a folder, a tar or a zip, or single ones; local or remote."""

    BUILDER_CONFIG_CLASS = IdxFolderConfig

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description="A dataset of IDX files.")

    def locate_splits(self, dl_manager: Any) -> dict[str, SplitFiles]:
        """Find the files of each split by their names. Their headers and labels tell the features."""
        has_classes = self.config.label_names is not None or self.info.features is not None
        matched = self._match_files(dl_manager)
        try:
            splits = {name: self._download(dl_manager, files) for name, files in matched.items()}
            metadata = read_metadata(splits, self.download_config, has_classes)
        except IdxError as error:
            evict(self._downloads, error)
            raise
        features = self._infer_features(splits, metadata)
        self.info.features = self.info.features or features
        return {name: files._replace(num_records=metadata[name][0].num_records) for name, files in splits.items()}

    def _match_files(self, dl_manager: Any) -> dict[str, SplitFiles]:
        config = self.config
        data_files = config.data_files or {None: [config.data_dir]}
        splits: dict[str, SplitFiles] = {}
        for split, paths in data_files.items():
            if not paths:
                raise IdxError(f"data_files: found no file for the split {str(split)!r}. Correct the path or pattern.")
            listed = {str(path): self._list(dl_manager, str(path)) for path in paths}
            members = [member for found in listed.values() for member in found]
            if all(len(found) == 1 and found[0].name == path for path, found in listed.items()):
                parsed = parse_filename(base_name(members[0].name))
                splits[str(split or (parsed and parsed.split) or "train")] = split_files(members)
            elif split is None:
                splits = find_splits(members, config.prefix, root=config.data_dir)
            else:
                splits[str(split)] = _pick_split(find_splits(members, config.prefix), str(split), members)
        return splits

    def _list(self, dl_manager: Any, path: str) -> list[Member]:
        """The members of a folder or an archive. An archive is downloaded, unless streamed."""
        if (folder := list_folder(path, self.download_config)) is not None:
            return folder
        try:
            return list_archive(self._fetch(dl_manager, path), self.download_config, name=path)
        except IdxError as error:
            evict(self._downloads, error)
            raise

    def _download(self, dl_manager: Any, files: SplitFiles) -> SplitFiles:
        """The same files, with those of a remote folder downloaded, unless streamed."""
        images = files.images._replace(path=self._fetch(dl_manager, files.images.path))
        labels = files.labels and files.labels._replace(path=self._fetch(dl_manager, files.labels.path))
        for member in (images, labels):
            # With `num_proc`, no process reads a whole member, which checks the checksum of a zip.
            if member is not None and member.crc32 is not None and not dl_manager.is_streaming:
                verify_member(member)
        return files._replace(images=images, labels=labels)

    def _fetch(self, dl_manager: Any, path: str) -> str:
        if dl_manager.is_streaming or not is_remote(path):
            return path
        copy = download(dl_manager, {path: path}, path)[path]
        self._downloads[copy] = path
        return copy

    def _infer_features(self, splits: Mapping[str, SplitFiles], metadata: Metadata) -> datasets.Features:
        config, names = self.config, self.config.label_names
        if names is None:
            names = [str(number) for number in range(1 + max(largest for _, _, largest in metadata.values()))]
        features: dict[str, datasets.Features] = {}
        for name, (header, parts, _) in metadata.items():
            shape, title = header.record_shape, splits[name].images.title
            if config.transpose:
                shape = (*shape[1::-1], *shape[2:])
            class_names = names if parts else None
            features[title] = make_features(title, shape, str(header.dtype), class_names, parts, config.as_array)
            first = next(iter(features))
            if features[title] != features[first]:
                found, expected = features[title]["image"], features[first]["image"]
                raise IdxError(f"{title}: found {found}, expected {expected} as in {first}. {ONE_BY_ONE}")
        return features[first]


def _pick_split(splits: dict[str, SplitFiles], split: str, members: list[Member]) -> SplitFiles:
    # Accept a lone pair whose names give no split.
    parsed = [parse_filename(member.name) for member in members]
    if len(splits) == 1 and not any(found.split for found in parsed if found):
        return next(iter(splits.values()))
    name = SPLITS.get(split.lower(), split)
    if name not in splits:
        raise IdxError(f"{members[0].path}: found the splits {', '.join(splits)}, expected {split!r}. Ask for another.")
    return splits[name]


def read_metadata(splits: Mapping[str, SplitFiles], config: Any = None, has_classes: bool = False) -> Metadata:
    """Read the headers of each split, and all labels unless the classes are known. Refuse what cannot be loaded."""
    metadata = {}
    for name, files in splits.items():
        with closing(SplitReader(files, config)) as reader:
            labels = reader.labels
            parts = math.prod(labels.header.record_shape) if labels else 0
            metadata[name] = reader.images.header, parts, -1 if has_classes or not labels else _max_label(labels)
    if len({parts for _, parts, _ in metadata.values()}) > 1:
        found = ", ".join(f"{parts} in {name!r}" for name, (_, parts, _) in metadata.items())
        title = next(iter(splits.values())).images.title
        raise IdxError(f"{title}: found splits with different numbers per label: {found}. {ONE_BY_ONE}")
    return metadata


def _max_label(labels: IdxFile) -> int:
    smallest, largest = 0, -1
    for batch in labels.batches():
        classes = batch.reshape(len(batch), math.prod(batch.shape[1:]))[:, 0].astype(np.int64)
        smallest, largest = min(smallest, classes.min(initial=0)), max(largest, classes.max(initial=-1))
    if smallest < 0 or largest >= MAX_CLASSES:
        found = f"{labels.title}: found labels from {smallest:,} to {largest:,}, expected 0 to {MAX_CLASSES - 1:,}"
        raise IdxError(f'{found}. For labels that are no classes, pass features= with "label": Value("int64").')
    return int(largest)
