"""Check IDX files: whether they are complete, undamaged and can be loaded, and what they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..archive import Location, list_members
from ..catalog import DATASETS
from ..errors import IdxError, TransferError, printable
from ..failover import Located, read_with_failover
from ..filenames import FoundFiles, base_name, parse_filename
from ..folder import find_layouts, read_facts
from ..idx import IdxFile
from ..members import Access, Member, SplitFiles, open_content, open_stored, read_to_end
from ..mirrors import published_mirrors
from ..places import InPlace, RemoteOptions, absolute_path, is_remote
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


def verify(source: str = "mnist", prefix: str | None = None) -> list[FileReport]:
    """Read every file of a source to its end, and check what loading checks.

    Nothing is written to disk.

    Args:
        source: name of a config, whose files must be the published ones, or path or URL of IDX
            files.
        prefix: which of several datasets in one place, by the start of their file names; by
            default all.

    Raises:
        IdxError: the source cannot be reached, or its file names are ambiguous.
    """
    if source in DATASETS:
        return _verify_published(source)
    source = absolute_path(source)
    access = Access(_remote_options()) if is_remote(source) else Access()
    members = list_members(Location(source), access)
    if len(members) == 1 and members[0].name == source:
        parsed = parse_filename(base_name(source))
        return [_verify_file(members[0], "", parsed.role if parsed else "images", access)]
    found = FoundFiles(members, source)
    if prefix is not None:
        return _verify_splits(found.splits(prefix), "", access)
    if len(found.prefixes) < 2:
        return _verify_splits(found.splits(None), "", access)
    reports = []
    for name in found.prefixes:
        reports += _verify_splits(found.splits(name), f"{name} ", access)
    return reports


def _remote_options() -> RemoteOptions:
    from ..hf import remote_options  # imports `datasets`, which knows the URLs of the Hub

    return remote_options(None, None)


def _verify_published(name: str) -> list[FileReport]:
    """Verify the files of a published dataset, from the first source that works."""
    access = Access()
    mirrors = published_mirrors(name, access)
    reports: list[FileReport] = []
    for split, files in mirrors.locate(InPlace()).splits.items():

        def attempt(files: SplitFiles, split: str = split) -> Iterator[FileReport]:
            yield from _verify_splits({split: files}, "", access)

        def next_files(files: SplitFiles, error: IdxError, split: str = split) -> SplitFiles:
            if not isinstance(error, TransferError):
                raise error
            return mirrors.next_source(split, files, error)

        reports += read_with_failover(attempt, files, next_files)
    return reports


def _verify_splits(
    splits: Mapping[str, SplitFiles], title: str, access: Access
) -> list[FileReport]:
    """Verify the files of splits, and that all splits which can be loaded fit each other.

    Args:
        title: what the reports put before the name of a split.
    """
    reports = []
    valid: dict[str, SplitFiles] = {}
    for split, files in splits.items():
        found = [_verify_file(files.images, title + split, "images", access)]
        if files.labels is not None:
            found.append(_verify_file(files.labels, title + split, "labels", access))
        if not any(report.problem for report in found):
            problem = _why_not_loaded({**valid, split: files}, access)
            if problem is None:
                valid[split] = files
            else:
                found[-1] = found[-1]._replace(problem=problem)
        reports += found
    return reports


def _why_not_loaded(splits: dict[str, SplitFiles], access: Access) -> str | None:
    """Why `load_arrays` refuses splits, in the words of the command line; None if it does not."""
    try:
        layouts = find_layouts(read_facts(splits, access, reads_labels=True), None)
        Located(splits, layouts).common_layout(transpose=False, as_array=True)
    except TransferError:
        raise
    except IdxError as error:
        return error.for_command_line()
    return None


def _verify_file(member: Member, split: str, role: str, access: Access) -> FileReport:
    report = FileReport(member.name, split, role)
    try:
        with HashedFile(open_stored(member, access), "sha256") as stored:
            content = HashedFile(open_content(stored, member), "sha256")
            file = IdxFile(content, member.title)
            report = report._replace(dtype=str(file.header.dtype), shape=file.header.shape)
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
    shape = " x ".join(map(str, report.shape[1:]))
    records = f"{report.shape[0]:,}" if report.shape else ""
    cells = [report.split, report.role, report.dtype, shape, records]
    cells += [report.sha256[:16], report.known]
    shown = [printable(cell) or "-" for cell in cells]
    return (printable(report.name), *shown, "INVALID" if report.problem else "ok")
