"""The faults of the test server, which tests of the package could survive without noticing that there is none."""

import http.client
from collections.abc import Callable
from urllib.request import urlopen

import pytest
from http_server import Server

OUTCOMES = {"close_after": http.client.IncompleteRead, "reset_after": ConnectionResetError, "stall_after": TimeoutError}


@pytest.mark.parametrize("fault", OUTCOMES)
def test_faults(fault: str, serve: Callable[..., Server]) -> None:
    server = serve({"/file": bytes(100_000)})
    server.behave("/file", times=1, **{fault: 1000})
    with pytest.raises(OUTCOMES[fault]), urlopen(server.url("/file"), timeout=0.2) as answer:
        answer.read()
    with urlopen(server.url("/file")) as answer:
        assert answer.read() == bytes(100_000)
