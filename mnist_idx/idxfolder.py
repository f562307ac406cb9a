"""`IdxFolder`: anyone's IDX files, as `imagefolder` is for pictures."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import datasets
import numpy as np

from .archive import Place, list_archive, list_folder
from .arrow import make_features
from .builder import IdxBuilder, IdxConfig
from .downloads import download_together
from .errors import DamagedError, IdxError
from .filenames import NAME_THEM_ALIKE, SPLITS, base_name, find_splits, parse_filename, split_files
from .idx import Header, IdxFile
from .places import is_remote, local_path
from .records import SplitReader, pin
from .storage import Access, Member, SplitFiles, verify_member

_patched_for_streaming = True  # as in `builder`
MAX_CLASSES = 100_000  # each gets a name
ONE_BY_ONE = 'Load the splits one by one: data_files={"train": …}.'


class Metadata(NamedTuple):
    """What the files of a split tell about its features."""

    images: Header
    identities: list[str]  # of the files that were opened
    record_bytes: int  # of an image and its label
    label_parts: int  # numbers per label; 0 without labels
    largest_label: int  # -1 if there are no labels, or their classes are given


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
            raise IdxError(
                f'label_names={names!r}: expected a list of strings, for example ["cat", "dog"].'
            )
        if names is not None and len(set(names)) < len(names):
            raise IdxError(f"label_names={list(names)}: expected a name of its own for each class.")
        if self.prefix is not None and not isinstance(self.prefix, str):
            raise IdxError(f"prefix={self.prefix!r}: expected a string.")
        if not self.data_dir and self.data_files is None:
            raise IdxError(
                'Expected the IDX files to load: load_dataset("idxfolder", data_dir=…) or data_files=….'
            )


class IdxFolder(IdxBuilder):
    """IDX files in a folder, a tar or a zip, or single ones; local or remote."""

    BUILDER_CONFIG_CLASS = IdxFolderConfig

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description="A dataset of IDX files.")

    def locate_splits(self, dl_manager: Any) -> dict[str, SplitFiles]:
        """Find the files of each split by their names.

        Their headers and labels tell the features.
        """
        try:
            return self._locate(dl_manager, force=False)
        except DamagedError:
            # `datasets` reuses what was downloaded earlier for ever, a wrong file, too.
            if dl_manager.is_streaming or not any(map(is_remote, self._places())):
                raise
        return self._locate(dl_manager, force=True)

    def next_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        if isinstance(error, DamagedError) and files.images.url:
            raise DamagedError(
                f'{error} For another download, pass download_mode="force_redownload".'
            ) from error
        raise error

    def _locate(self, dl_manager: Any, force: bool) -> dict[str, SplitFiles]:
        has_classes = self.config.label_names is not None or self.info.features is not None
        splits = self._localize(dl_manager, self._match_files(dl_manager, force), force)
        metadata = read_metadata(splits, self.access, has_classes)
        features = infer_features(splits, metadata, self.config)
        if self.info.features is None:
            self.info.features = features
        self.found_features = features
        return {name: _with_facts(files, metadata[name]) for name, files in splits.items()}

    def _data_files(self) -> dict[str | None, list[str]]:
        """The paths and URLs of each split; those of None hold all splits."""
        if not self.config.data_files:
            return {None: [self.config.data_dir]}
        given = self.config.data_files
        return {
            str(split): [local_path(str(path)) for path in paths] for split, paths in given.items()
        }

    def _places(self) -> list[str]:
        return [path for paths in self._data_files().values() for path in paths]

    def _match_files(self, dl_manager: Any, force: bool) -> dict[str, SplitFiles]:
        listed = self._list(dl_manager, force)
        splits: dict[str, SplitFiles] = {}
        for split, paths in self._data_files().items():
            if not paths:
                raise IdxError(
                    f"data_files: found no file for the split {split!r}. Correct the path or pattern."
                )
            members = [member for path in paths for member in listed[path]]
            if all(len(listed[path]) == 1 and listed[path][0].name == path for path in paths):
                parsed = parse_filename(base_name(members[0].name))
                splits[split or (parsed and parsed.split) or "train"] = split_files(members)
            elif split is None:
                splits = find_splits(members, self.config.prefix, root=self.config.data_dir)
            else:
                splits[split] = _pick_split(
                    find_splits(members, self.config.prefix), split, members
                )
        return splits

    def _list(self, dl_manager: Any, force: bool) -> dict[str, list[Member]]:
        """The members of each place. Archives and single files are downloaded, unless streamed."""
        folders = {path: list_folder(path, self.access) for path in self._places()}
        files = [path for path, members in folders.items() if members is None]
        copies = self._fetch(dl_manager, files, force)
        listed = {path: members for path, members in folders.items() if members is not None}
        for path in files:
            url = path if copies[path] != path else ""
            listed[path] = list_archive(Place(copies[path], url), self.access)
        return listed

    def _fetch(self, dl_manager: Any, paths: Iterable[str], force: bool) -> dict[str, str]:
        """Where the bytes of paths and URLs are: in downloads, unless streamed."""
        if dl_manager.is_streaming:
            return {path: path for path in paths}
        return download_together(
            dl_manager, {path: path for path in paths}, self.access.download_config, force
        )

    def _localize(
        self, dl_manager: Any, splits: Mapping[str, SplitFiles], force: bool
    ) -> dict[str, SplitFiles]:
        """The same files, with those of a remote folder downloaded, unless streamed."""
        if dl_manager.is_streaming:
            return dict(splits)
        copies = self._fetch(
            dl_manager,
            {member.path for files in splits.values() for member in files.members},
            force,
        )

        def localize(member: Member) -> Member:
            if copies[member.path] != member.path:
                member = member._replace(path=copies[member.path], url=member.path, version=None)
            # With `num_proc`, no process reads a whole member, which checks the checksum of a zip.
            if member.crc32 is not None:
                verify_member(member, self.access)
            return member

        return {
            name: files._replace(
                images=localize(files.images), labels=files.labels and localize(files.labels)
            )
            for name, files in splits.items()
        }


def _with_facts(files: SplitFiles, found: Metadata) -> SplitFiles:
    """The files with what their first reading has told."""
    pinned = pin(files, found.identities)
    return pinned._replace(num_records=found.images.num_records, record_bytes=found.record_bytes)


def _different_splits(found: str) -> IdxError:
    return IdxError(f"{found} {ONE_BY_ONE}", command_line=f"{found} {NAME_THEM_ALIKE}")


def infer_features(
    splits: Mapping[str, SplitFiles], metadata: Mapping[str, Metadata], config: IdxFolderConfig
) -> datasets.Features:
    """The features that all splits have. Refuse splits that differ."""
    names = config.label_names
    if names is None:
        largest = max(found.largest_label for found in metadata.values())
        names = [str(number) for number in range(largest + 1)]
    features: dict[str, datasets.Features] = {}
    for name, found in metadata.items():
        shape, title = found.images.record_shape, splits[name].images.title
        if config.transpose:
            shape = (*shape[1::-1], *shape[2:])
        class_names = names if found.label_parts else None
        dtype = str(found.images.dtype)
        features[title] = make_features(
            title, shape, dtype, class_names, found.label_parts, config.as_array
        )
        first = next(iter(features))
        if features[title] != features[first]:
            kind, expected = features[title]["image"], features[first]["image"]
            raise _different_splits(f"{title}: found {kind}, expected {expected} as in {first}.")
    return features[first]


def _pick_split(splits: dict[str, SplitFiles], split: str, members: list[Member]) -> SplitFiles:
    # Accept a lone pair whose names give no split.
    parsed = [parse_filename(member.name) for member in members]
    if len(splits) == 1 and not any(found.split for found in parsed if found):
        return next(iter(splits.values()))
    name = SPLITS.get(split.lower(), split)
    if name not in splits:
        place = members[0].url or members[0].path
        raise IdxError(
            f"{place}: found the splits {', '.join(splits)}, expected {split!r}. Ask for another."
        )
    return splits[name]


def read_metadata(
    splits: Mapping[str, SplitFiles], access: Access, has_classes: bool = False
) -> dict[str, Metadata]:
    """Read the headers of each split, and all labels unless the classes are known.

    Refuse what cannot be loaded.
    """
    metadata = {}
    for name, files in splits.items():
        with closing(SplitReader(files, access)) as reader:
            largest_label = -1
            if reader.labels is not None and not has_classes:
                largest_label = _largest_label(reader.labels)
            parts = math.prod(reader.labels.header.record_shape) if reader.labels else 0
            metadata[name] = Metadata(
                reader.images.header, reader.identities, reader.record_bytes, parts, largest_label
            )
    if len({found.label_parts for found in metadata.values()}) > 1:
        listed = ", ".join(f"{found.label_parts} in {name!r}" for name, found in metadata.items())
        title = next(iter(splits.values())).images.title
        raise _different_splits(
            f"{title}: found splits with different numbers per label: {listed}."
        )
    return metadata


def _largest_label(labels: IdxFile) -> int:
    """The largest class, -1 if there are no labels."""
    smallest, largest = 0, -1
    for batch in labels.batches():
        classes = batch.reshape(len(batch), math.prod(batch.shape[1:]))[:, 0].astype(np.int64)
        smallest = min(smallest, classes.min(initial=0))
        largest = max(largest, classes.max(initial=-1))
    if smallest < 0 or largest >= MAX_CLASSES:
        found = f"{labels.title}: found labels from {smallest:,} to {largest:,}, expected 0 to {MAX_CLASSES - 1:,}"
        way_out = 'For labels that are no classes, pass features= with "label": Value("int64").'
        raise IdxError(f"{found}. {way_out}", command_line=f"{found}.")
    return int(largest)
