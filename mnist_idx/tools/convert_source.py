"""What `mnist-idx convert` is given, checked before anything is loaded or asked of the network.

`datasets` takes a path that it does not find for a name on the Hub, and its errors speak of neither
the path nor the options that were meant.
"""

import glob
import os
import shlex
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..compressions import strip_suffix
from ..errors import IdxError
from ..filenames import KNOWN_TYPES, is_hidden, is_of_another_kind
from ..paths import is_archive_name, is_remote
from ..suggestions import BUILDERS, alternatives, closest_names, did_you_mean, meant_datasets
from .columns import has_no_header, other_separator
from .pixel_table import command_of_header

PICTURES = "imagefolder"
# Builders of `datasets` that read local files.
FILE_BUILDERS = (PICTURES, "csv", "json", "parquet", "arrow", "text", "webdataset", "audiofolder")
BUILDER_OF_SUFFIX = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
OWN_KINDS = {PICTURES, *BUILDER_OF_SUFFIX.values()}  # whose files have names of their own
LONGEST_HEADER = 1 << 20  # letters of the first line of a table
PICTURE_PLACES = ("train/cat/1.jpg", "cat/1.jpg")  # in a folder of imagefolder


def check_convertible(
    source: str,
    target: str,
    data_dir: str | None,
    data_files: Sequence[str] | Mapping[str, Sequence[str]] | None,
) -> None:
    """Refuse a source, a folder or a file that is not there, or is of another kind than expected.

    What may be on the Hub, and what is behind a URL, is left to `datasets`. So is what only its
    content tells.

    Raises:
        IdxError: it is refused. The message has the command that works, if there is one.
    """
    if source in FILE_BUILDERS:
        if data_dir is not None and not is_remote(data_dir):
            _check_folder(source, target, data_dir)
        for path in _paths_of(data_files):
            _check_data_file(source, target, path, data_dir)
            if source == "csv":
                _check_table(os.path.join(data_dir or "", path))
    elif source in BUILDERS:
        return  # which says itself what it does not find
    elif os.path.isfile(source):
        raise _found_file(source, target)
    elif os.path.isdir(source) and next(_names_in(source), None) is None:
        raise IdxError(f"{source}: holds no files. Name a folder with pictures or IDX files.")
    elif _is_surely_path(source) and not os.path.exists(source):
        raise IdxError(f"{source}: no such file or folder{_resembling(source)}")


def what_to_convert(source: str, target: str) -> list[str]:
    """The commands that may have been meant by a source that `load_dataset` does not find.

    It is the path of a folder, or a mistyped name of a builder or of a config.
    """
    if source in FILE_BUILDERS:
        return []
    if os.path.isdir(source):
        return _commands_of_place(source, target)
    commands = []
    for builder in closest_names(source, FILE_BUILDERS):
        commands.append(f"{_command(builder, target)} --data-dir FOLDER")
    for path, *config in meant_datasets(source):
        options = [f"--name {name}" for name in config]
        if path == "idxfolder":
            options = ["--data-dir FOLDER"]
        commands.append(" ".join([_command(path, target), *options]))
    return commands


def commands_of_splits(
    source: str,
    target: str,
    options: Mapping[str, object],
    splits: Sequence[str],
    unlabeled: str,
) -> list[str]:
    """The commands that convert each split to a target of its own.

    Args:
        options: of the command, by their names; one that is None or False is not given.
        splits: all of them.
        unlabeled: the one that has no labels.
    """
    commands = []
    stem, ending = os.path.splitext(target)
    if ending.lower() != ".tar":
        stem, ending = target, ""
    for split in splits:
        own = {**options, "split": split}
        if split == unlabeled:
            own["label-column"] = ""
        words = [_command(source, f"{stem}-{split}{ending}"), *_typed(own)]
        commands.append(" ".join(words))
    return commands


