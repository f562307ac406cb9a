"""Check IDX files: whether they are complete, undamaged and can be loaded, and what they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..archive import Location, list_members
from ..catalog import DATASETS
from ..contents import look_at
from ..errors import IdxError, TransferError, printable
from ..failover import Located, read_with_failover
from ..fetching import InPlace, RemoteOptions
from ..filenames import base_name, parse_filename
from ..folder import find_layouts, read_facts
from ..idx import IdxFile
from ..matching import FoundFiles, find_role, name_relative
from ..members import Access, Member, SplitFiles, open_content, open_stored, read_to_end
from ..mirrors import Mirrors, published_mirrors
from ..paths import absolute_path, is_remote
from ..streams import HashedFile, Stream


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
    is_single_file = len(members) == 1 and members[0].name == source
    if is_single_file:
        content = look_at(members[0], access)
        role = "images"
        if content.header is not None:
            role = find_role(parse_filename(base_name(source)), content.header)
        return [_verify_file(members[0], "", role, access)]
    files = FoundFiles(name_relative(members, source), access, source)
    if prefix is not None or len(files.prefixes) < 2:
        return _verify_splits(files.splits(prefix), "", access)
    reports = []
    for name in files.prefixes:
        reports += _verify_splits(files.splits(name), f"{name} ", access)
    return reports


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
    """Read a file to its end. What is wrong with it becomes the problem of its report."""
    report = FileReport(member.name, split, role)
    try:
        with _hashed(open_stored(member, access)) as stored:
            content = _hashed(open_content(stored, member))
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


def _hashed(stream: Stream) -> HashedFile:
    """The stream with a SHA-256 digest. What is not compressed is not hashed again."""
    if isinstance(stream, HashedFile) and stream.algorithm == "sha256":
        return stream
    return HashedFile(stream, "sha256")


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
