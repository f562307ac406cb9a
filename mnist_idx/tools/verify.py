"""Check IDX files: whether they are complete, undamaged and can be loaded, and what they are."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..archive import Location, list_members
from ..catalog import DATASETS
from ..errors import IdxError, TransferError, printable
from ..failover import Located, read_with_failover
from ..fetching import InPlace, RemoteOptions
from ..folder import Folder, are_one_hot, find_layouts, read_facts
from ..idx import IdxFile
from ..matching import FoundFiles, name_relative
from ..members import Access, Member, SplitFiles, open_content, open_stored, read_to_end
from ..mirrors import Mirrors, published_mirrors
from ..paths import DataFiles, absolute_path, find_data_files, is_remote
from ..streams import HashedFile


class FileReport(NamedTuple):
    """What was found out about a file."""

    name: str  # in the archive, or its path
    split: str  # after the prefix, if there are several; "" if unknown
    role: str  # "images" or "labels"
    dtype: str = ""  # element type; "" if the header cannot be read
    shape: tuple[int, ...] = ()  # size of each dimension, the number of records first
    sha256: str = ""  # of the decompressed content; "" if it cannot be read to its end
    known: str = ""  # the published dataset that it belongs to; "" if none
    problem: str = ""  # why it cannot be loaded; "" if it can


def verify(
    source: str | None = None, prefix: str | None = None, data_files: object = None
) -> list[FileReport]:
    """Read every file of a source to its end, and check what loading checks.

    Nothing is written to disk.

    Args:
        source: name of a config, whose files must be the published ones, or path or URL of IDX
            files. The default is "mnist", unless there are `data_files`.
        prefix: which of several datasets in one place, by the start of their file names; by
            default all.
        data_files: instead of a source, paths and URLs as for `idxfolder`.

    Raises:
        IdxError: the source cannot be reached, or its file names are ambiguous.
    """
    if data_files is not None:
        if source is not None:
            raise IdxError(f"{source}: expected a source or data_files, found both.")
        return _verify_data_files(data_files, prefix)
    if source is None:
        source = "mnist"
    if source in DATASETS:
        check_no_prefix(source, prefix)
        return _verify_published(source)
    source = absolute_path(source)
    access = Access(_remote_options()) if is_remote(source) else Access()
    members = list_members(Location(source), access)
    is_single_file = len(members) == 1 and members[0].name == source
    if is_single_file:
        return [_verify_file(members[0], "", "images", access)]
    files = FoundFiles(name_relative(members, source), access, source)
    if prefix is not None or len(files.prefixes) < 2:
        return _verify_splits(files.splits(prefix), "", access)
    reports = []
    for name in files.prefixes:
        reports += _verify_splits(files.splits(name), f"{name} ", access)
    return reports


def check_no_prefix(config: str, prefix: str | None) -> None:
    """Refuse a prefix for a published dataset."""
    if prefix is not None:
        found = f"{config} is a single dataset. Leave out"
        raise IdxError(
            f"prefix={prefix!r}: {found} prefix=.",
            command_line=f"--prefix {prefix}: {found} --prefix.",
        )


def _verify_data_files(data_files: object, prefix: str | None) -> list[FileReport]:
    """Verify the files that the user names for each split."""
    found = find_data_files(data_files, os.getcwd())
    access = Access()
    if found is None:
        access = Access(_remote_options())
        found = _resolve(data_files, access.options)
    files = Folder(None, found, access, prefix=prefix)
    return _verify_splits(files.match(InPlace()), "", access)


def _resolve(data_files: object, options: RemoteOptions) -> DataFiles:
    """The files of each split as `datasets` finds them, which takes long to import."""
    from ..hf import resolve_data_files

    return resolve_data_files(data_files, os.getcwd(), options)


def _remote_options() -> RemoteOptions:
    """The options for a URL: `datasets` knows those of the Hub."""
    from ..hf import remote_options  # imports `datasets`, which takes long

    return remote_options(None, None)


def _verify_published(name: str) -> list[FileReport]:
    """Verify the files of a published dataset, from the first source that works."""
    access = Access()
    mirrors = published_mirrors(name, access)
    reports: list[FileReport] = []
    for split, files in mirrors.locate(InPlace()).splits.items():
        reports += _verify_published_split(mirrors, split, files, access)
    return reports


def _verify_published_split(
    mirrors: Mirrors, split: str, files: SplitFiles, access: Access
) -> Iterator[FileReport]:
    """Verify a split. Where a transfer fails, begin again with the next source."""

    def attempt(files: SplitFiles) -> Iterator[FileReport]:
        yield from _verify_splits({split: files}, "", access)

    def next_files(files: SplitFiles, error: IdxError) -> SplitFiles:
        if not isinstance(error, TransferError):
            raise error
        return mirrors.next_source(split, files, error)

    return read_with_failover(attempt, files, next_files)


def _verify_splits(
    splits: Mapping[str, SplitFiles], shown_prefix: str, access: Access
) -> list[FileReport]:
    """Verify the files of splits, and that all splits which can be loaded fit each other.

    Args:
        shown_prefix: what the reports put before the name of a split.
    """
    reports = []
    valid: dict[str, SplitFiles] = {}
    for split, files in splits.items():
        shown_split = shown_prefix + split
        of_split = [_verify_file(files.images, shown_split, "images", access)]
        if files.labels is not None:
            of_split.append(_verify_file(files.labels, shown_split, "labels", access))
        if not any(report.problem for report in of_split):
            problem = _why_not_loaded({**valid, split: files}, access)
            if problem is None:
                valid[split] = files
            else:
                of_split[-1] = of_split[-1]._replace(problem=problem)
        reports += of_split
    return reports


def _why_not_loaded(splits: dict[str, SplitFiles], access: Access) -> str | None:
    """Why splits cannot be loaded together, in words of the command line; None if they can."""
    try:
        facts = read_facts(splits, access, reads_labels=True)
        layouts = find_layouts(facts, None, are_one_hot(facts))
        located = Located(splits, layouts)
        located.common_layout(transpose=False, as_array=True)
        located.check_classes(transpose=False, as_array=True)
    except TransferError:
        raise
    except IdxError as error:
        return error.for_command_line()
    return None


def _verify_file(member: Member, split: str, role: str, access: Access) -> FileReport:
    """Read a file to its end. What is wrong with it becomes the problem of its report."""
    report = FileReport(member.name, split, role)  # the role that its name tells
    try:
        with HashedFile(open_stored(member, access), "sha256") as stored:
            content = HashedFile(open_content(stored, member), "sha256")
            file = IdxFile(content, member.title)
            report = report._replace(dtype=str(file.header.dtype), shape=file.header.shape)
            if len(file.header.shape) == 1:
                report = report._replace(role="labels")
            for _ in file.batches():
                pass
            # The checksum of a zip also covers what follows the compressed data.
            read_to_end(stored)
    except TransferError:
        raise
    except IdxError as error:
        return report._replace(problem=error.for_command_line())
    digests = {content.hexdigest(), stored.hexdigest()}
    return report._replace(sha256=content.hexdigest(), known=_find_published(digests))


def _find_published(digests: set[str]) -> str:
    """The published dataset that has a file with one of these digests, "" if none has."""
    for name, dataset in DATASETS.items():
        for split in dataset.splits.values():
            for file in (split.images, split.labels):
                if digests & {file.sha256, file.content_sha256}:
                    return name
    return ""


HEADINGS = ("file", "split", "role", "type", "shape", "records", "sha256", "known", "state")


def table(reports: Sequence[FileReport]) -> str:
    """The reports as text, one line each below the headings."""
    rows = [HEADINGS, *map(_row, reports)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(report: FileReport) -> tuple[str, ...]:
    """The cells of a report, below `HEADINGS`."""
    shape = " x ".join(map(str, report.shape[1:]))
    records = f"{report.shape[0]:,}" if report.shape else ""
    cells = [report.split, report.role, report.dtype, shape, records]
    cells += [report.sha256[:16], report.known]
    shown = [printable(cell) or "-" for cell in cells]
    return (printable(report.name), *shown, "INVALID" if report.problem else "ok")
