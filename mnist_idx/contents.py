"""What a file is, by its content."""

from typing import NamedTuple

from .errors import DamagedError, IdxError, TransferError
from .idx import Header, read_header
from .members import Access, Member, open_member
from .signatures import HEAD_BYTES, MAGIC_BYTES, find_foreign, is_idx
from .streams import read_fully


class Content(NamedTuple):
    """What the first bytes of a file say."""

    header: Header | None  # None if the file is no IDX file, or was not looked at
    error: IdxError | None = None  # what it is instead
    is_archive: bool = False  # whether IDX files may be in it


def look_at(member: Member, access: Access) -> Content:
    """Read the first bytes of a member, through its compression.

    Raises:
        TransferError: the file cannot be reached.
    """
    if member.problem is not None:
        return Content(None, IdxError(f"{member.title}: {member.problem}"))
    try:
        with open_member(member, access) as stream:
            # Not more than the header: the end of a small file would be checked, too.
            head = bytes(read_fully(stream, MAGIC_BYTES))
            if is_idx(head):
                stream.seek(0)
                return Content(read_header(stream, member.title))
            head += bytes(read_fully(stream, HEAD_BYTES - len(head)))
            foreign = find_foreign(head)
            error = DamagedError(foreign.explain(member.title))
            return Content(None, error, foreign.is_archive)
    except TransferError:
        raise
    except IdxError as error:
        return Content(None, error)
