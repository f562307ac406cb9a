"""Check IDX files: whether they are complete, undamaged and can be loaded, and which published files they are."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..archive import list_members
from ..catalog import DATASETS
from ..filenames import base_name, find_prefixes, find_splits, parse_filename
from ..idx import CHUNK_BYTES, IdxError, IdxFile, TransferError
from ..idxfolder import read_metadata
from ..mnist_idx import published_mirrors
from ..storage import HashedFile, Member, SplitFiles, open_content, open_stored


class FileReport(NamedTuple):
    name: str  # in the archive, or its path
    split: str  # after the prefix, if there are several; "" if unknown
    role: str  # "images" or "labels"
    dtype: str = ""  # element type; "" if the header cannot be read
    shape: tuple[int, ...] = ()  # size of each dimension, the number of records first
    sha256: str = ""  # of the decompressed content; "" if it cannot be read to its end
    known: str = ""  # the published dataset that it belongs to; "" if none
    problem: str = ""  # why it cannot be loaded; "" if it can


def verify(source: str = "mnist", prefix: str | None = None) -> list[FileReport]:
    """Read every file of a source to its end, and check what loading checks. Nothing is written to disk.

    Args:
        source: name of a config, whose files must be the published ones, or path or URL of IDX files.
        prefix: which of several datasets in one place, by the start of their file names; by default all.

    Raises:
        IdxError: the source cannot be reached, or its file names are ambiguous.
    """
    reports: list[FileReport] = []
    if source in DATASETS:
        mirrors = published_mirrors(source)
        for split, files in mirrors.locate().items():
            found: list[FileReport] = []
            while not found:
                try:
                    found = _verify_splits({split: files})
                except TransferError as error:
                    files = mirrors.next_source(split, files, error)
            reports += found
        return reports
    members = list_members(source := source.removeprefix("file://"))
    if len(members) == 1 and members[0].name == source:
        parsed = parse_filename(base_name(source))
        return [_verify_file(members[0], "", parsed.role if parsed else "images")]
    prefixes: list[str | None] = [prefix] if prefix is not None else [*find_prefixes(members, source)] or [None]
    for name in prefixes:
        reports += _verify_splits(find_splits(members, name, source), f"{name} " if len(prefixes) > 1 else "")
    return reports


def _verify_splits(splits: Mapping[str, SplitFiles], title: str = "") -> list[FileReport]:
    reports = []
    valid: dict[str, SplitFiles] = {}
    for split, files in splits.items():
        members = {"images": files.images, "labels": files.labels}
        found = [_verify_file(member, title + split, role) for role, member in members.items() if member]
        if not any(report.problem for report in found):
            try:
                read_metadata({**valid, split: files})
                valid[split] = files
            except IdxError as error:
                found[-1] = found[-1]._replace(problem=str(error))
        reports += found
    return reports


def _verify_file(member: Member, split: str, role: str) -> FileReport:
    report = FileReport(member.name, split, role)
    try:
        with HashedFile(open_stored(member)) as stored:
            content = HashedFile(open_content(stored, member))
            file = IdxFile(content, member.title)
            report = report._replace(dtype=str(file.header.dtype), shape=file.header.shape)
            for _ in file.batches():
                pass
            while stored.read(CHUNK_BYTES):  # the checksum of a zip also covers what follows the compressed data
                pass
        report = report._replace(sha256=content.hexdigest())
        digests = {content.hexdigest(), stored.hexdigest()}
        for name, dataset in DATASETS.items():
            files = [file for split in dataset.splits.values() for file in (split.images, split.labels)]
            if any(digests & {file.sha256, file.content_sha256} for file in files):
                return report._replace(known=name)
        return report
    except TransferError:
        raise
    except IdxError as error:
        return report._replace(problem=str(error))


def table(reports: Sequence[FileReport]) -> str:
    """The reports as text, one line each below the headings."""
    rows: list[tuple[str, ...]] = [("file", "split", "role", "type", "shape", "records", "sha256", "known", "state")]
    for report in reports:
        shape = " x ".join(map(str, report.shape[1:]))
        records = f"{report.shape[0]:,}" if report.shape else ""
        cells = (report.split, report.role, report.dtype, shape, records, report.sha256[:16], report.known)
        rows.append((report.name, *(cell or "-" for cell in cells), "INVALID" if report.problem else "ok"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
