"""What adds a dataset to the catalog: a row for each of its files, and an entry to fill in."""

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import IdxError, wrong_option
from ..filenames import base_name, parse_filename
from ..idx import Header, IdxFile
from ..matching import find_role
from ..members import Access, Member, open_member, open_stored
from ..streams import CHUNK_BYTES, Stream

DEFAULT_NAME = "my_dataset"
DEFAULT_SPLIT = "train"  # of files whose names do not tell
DEFAULT_SUFFIX = ".gz"  # as in `catalog.File`
INDENT = " " * 4

ENTRY = '''\
{constant} = PublishedDataset(
    family="{name}",
    title="…",
    description="…: …",
    homepage="https://…",
    license="unknown",
    citation="""\\
…
""",
    class_names=tuple(map(str, range({num_classes}))),
    splits={constant}_SPLITS,
    sources=("https://…/",),
    shape={shape},
    label_parts={label_parts},
)
'''


class Digest(NamedTuple):
    """What identifies a sequence of bytes."""

    size: int
    sha256: str


class LabelRange(NamedTuple):
    """The smallest and the largest class in a file of labels."""

    smallest: int
    largest: int


class FileFacts(NamedTuple):
    """What the catalog says of a file, and what its header and its name say."""

    path: str
    stored: Digest
    content: Digest
    header: Header
    split: str
    role: str  # "images" or "labels"
    classes: LabelRange | None  # of labels; None of images


Splits = dict[str, dict[str, FileFacts]]  # split → role → file


def catalog_row(files: Sequence[str], name: str = DEFAULT_NAME) -> str:
    """The Python code that adds a dataset to `catalog`, with "…" where a person has to fill in.

    Args:
        files: paths of its files as they are published: images and labels of one split or more.
        name: of its config.

    Raises:
        IdxError: a file cannot be read, is not an IDX file or is damaged, or the files are not
            those of one dataset.
    """
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
        raise wrong_option("name", name, "small letters, digits and underscores")
    splits = group_by_split([read_facts(path) for path in files])
    constant = name.upper()
    lines = [
        "# For mnist_idx/catalog.py, among the files:",
        *splits_lines(constant, splits),
        "",
        "# Among the datasets:",
        *entry_lines(constant, name, splits),
        "",
        f'# In DATASETS: "{name}": {constant},',
    ]
    return "\n".join(lines)


def read_facts(path: str) -> FileFacts:
    """Read a file to its end, and check that it is an IDX file."""
    member = Member(path, path)
    with open_member(member, Access()) as content:
        file = IdxFile(content, path)
        split, role = split_and_role(path, file.header)
        if role == "labels":
            classes = read_classes(file)
        else:
            classes = None
            for _ in file.batches():
                pass
        content.seek(0)
        content_digest = read_digest(content)
    with open_stored(member, Access()) as stored:
        stored_digest = read_digest(stored)
    return FileFacts(path, stored_digest, content_digest, file.header, split, role, classes)


def split_and_role(path: str, header: Header) -> tuple[str, str]:
    """What a file is for, by its name and by its header: labels have one dimension."""
    parsed = parse_filename(base_name(path))
    return parsed.split or DEFAULT_SPLIT, find_role(parsed, header)


def read_digest(stream: Stream) -> Digest:
    """Read a stream to its end."""
    size = 0
    sha256 = hashlib.sha256()
    while data := stream.read(CHUNK_BYTES):
        size += len(data)
        sha256.update(data)
    return Digest(size, sha256.hexdigest())


def read_classes(file: IdxFile) -> LabelRange:
    """Read labels: class numbers `(N,)`, or `(N, parts)` of which the first part is the class."""
    header = file.header
    if header.dtype.kind not in "iu" or header.num_records == 0 or len(header.shape) > 2:
        found = f"{header.dtype} of shape {header.shape}"
        raise IdxError(f"{file.title}: found labels as {found}, expected integers, one row each.")
    smallest: list[int] = []
    largest: list[int] = []
    for labels in file.batches():
        classes = labels if labels.ndim == 1 else labels[:, 0]
        smallest.append(int(np.min(classes)))
        largest.append(int(np.max(classes)))
    return LabelRange(min(smallest), max(largest))


def group_by_split(files: Sequence[FileFacts]) -> Splits:
    """Sort the files of one dataset by split and role, the train split first."""
    found: Splits = {}
    for facts in files:
        of_split = found.setdefault(facts.split, {})
        if facts.role in of_split:
            raise IdxError(
                f"{facts.path}: found {facts.role} of {facts.split}, which "
                f"{of_split[facts.role].path} has already. Name the files of one dataset."
            )
        of_split[facts.role] = facts
    for of_split in found.values():
        if len(of_split) == 2:
            check_pair(of_split["images"], of_split["labels"])
    return dict(sorted(found.items(), key=lambda item: item[0] != DEFAULT_SPLIT))


def check_pair(images: FileFacts, labels: FileFacts) -> None:
    """Refuse images and labels that are not of the same records."""
    if images.header.num_records != labels.header.num_records:
        raise IdxError(
            f"{labels.path}: found {labels.header.num_records:,} labels, expected "
            f"{images.header.num_records:,} as in {images.path}."
        )


def splits_lines(constant: str, splits: Splits) -> list[str]:
    """The code of the splits, a row for each file."""
    lines = [f"{constant}_SPLITS = {{"]
    for split, files in splits.items():
        lines.append(f'{INDENT}"{split}": Split(')
        for role in ("images", "labels"):
            if role in files:
                lines.append(f"{INDENT * 2}{role}={file_code(files[role])}")
            else:
                lines.append(f"{INDENT * 2}{role}=...,  # not among the files")
        any_file = next(iter(files.values()))
        lines.append(f"{INDENT * 2}num_records={any_file.header.num_records:_},")
        lines.append(f"{INDENT}),")
    return [*lines, "}"]


def file_code(facts: FileFacts) -> str:
    """The row of a file, with what its header says as a comment."""
    name = base_name(facts.path)
    file_name = re.split(r"[/\\]", facts.path)[-1]
    suffix = file_name.removeprefix(name)
    arguments = [quoted(name), f"{facts.stored.size:_}", quoted(facts.stored.sha256)]
    arguments.append(quoted(facts.content.sha256))
    if suffix != DEFAULT_SUFFIX:
        arguments.append(f"suffix={quoted(suffix)}")
    comment = f"{facts.header.shape} {facts.header.dtype}"
    if facts.classes is not None:
        comment += f", classes {facts.classes.smallest} to {facts.classes.largest}"
    return f"File({', '.join(arguments)}),  # {comment}"


def quoted(text: str) -> str:
    """A string literal, in the quotes of the catalog."""
    return '"' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


def entry_lines(constant: str, name: str, splits: Splits) -> list[str]:
    """The code of the dataset. What no file says stays "…"."""
    images = [files["images"] for files in splits.values() if "images" in files]
    labels = [files["labels"] for files in splits.values() if "labels" in files]
    largest = [facts.classes.largest for facts in labels if facts.classes is not None]
    code = ENTRY.format(
        constant=constant,
        name=name,
        num_classes=max(largest) + 1 if largest else "...",
        shape=images[0].header.record_shape if images else "...",
        label_parts=label_parts(labels[0].header) if labels else "...",
    )
    return code.splitlines()


def label_parts(header: Header) -> int:
    """How many numbers a label has."""
    return 1 if len(header.shape) == 1 else header.shape[1]