def _typed(options: Mapping[str, object]) -> list[str]:
    """Options of a command as they are typed in a shell."""
    words: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        for item in value if isinstance(value, list) else [value]:
            words.append(f"--{name}")
            if item is not True:
                words.append(shlex.quote(str(item)))
    return words


# Sources


def _found_file(source: str, target: str) -> IdxError:
    """The error of a file in the place of a builder."""
    found = f"{source}: found a file, expected what load_dataset takes, such as csv or imagefolder"
    return IdxError(f"{found}.{did_you_mean(_commands_of_place(source, target))}")


def _commands_of_place(path: str, target: str) -> list[str]:
    """The command that converts a local file or folder, told by its name and by names in it.

    None if they are of other kinds than are converted.
    """
    place = shlex.quote(path)
    is_folder = os.path.isdir(path)
    builder = _builder_of_file(path)
    if builder is not None and not is_folder:
        return [f"{_command(builder, target)} --data-files {place}"]
    names = list(_names_in(path))
    if any(map(_is_picture_name, names)):
        option = "--data-dir" if is_folder else "--data-files"
        return [f"{_command(PICTURES, target)} {option} {place}"]
    may_be_idx = names or not is_folder
    if not may_be_idx or all(map(is_of_another_kind, names or [path])):
        return []
    return [f"{_command('idxfolder', target)} --data-dir {place}"]


def _command(builder: str, target: str) -> str:
    return f"mnist-idx convert {builder} {shlex.quote(target)}"


def _is_surely_path(source: str) -> bool:
    """Whether a source can be no name on the Hub, which is `name` or `user/name`."""
    if is_remote(source):
        return False
    is_of_several_folders = source.count("/") > 1 or os.sep + os.sep in source
    is_marked = source.startswith((".", "~")) or os.path.isabs(source) or source.endswith("/")
    is_file_name = _builder_of_file(source) is not None or is_archive_name(source)
    return is_marked or is_of_several_folders or is_file_name


# Options


def _check_folder(source: str, target: str, data_dir: str) -> None:
    """Refuse what is no folder with files of a builder."""
    if not os.path.lexists(data_dir):
        raise IdxError(f"{data_dir}: no such folder{_resembling(data_dir)}")
    if not os.path.isdir(data_dir):
        builder = _builder_of_file(data_dir) or source
        meant = f"{_command(builder, target)} --data-files {shlex.quote(data_dir)}"
        found = f"--data-dir {data_dir}: found a file, expected a folder"
        raise IdxError(f"{found}.{did_you_mean([meant])}")
    names = _names_in(data_dir)
    if source == PICTURES:
        names = filter(_may_hold_pictures, names)
    if next(names, None) is None:
        raise _no_data_found(source, data_dir)
    if source in OWN_KINDS - {PICTURES} and all(map(_is_picture_name, _names_in(data_dir))):
        meant = f"{_command(PICTURES, target)} --data-dir {shlex.quote(data_dir)}"
        raise IdxError(f"{data_dir}: holds only pictures.{did_you_mean([meant])}")


def _no_data_found(source: str, folder: str) -> IdxError:
    """The error of a folder without files that a builder reads."""
    if source == PICTURES:
        places = alternatives([os.path.join(folder, place) for place in PICTURE_PLACES])
        return IdxError(f"{folder}: holds no pictures, expected {places}.")
    return IdxError(f"{folder}: holds no files, expected files of {source}.")


