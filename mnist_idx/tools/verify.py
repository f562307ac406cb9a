"""Check IDX files: whether they are complete, undamaged and can be loaded, and which published
files they are.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..archive import Place, list_members
from ..catalog import DATASETS
from ..errors import IdxError, TransferError, printable
from ..filenames import FoundFiles, base_name, parse_filename
from ..idx import CHUNK_BYTES, IdxFile
from ..idxfolder import IdxFolderConfig, infer_features, read_metadata
from ..mnist_idx import published_mirrors
from ..places import absolute_path
from ..storage import Access, HashedFile, Member, SplitFiles, open_content, open_stored


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
    """Read every file of a source to its end, and check what loading checks.

    Nothing is written to disk.

    Args:
        source: name of a config, whose files must be the published ones, or path or URL of IDX
            files.
        prefix: which of several datasets in one place, by the start of their file names; by default
            all.

    Raises:
        IdxError: the source cannot be reached, or its file names are ambiguous.
    """
    access = Access()
    if source in DATASETS:
        return _verify_published(source, access)
    source = absolute_path(source)
    members = list_members(Place(source), access)
    if len(members) == 1 and members[0].name == source:
        parsed = parse_filename(base_name(source))
        return [_verify_file(members[0], "", parsed.role if parsed else "images", access)]
    found = FoundFiles(members, source)
    prefixes: list[str | None] = [prefix] if prefix is not None else [*found.prefixes] or [None]
    reports: list[FileReport] = []
    for name in prefixes:
        title = f"{name} " if len(prefixes) > 1 else ""
        reports += _verify_splits(found.splits(name), title, access)
    return reports


def _verify_published(name: str, access: Access) -> list[FileReport]:
    mirrors = published_mirrors(name, access)
    reports: list[FileReport] = []
    for split, files in mirrors.locate().items():
        found: list[FileReport] = []
        while not found:
            try:
                found = _verify_splits({split: files}, "", access)
            except TransferError as error:
                files = mirrors.next_source(split, files, error)
        reports += found
    return reports


def _verify_splits(
    splits: Mapping[str, SplitFiles], title: str, access: Access
) -> list[FileReport]:
    reports = []
    valid: dict[str, SplitFiles] = {}
    for split, files in splits.items():
        found = [_verify_file(files.images, title + split, "images", access)]
        if files.labels is not None:
            found.append(_verify_file(files.labels, title + split, "labels", access))
        if not any(report.problem for report in found):
            try:
                _check_loads({**valid, split: files}, access)
                valid[split] = files
            except TransferError:
                raise
            except IdxError as error:
                found[-1] = found[-1]._replace(problem=error.for_command_line())
        reports += found
    return reports


def _check_loads(splits: Mapping[str, SplitFiles], access: Access) -> None:
    """Refuse what `load_arrays` refuses."""
    infer_features(splits, read_metadata(splits, access), IdxFolderConfig(as_array=True))


def _verify_file(member: Member, split: str, role: str, access: Access) -> FileReport:
    report = FileReport(member.name, split, role)
    try:
        with HashedFile(open_stored(member, access)) as stored:
            content = HashedFile(open_content(stored, member))
            file = IdxFile(content, member.title)
            report = report._replace(dtype=str(file.header.dtype), shape=file.header.shape)
            for _ in file.batches():
                pass
            while stored.read(
                CHUNK_BYTES
            ):  # the checksum of a zip also covers what follows the compressed data
                pass
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


def table(reports: Sequence[FileReport]) -> str:
    """The reports as text, one line each below the headings."""
    rows: list[tuple[str, ...]] = [
        ("file", "split", "role", "type", "shape", "records", "sha256", "known", "state")
    ]
    for report in reports:
        shape = " x ".join(map(str, report.shape[1:]))
        records = f"{report.shape[0]:,}" if report.shape else ""
        cells = (
            report.split,
            report.role,
            report.dtype,
            shape,
            records,
            report.sha256[:16],
            report.known,
        )
        state = "INVALID" if report.problem else "ok"
        rows.append((printable(report.name), *(printable(cell) or "-" for cell in cells), state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
