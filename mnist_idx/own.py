"""The user's own files: which of them is what, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import datasets

from .archive import list_folder, list_members
from .columns import features_of
from .idx import IdxError
from .names import Pair, pair_files, pair_members, read_split, split_name
from .records import SplitFiles, SplitReader
from .stream import Locator
from .transfer import download, is_remote

# Each class gets a name, unless the labels are no classes.
MAX_CLASSES = 100_000


class Contents(NamedTuple):
    """What the headers of a split, and its labels, say.

    Attributes:
        files: the members.
        record_shape: shape of an image as it is stored.
        dtype: element type of the images.
        label_parts: how many numbers a label is made of; 0 where there are no labels.
        largest_label: the largest class there is, -1 if there is none.
    """

    files: SplitFiles
    record_shape: tuple[int, ...]
    dtype: str
    label_parts: int
    largest_label: int


def examine(
    pairs: Mapping[str, Pair], download_config: datasets.DownloadConfig, classes_known: bool
) -> dict[str, Contents]:
    """Read the headers of the members of each split, and all labels unless it is known what classes there are.

    Raises:
        IdxError: they are not what they should be, or the splits do not go together.
    """
    contents = {}
    for name, (images, labels) in pairs.items():
        reader = SplitReader(SplitFiles(images, labels), download_config)
        header = reader.images_header
        files = SplitFiles(images, labels, reader.num_records)
        largest = -1 if labels is None or classes_known else reader.largest_label()
        contents[name] = Contents(files, header.record_shape, str(header.dtype), reader.label_parts, largest)
        reader.close()
    for name, found in contents.items():
        first = next(iter(contents))
        if found.label_parts != contents[first].label_parts:
            raise IdxError(
                f"The labels of the splits differ: {_labels(first, contents[first])}, {_labels(name, found)}. "
                f'Load them one by one: data_files={{"{name}": …}}.'
            )
    return contents


def own_features(
    contents: Mapping[str, Contents], label_names: Sequence[str] | None, as_array: bool, transpose: bool
) -> datasets.Features:
    """The features of splits that are loaded together.

    Raises:
        IdxError: their records cannot be had in that form.
    """
    largest = max(found.largest_label for found in contents.values())
    if not label_names and largest >= MAX_CLASSES:
        title = next(found.files.images.title for found in contents.values() if found.largest_label == largest)
        raise IdxError(
            f"{title}: the largest label is {largest:,}, expected fewer than {MAX_CLASSES:,} classes. If the labels "
            'are plain numbers, pass features=Features({"image": Image(), "label": Value("int64")}); if they are '
            "classes, pass label_names=."
        )
    found_features = []
    for found in contents.values():
        shape = turned(found.record_shape) if transpose else found.record_shape
        names = (label_names or [str(label) for label in range(largest + 1)]) if found.label_parts else None
        try:
            found_features.append(features_of(shape, found.dtype, names, found.label_parts, as_array))
        except IdxError as error:
            raise IdxError(f"{found.files.images.title}: {error}") from error
    if any(features != found_features[0] for features in found_features):
        shapes = ", ".join(f"{name!r} {found.dtype} {found.record_shape}" for name, found in contents.items())
        raise IdxError(f"Arrays of one column have one shape and type, found {shapes}. Load the splits one by one.")
    return found_features[0]


def turned(record_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with rows and columns exchanged."""
    return (*record_shape[1::-1], *record_shape[2:])


def _labels(name: str, found: Contents) -> str:
    return f"{name!r} has {'none' if not found.label_parts else 'labels'}" + (
        f" of {found.label_parts} parts" if found.label_parts > 1 else ""
    )


def locate_own(
    dl_manager: Any,
    data_dir: str | None,
    data_files: Mapping[str, Iterable[str]] | None,
    data_set: str | None,
    download_config: datasets.DownloadConfig,
) -> dict[str, Pair]:
    """Locate the splits of the user's own files, by their names.

    Args:
        dl_manager: downloads remote files unless it is a streaming one.
        data_dir: a folder or an archive, local or remote.
        data_files: in place of `data_dir`, by split the files, or archives from which the split is picked.
        data_set: which to take where there are several.
        download_config: token and storage options for remote files.

    Returns:
        By split the images, and the labels if there are any.

    Raises:
        IdxError: the names do not tell what is what.
    """
    if data_files is None:
        members = _fetch_members(dl_manager, str(data_dir), download_config)
        if not members:
            raise IdxError(f"{data_dir}: found nothing, expected IDX files of images and labels.")
        if _is_file_of_its_own(members, str(data_dir)):
            return {(read_split(members[0].name) or "train"): pair_files(members)}
        return pair_members(members, data_set, root=str(data_dir))
    pairs = {}
    for split, paths in data_files.items():
        fetched = [(str(path), _fetch_members(dl_manager, str(path), download_config)) for path in paths]
        members = [member for _, found in fetched for member in found]
        if all(_is_file_of_its_own(found, path) for path, found in fetched):
            pairs[str(split)] = pair_files(members)
        else:
            pairs[str(split)] = _pick_split(pair_members(members, data_set), str(split), members)
    return pairs


def _is_file_of_its_own(members: list[Locator], path: str) -> bool:
    return len(members) == 1 and members[0].name == path


def _pick_split(pairs: dict[str, Pair], split: str, members: list[Locator]) -> Pair:
    """The split of an archive that has been asked for."""
    if split_name(split) in pairs:
        return pairs[split_name(split)]
    # Names that say nothing of a split do not contradict.
    if len(pairs) == 1 and not any(read_split(member.name) for member in members):
        return next(iter(pairs.values()))
    raise IdxError(
        f"There is no split {split!r} in {members[0].path}, found {', '.join(map(repr, pairs))}. "
        f'Ask for one that is there: data_files={{"{next(iter(pairs))}": …}}.'
    )


def _fetch_members(dl_manager: Any, path: str, download_config: datasets.DownloadConfig) -> list[Locator]:
    if not is_remote(path) or dl_manager.is_streaming:
        return list_members(path, download_config)
    folder = list_folder(path, download_config)
    if folder is None:
        return list_members(download(dl_manager, path, path), download_config, name=path)
    copies = download(dl_manager, [member.path for member in folder], path)
    return [member._replace(path=copy) for member, copy in zip(folder, copies, strict=True)]
