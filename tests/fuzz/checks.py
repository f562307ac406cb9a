"""The package reads what the oracle reads, or it raises an `IdxError` that names the file."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import oracle

from mnist_idx import IdxError, archive, filenames, idx, records, storage


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except IdxError as error:
        assert str(path) in str(error)


def check(path: Path) -> None:
    """Raises an `AssertionError` if the package neither agrees with the oracle about a file nor refuses it."""
    with refusing(path):
        members = archive.list_members(str(path))
        try:
            contents = oracle.read_members(path)
        except oracle.Refused:
            contents = {}  # none of the members may be read
        for member in members:
            with refusing(path):
                check_member(member, contents.get(member.name, []))
        splits = filenames.find_splits(members, root=str(path))
        for split, roles in oracle.find_roles(contents).items():
            assert roles == {"images"} or splits[split].labels is not None, f"{split} has lost its labels"
            with refusing(path), closing(records.SplitReader(splits[split])) as reader:
                for images, labels in reader.batches():
                    assert labels is None or len(images) == len(labels)


def check_member(member: storage.Member, contents: list[bytes | None]) -> None:
    """A member is read to its end as one of those that the oracle has by that name."""
    with storage.open_member(member) as stream:
        file = idx.IdxFile(stream, member.title)
        data = b"".join(batch.astype(batch.dtype.newbyteorder(">")).tobytes() for batch in file.batches())
    assert file.header.pack() + data in contents, f"{member.name} is not what the standard library reads"
