"""What the members of a source are, which published files they are, and whether they are as they should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .archive import list_members
from .idx import IdxError, TransferError, iter_blocks, read_header
from .layers import Hashed
from .mnist_idx import MnistIdx
from .names import Pair, data_sets_of, is_same_name, pair_members, read_name
from .records import SplitFiles, SplitReader
from .sources import DATA_SETS, File
from .stream import Locator, open_stored, unpack


class Finding(NamedTuple):
    """What is known of a member.

    Attributes:
        name: its name in the archive, or its path.
        split: the split that it belongs to, with the data set before it where there are several; "" if unknown.
        role: "images" or "labels"; "" if unknown.
        dtype: element type; "" if it cannot be read.
        shape: size of each dimension, the number of records first.
        digest: SHA-256 of the unpacked content; "" if it cannot be read to its end.
        known: the published data set whose file it is, "" if it is none.
        problem: what is wrong with it; "" if nothing is.
    """

    name: str
    split: str
    role: str
    dtype: str = ""
    shape: tuple[int, ...] = ()
    digest: str = ""
    known: str = ""
    problem: str = ""


def verify(source: str | None = None, data_set: str | None = None) -> list[Finding]:
    """Read every member of a source from its first to its last byte.

    Args:
        source: name of a config, whose members must be the published ones, or path or URL of a folder or an archive;
            MNIST when None.
        data_set: which of several data sets in one archive to look at; all when None.

    Returns:
        What was found, a member each.

    Raises:
        IdxError: the source cannot be reached, or it has no IDX files that can be told apart.
    """
    if source is None or source in MnistIdx.builder_configs:
        return _verify_published(source if source in DATA_SETS else "mnist")
    return _verify_own(source, data_set)


def _verify_published(name: str) -> list[Finding]:
    published = MnistIdx(config_name=name)._published()
    failures: list[str] = []
    first = 0
    while True:
        splits = published.locate(None, first, failures)
        try:
            return _with_pairs(list(_compare(name, splits)), splits)
        except TransferError as error:
            first = next(iter(splits.values())).source + 1
            failures.append(f"{published.sources[first - 1].url}: {error}")


def _compare(name: str, splits: Mapping[str, SplitFiles]) -> Iterator[Finding]:
    """Read the members of a published data set and compare them with what is known of them."""
    for split, files in splits.items():
        for role, member in _members(files):
            file: File = getattr(DATA_SETS[name].splits[split], role)
            finding, digests = _read(member, split, role)
            if finding.problem:
                yield finding
            elif digests & {file.packed, file.unpacked}:
                yield finding._replace(known=name)
            else:
                yield finding._replace(problem=_differs(member.title, finding, file))


def _members(files: SplitFiles) -> list[tuple[str, Locator]]:
    return [("images", files.images), *([("labels", files.labels)] if files.labels is not None else [])]


def _verify_own(path: str, data_set: str | None) -> list[Finding]:
    members = list_members(path)
    if len(members) == 1 and members[0].name == path:
        return [_recognized(*_read(members[0], "", (read_name(path) or ("", "", "images"))[2]))]
    names = data_sets_of(members, path) if data_set is None else [data_set]
    if len(names) < 2:
        return _verify_splits(pair_members(members, data_set, path), "")
    return [
        finding for name in names for finding in _verify_splits(pair_members(members, name, path), f"{name} ".lstrip())
    ]


def _verify_splits(pairs: Mapping[str, Pair], prefix: str) -> list[Finding]:
    splits = {prefix + split: SplitFiles(images, labels) for split, (images, labels) in pairs.items()}
    findings = [
        _recognized(*_read(member, split, role)) for split, files in splits.items() for role, member in _members(files)
    ]
    return _with_pairs(_with_strangers(findings), splits)


def _read(member: Locator, split: str, role: str) -> tuple[Finding, set[str | None]]:
    """Read a member to its end; also the digests of its content and of its packed form.

    Raises:
        TransferError: it cannot be reached.
    """
    finding = Finding(member.name, split, role)
    try:
        stored = Hashed(open_stored(member))
        try:
            content = Hashed(unpack(stored, member.title))
            header = read_header(content, member.title)
            finding = finding._replace(dtype=str(header.dtype), shape=header.shape)
            for _ in iter_blocks(content, header, member.title):
                pass
        finally:
            stored.close()
    except TransferError:
        raise
    except IdxError as error:
        return finding._replace(problem=str(error)), set()
    finding = finding._replace(digest=content.hexdigest())
    return finding, {f"sha256:{finding.digest}", f"sha256:{stored.hexdigest()}"}


def _recognized(finding: Finding, digests: set[str | None]) -> Finding:
    """Say which published file it is, by its digests."""
    for name, known in DATA_SETS.items():
        for split in known.splits.values():
            if any(
                digest in digests for file in (split.images, split.labels) for digest in (file.packed, file.unpacked)
            ):
                return finding._replace(known=name)
    return finding


def _with_strangers(findings: list[Finding]) -> list[Finding]:
    """Among members of a published data set, one with the name of a published file must be that file."""
    names = {finding.known for finding in findings} - {""}
    if len(names) != 1:
        return findings
    name = names.pop()
    published = [file for split in DATA_SETS[name].splits.values() for file in (split.images, split.labels)]
    result = []
    for finding in findings:
        file = next((file for file in published if is_same_name(finding.name, file.name)), None)
        if file is not None and file.unpacked is not None and not finding.known and not finding.problem:
            finding = finding._replace(
                problem=f"Other files are those of {name}. {_differs(finding.name, finding, file)}"
            )
        result.append(finding)
    return result


def _differs(title: str, finding: Finding, file: File) -> str:
    return (
        f"{title} is not the published file: found sha256:{finding.digest} when unpacked, expected "
        f"{f'{file.unpacked} when unpacked' if file.unpacked else f'{file.packed} when packed'}. Fetch it again."
    )


def _with_pairs(findings: list[Finding], splits: Mapping[str, SplitFiles]) -> list[Finding]:
    """Check that images and labels belong together, where both could be read."""
    result = list(findings)
    for split, files in splits.items():
        places = [number for number, finding in enumerate(findings) if finding.split == split]
        if any(findings[number].problem for number in places):
            continue
        try:
            SplitReader(files._replace(num_records=None)).close()
        except IdxError as error:
            result[places[-1]] = result[places[-1]]._replace(problem=str(error))
    return result


def table(findings: Sequence[Finding]) -> str:
    """The findings as text, a line each under a line of headings."""
    rows = [("member", "split", "role", "type", "shape", "records", "sha256", "known", "state")]
    for finding in findings:
        shape = " x ".join(map(str, finding.shape[1:])) or "-"
        records = f"{finding.shape[0]:,}" if finding.shape else "-"
        state = "WRONG" if finding.problem else "ok"
        rows.append(
            (
                finding.name,
                finding.split,
                finding.role,
                finding.dtype or "-",
                shape,
                records,
                finding.digest[:16] or "-",
                finding.known or "-",
                state,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
