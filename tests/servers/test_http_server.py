"""The test server and the test clients."""

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clients import run_client
from http_server import HTML, Server

BODY = bytes(range(256)) * 1000


def get(server: Server, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.2)
    try:
        connection.request("GET", "/file", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.headers)
    finally:
        connection.close()


@pytest.fixture
def file(serve: Callable[..., Server]) -> Server:
    return serve({"/file": BODY})


@pytest.mark.parametrize(
    ("spec", "status", "body"),
    [
        ("bytes=0-9", 206, BODY[:10]),
        ("bytes=255990-999999", 206, BODY[-10:]),
        ("bytes=-5", 206, BODY[-5:]),
        ("bytes=256000-", 416, b""),
    ],
)
def test_ranges(file: Server, spec: str, status: int, body: bytes) -> None:
    assert get(file, Range=spec)[:2] == (status, body)
    file.settle()
    assert (file.count("/file", "GET"), file.sent("/file")) == (1, len(body))


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"status": 503}, 503),
        ({"html": True}, HTML),
        ({"ranges": False, "length": False}, BODY),
        ({"close_after": 1000}, http.client.IncompleteRead),
        ({"reset_after": 1000}, ConnectionResetError),
        ({"stall_after": 1000}, TimeoutError),
    ],
)
def test_faults(fault: dict[str, Any], outcome: Any, file: Server) -> None:
    file.behave("/file", times=1, **fault)
    if isinstance(outcome, type):
        with pytest.raises(outcome):
            get(file)
    else:
        assert outcome in get(file)
    assert get(file)[1] == BODY


def test_clients_report_results_and_errors(hf_home: Path) -> None:
    good = run_client("import os\nresult = [args['x'] + 1, os.environ['HF_HOME']]", home=hf_home, args={"x": 1})
    assert good.result == [2, str(hf_home)]
    bad = run_client("raise ValueError('two\\nlines')", home=hf_home, check=False)
    assert (bad.returncode, bad.error) == (1, "ValueError: two\nlines")
    with pytest.raises(AssertionError, match="still ran"):
        run_client("import time; time.sleep(60)", home=hf_home, timeout=0.5)
