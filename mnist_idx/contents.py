"""What a file is, by its content."""

from typing import NamedTuple

from .errors import IdxError, TransferError
from .idx import Header, read_header
from .members import Access, Member, open_member
from .signatures import HEAD_BYTES, find_foreign, is_idx
from .streams import read_fully


class Content(NamedTuple):
    """What the first bytes of a file say."""

    header: Header | None  # None if the file is no IDX file
    problem: str = ""  # what it is instead, as the message of an error
    is_archive: bool = False  # whether IDX files may be in it


def look_at(member: Member, access: Access) -> Content:
    """Read the first bytes of a member, through its compression.

    Raises:
        TransferError: the file cannot be reached.
    """
    if member.problem is not None:
        return Content(None, f"{member.title}: {member.problem}")
    try:
        with open_member(member, access) as stream:
            head = bytes(read_fully(stream, HEAD_BYTES))
            if not is_idx(head):
                foreign = find_foreign(head)
                return Content(None, foreign.explain(member.title), foreign.is_archive)
            stream.seek(0)
            return Content(read_header(stream, member.title))
    except TransferError:
        raise
    except IdxError as error:
        return Content(None, str(error))
