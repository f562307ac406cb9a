"""A remote file that changes while it is read: the error says what it was, and what it is."""

import re
from collections.abc import Callable
from contextlib import closing

import pytest
from http_server import Server

from mnist_idx.byte_ranges import UnexpectedAnswer
from mnist_idx.fetching import NO_OPTIONS
from mnist_idx.remote import open_ranges

CONTENT = bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        pytest.param({"ETag": '"2"'}, 'found "2", expected "1"', id="another-etag"),
        pytest.param(
            {"Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT"},
            'found Thu, 01 Jan 2026 00:00:00 GMT, expected "1"',
            id="a-date-in-place-of-the-etag",
        ),
        pytest.param({}, 'found neither ETag nor Last-Modified, expected "1"', id="no-etag"),
    ],
)
def test_the_error_says_what_has_changed(
    headers: dict[str, str], found: str, serve: Callable[..., Server]
) -> None:
    server = serve()
    url = server.put("/file", CONTENT, ETag='"1"')
    with closing(open_ranges(url, NO_OPTIONS, size=None, version=None)) as ranges:
        ranges.fetch(0, 10)
        server.put("/file", CONTENT[::-1], **headers)
        with pytest.raises(UnexpectedAnswer, match=re.escape(found)):
            ranges.fetch(5000, 5010)
