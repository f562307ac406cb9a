"""`IdxFolder`: anyone's IDX files, as `imagefolder` is for pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import datasets

from .archive import list_folder, list_members
from .arrow import make_features
from .builder import IdxBuilder, IdxConfig, transposed
from .filenames import SPLITS, base_name, find_splits, parse_filename, split_files
from .idx import IdxError
from .records import IdxFile, SplitReader
from .remote import download, evict, is_remote
from .storage import Member, SplitFiles, verify_member

# Each class gets a name.
MAX_CLASSES = 100_000
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
        if names is not None and (isinstance(names, str) or not all(isinstance(name, str) for name in names)):
            raise IdxError(f'label_names={names!r}: expected a list of strings, for example ["cat", "dog"].')
        if self.prefix is not None and not isinstance(self.prefix, str):
            raise IdxError(f"prefix={self.prefix!r}: expected a string.")
        if self.data_dir is None and self.data_files is None:
            raise IdxError('Expected the IDX files to load: load_dataset("idxfolder", data_dir=…) or data_files=….')


class IdxFolder(IdxBuilder):
    """IDX files in a folder, a tar or a zip, or single ones; local or remote."""

    BUILDER_CONFIG_CLASS = IdxFolderConfig

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description="A dataset of IDX files.")

    def locate_splits(self, dl_manager: Any) -> dict[str, SplitFiles]:
        """Find the files of each split by their names. Their headers and labels tell the features."""
        self._downloads: dict[str, str] = {}
        splits = {name: self._download(dl_manager, files) for name, files in self._match_files(dl_manager).items()}
        has_classes = self.config.label_names is not None or self.info.features is not None
        failure = None
        try:
            metadata = read_metadata(splits, self.download_config, has_classes)
        except IdxError as error:
            failure = error
        if failure is not None:
            raise self.give_up(failure)
        features = _infer_features(metadata, self.config)
        if self.info.features is None:
            self.info.features = features
        return {name: found.files for name, found in metadata.items()}

    def give_up(self, error: IdxError) -> IdxError:
        return evict(self._downloads, error)

    def _match_files(self, dl_manager: Any) -> dict[str, SplitFiles]:
        config = self.config
        if config.data_files is None:
            members = self._list(dl_manager, config.data_dir)
            if _is_single_file(members, config.data_dir):
                parsed = parse_filename(base_name(config.data_dir))
                return {(parsed.split if parsed and parsed.split else "train"): split_files(members)}
            return find_splits(members, config.prefix, root=config.data_dir)
        splits = {}
        for split, paths in config.data_files.items():
            listed = {str(path): self._list(dl_manager, str(path)) for path in paths}
            members = [member for found in listed.values() for member in found]
            if all(_is_single_file(found, path) for path, found in listed.items()):
                splits[str(split)] = split_files(members)
            else:
                splits[str(split)] = _pick_split(find_splits(members, config.prefix), str(split), members)
        return splits

    def _list(self, dl_manager: Any, path: str) -> list[Member]:
        """The members of a folder or an archive. An archive is downloaded, unless streamed."""
        folder = list_folder(path, self.download_config)
        if folder is not None:
            return folder
        failure = None
        try:
            return list_members(self._fetch(dl_manager, path), self.download_config, name=path)
        except IdxError as error:
            failure = error
        raise self.give_up(failure)

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


def _is_single_file(members: list[Member], path: str) -> bool:
    return len(members) == 1 and members[0].name == path


def _pick_split(splits: dict[str, SplitFiles], split: str, members: list[Member]) -> SplitFiles:
    """The requested split of an archive."""
    # Accept a lone pair whose names give no split.
    parsed = [parse_filename(member.name) for member in members]
    if len(splits) == 1 and not any(found.split for found in parsed if found):
        return next(iter(splits.values()))
    name = SPLITS.get(split.lower(), split)
    if name not in splits:
        raise IdxError(f"{members[0].path}: found the splits {', '.join(splits)}, expected {split!r}. Ask for another.")
    return splits[name]


class SplitMetadata(NamedTuple):
    """What the headers and labels of a split tell."""

    files: SplitFiles  # with their number of records
    record_shape: tuple[int, ...]  # of an image as it is stored
    dtype: str  # element type of the images
    label_parts: int  # numbers per label; 0 without labels
    max_label: int  # the largest class, -1 if it is not needed or there is none


def read_metadata(
    splits: Mapping[str, SplitFiles], config: datasets.DownloadConfig | None = None, has_classes: bool = False
) -> dict[str, SplitMetadata]:
    """Read the headers of each split, and all labels unless the classes are known. Refuse what cannot be loaded."""
    metadata = {}
    for name, files in splits.items():
        reader = SplitReader(files, config)
        try:
            max_label = -1 if has_classes or reader.labels is None else _max_label(reader.labels)
        finally:
            reader.close()
        header = reader.images.header
        files = files._replace(num_records=reader.num_records)
        metadata[name] = SplitMetadata(files, header.record_shape, str(header.dtype), reader.label_parts, max_label)
    if len({found.label_parts for found in metadata.values()}) > 1:
        parts = ", ".join(f"{found.label_parts} in {name!r}" for name, found in metadata.items())
        title = next(iter(metadata.values())).files.images.title
        raise IdxError(f"{title}: found splits with different numbers per label: {parts}. {ONE_BY_ONE}")
    return metadata


def _max_label(labels: IdxFile) -> int:
    smallest, largest = 0, -1
    for batch in labels.batches():
        classes = batch.reshape(len(batch), -1)[:, 0]
        smallest, largest = min(smallest, int(classes.min())), max(largest, int(classes.max()))
    if smallest < 0 or largest >= MAX_CLASSES:
        raise IdxError(
            f"{labels.title}: found labels from {smallest:,} to {largest:,}, expected 0 to {MAX_CLASSES - 1:,}. If "
            'they are no classes, pass features=Features({"image": Image(), "label": Value("int64")}).'
        )
    return largest


def _infer_features(metadata: Mapping[str, SplitMetadata], config: IdxFolderConfig) -> datasets.Features:
    largest = max(found.max_label for found in metadata.values())
    names = list(config.label_names) if config.label_names is not None else list(map(str, range(largest + 1)))
    features = []
    for found in metadata.values():
        shape = transposed(found.record_shape) if config.transpose else found.record_shape
        title, parts = found.files.images.title, found.label_parts
        features.append(make_features(title, shape, found.dtype, names if parts else None, parts, config.as_array))
        if features[-1] != features[0]:
            first = next(iter(metadata.values()))
            raise IdxError(
                f"{title}: found {found.dtype} {found.record_shape}, expected {first.dtype} {first.record_shape} as in "
                f"{first.files.images.title}: arrays of one column have one type and shape. {ONE_BY_ONE}"
            )
    return features[0]
