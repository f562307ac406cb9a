"""The test server itself: what it counts and how it misbehaves must be true for the other tests to mean anything."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from clients import run_client
from http_server import RandomFaults, Server

BODY = bytes(range(256)) * 1000


def get(server: Server, timeout: float = 5, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
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
        ("bytes=255990-", 206, BODY[-10:]),
        ("bytes=255990-999999", 206, BODY[-10:]),
        ("bytes=-5", 206, BODY[-5:]),
        ("bytes=256000-", 416, b""),
    ],
)
def test_ranges(file: Server, spec: str, status: int, body: bytes) -> None:
    assert get(file, Range=spec)[:2] == (status, body)
    file.settle()
    assert (file.count("/file", "GET"), file.sent("/file")) == (1, len(body))


def test_ignores_ranges_when_told(file: Server) -> None:
    file.behave(ranges=False)
    status, body, headers = get(file, Range="bytes=0-9")
    assert (status, body) == (200, BODY)
    assert "Accept-Ranges" not in headers


def test_statuses_and_their_number(file: Server) -> None:
    file.behave("/file", status=503, times=2)
    assert [get(file)[0] for _ in range(3)] == [503, 503, 200]
    file.behave("/file", html=True)
    assert get(file)[1].startswith(b"<!DOCTYPE html>")
    file.heal()
    assert get(file)[1] == BODY


def test_bodies_that_break_off(file: Server) -> None:
    file.behave(close_after=1000, times=1)
    with pytest.raises(http.client.IncompleteRead):
        get(file)
    file.behave(reset_after=1000, times=1)
    with pytest.raises(ConnectionResetError):
        get(file)
    file.behave(stall_after=1000, times=1)
    with pytest.raises(TimeoutError):
        get(file, timeout=0.3)
    file.behave(announce=1000, times=1)
    assert get(file)[1] == BODY[:1000]
    file.behave(flip=(3,), times=1)
    assert get(file)[1] == BODY[:3] + b"\xfc" + BODY[4:]


def test_bandwidth(file: Server) -> None:
    file.behave(bandwidth=1_000_000)
    began = time.monotonic()
    get(file)
    assert 0.2 < time.monotonic() - began < 1.0


def test_random_faults_repeat_with_their_seed(file: Server) -> None:
    def run() -> dict[str, int]:
        file.faults = faults = RandomFaults(seed=7, one_in=4, delay=0.0)
        for _ in range(40):
            with suppress(OSError, http.client.HTTPException):
                get(file)
        return dict(faults.injected)

    first = run()
    assert sum(first.values()) > 3
    assert run() == first


def test_clients_answer_and_report(hf_home: Path) -> None:
    good = run_client("import os\nresult = [args['x'] + 1, os.environ['HF_HOME']]", home=hf_home, args={"x": 1})
    assert good.result == [2, str(hf_home)]
    assert good.peak > 1_000_000
    bad = run_client("raise ValueError('two\\nlines')", home=hf_home, check=False)
    assert bad.returncode == 1
    assert bad.error == "ValueError: two\nlines"
    with pytest.raises(AssertionError, match="still ran"):
        run_client("import time; time.sleep(60)", home=hf_home, timeout=0.5)