def _check_data_file(source: str, target: str, path: str, data_dir: str | None) -> None:
    """Refuse the path or pattern of files that are not there."""
    if is_remote(path) or "::" in path or is_remote(data_dir or ""):
        return
    if not path:
        raise IdxError("--data-files: found an empty path, expected PATH or SPLIT=PATH.")
    place = os.path.join(data_dir or "", path)
    if os.path.isdir(place):
        meant = f"{_command(source, target)} --data-dir {shlex.quote(place)}"
        found = f"--data-files {path}: found a folder, expected a file"
        raise IdxError(f"{found}.{did_you_mean([meant])}")
    if os.path.lexists(place):
        builder = _builder_of_file(path)
        if source in OWN_KINDS and builder not in (None, source):
            meant = f"{_command(str(builder), target)} --data-files {shlex.quote(place)}"
            raise IdxError(f"{place}: is no file for {source}.{did_you_mean([meant])}")
        return
    if not glob.has_magic(place):
        raise IdxError(f"{place}: no such file{_resembling(place)}")
    if not any(True for _ in glob.iglob(place, recursive=True)):
        raise IdxError(f"{place}: no file has such a name{_resembling(place)}")


def _check_table(path: str) -> None:
    """Refuse a local table without commas, or without names of its columns in the first line.

    The message has the line of a shell that mends it. A compressed table is not looked into.
    """
    if strip_suffix(path) != path or not os.path.isfile(path):
        return
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        line = file.readline(LONGEST_HEADER).strip()
    mended = _beside(path)
    again = f"Mend it so, and name {mended} in its place"
    place = shlex.quote(path)
    separator = other_separator(line)
    if separator is not None:
        found = f"{path}: the file seems to be separated by {separator.plural}, not by commas"
        command = f"tr '{separator.typed}' ',' < {place} > {shlex.quote(mended)}"
        raise IdxError(f"{found}. {again}:", command)
    names = [name.strip(' "') for name in line.split(",")]
    if has_no_header(names):
        found = f"{path}: found columns whose names are numbers: the file has no line of names"
        command = command_of_header(len(names), place, shlex.quote(mended))
        raise IdxError(f"{found}. {again}:", command)


def _beside(path: str) -> str:
    """A name that is not taken yet, for a table that was mended."""
    stem, ending = os.path.splitext(path)
    number = 1
    while os.path.lexists(f"{stem}-{number}{ending}"):
        number += 1
    return f"{stem}-{number}{ending}"


def _resembling(path: str) -> str:
    """The end of a message about a path at which there is nothing: what it may mean instead."""
    folder, name = os.path.split(path.rstrip("/"))
    meant: list[str] = []
    if os.path.isdir(folder or "."):
        names = [other for other in os.listdir(folder or ".") if not is_hidden(other)]
        meant = [os.path.join(folder, other) for other in closest_names(name, names)]
    question = did_you_mean(meant)
    if os.path.isabs(path):
        return f".{question}"
    return f".{question} Relative paths start at the working folder, {os.getcwd()}."


def _paths_of(data_files: Sequence[str] | Mapping[str, Sequence[str]] | None) -> list[str]:
    if data_files is None:
        return []
    if not isinstance(data_files, Mapping):
        return list(data_files)
    return [path for paths in data_files.values() for path in paths]


# Names of files


def _builder_of_file(path: str) -> str | None:
    """The builder that reads a file, by the end of its name; None if that tells none."""
    suffix = os.path.splitext(strip_suffix(path))[1].lower()
    return BUILDER_OF_SUFFIX.get(suffix)


def _names_in(path: str) -> Iterator[str]:
    """The names of the files in a folder, or in a zip or tar. None of any other file."""
    if os.path.isdir(path):
        for _folder, _folders, files in os.walk(path):
            yield from (name for name in files if not is_hidden(name))
        return
    try:
        yield from _names_in_archive(path)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile):
        return


def _names_in_archive(path: str) -> Iterable[str]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    if not is_archive_name(path):
        return []
    with tarfile.open(path) as tar:
        return tar.getnames()


def _is_picture_name(name: str) -> bool:
    kind = KNOWN_TYPES.guess_type(name)[0]
    return kind is not None and kind.startswith("image/")


def _may_hold_pictures(name: str) -> bool:
    """Whether a file is a picture, or an archive that may hold some."""
    return _is_picture_name(name) or is_archive_name(name)
