"""Servers that hardly move: they are given up, a program that waits for them can be stopped, and
slow ones work.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import Client, start_client
from http_server import Server
from remote_sets import IMAGES, make_set, publish

Serve = Callable[..., Server]
Start = Callable[..., Client]
SLACK = 3  # seconds that a busy machine takes to notice a signal, and to end a process
LONG = make_set(0, 8000)  # 6.3 MB
LATER = range(3_000_000, 10**9)  # some batches after the first records

# Slow because of the processes that it starts, and of what they wait for.
pytestmark = [pytest.mark.slow, pytest.mark.measures]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start clients with homes of their own. Those that still run after a failure are killed."""
    clients: list[Client] = []

    def start_one(program: str, args: Any, **env: str) -> Client:
        home = tmp_path / f"home_{len(clients)}"
        home.mkdir()
        clients.append(start_client(program, home=home, args=args, env=env))
        return clients[-1]

    yield start_one
    for client in clients:
        if client.process.returncode is None:
            client.kill()
        client.temporary.cleanup()


SLOW = {
    "body": {"trickle": 1.0},
    "body in bits": {"trickle": 0.1},
    "headers": {"slow_headers": 1.0},
    "early hints": {"early_hints": 0.1},
}


def assert_given_up(client: Client, url: str, failures: int, until: float) -> None:
    verdict, message, seconds = client.wait(max(1, until - time.monotonic())).result
    assert verdict == "refused"
    assert url in message
    assert message.count("\n- ") == failures
    assert seconds < 40


@pytest.mark.parametrize("way", ["streamed", "prepared"])
@pytest.mark.parametrize("methods", [("GET",), ("GET", "HEAD")], ids=["GET", "every request"])
def test_servers_that_trickle_are_given_up(
    way: str, methods: tuple[str, ...], serve: Serve, start: Start
) -> None:
    waiting = []
    for slowness in SLOW.values():
        server = serve()
        options = publish(server, "tar", make_set())
        server.behave(**slowness, methods=methods)
        args = {"name": "idxfolder", "streaming": way == "streamed", "options": options}
        waiting.append(
            (start("load_in_time", args, HF_HUB_DOWNLOAD_TIMEOUT="1"), options["data_dir"])
        )
    until = time.monotonic() + 60
    for client, url in waiting:
        assert_given_up(client, url, 0, until)


def test_a_trickle_after_the_first_records_is_given_up(serve: Serve, start: Start) -> None:
    server = serve()
    options = publish(server, "files", LONG)
    server.behave(trickle=0.2, part=LATER)
    args = {"name": "idxfolder", "streaming": True, "options": options}
    client = start("load_in_time", args, HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert_given_up(client, server.url(IMAGES), 0, time.monotonic() + 60)


@pytest.mark.parametrize("way", ["streamed", "prepared"])
def test_the_source_after_a_mirror_that_trickles_is_used(
    way: str, serve: Serve, start: Start
) -> None:
    waiting = []
    proxy = serve()  # it refuses to connect to the built-in sources
    for slowness in SLOW.values():
        mirror = serve()
        url = publish(mirror, "tar", make_set())["data_dir"]
        mirror.behave(**slowness)
        args = {"name": "mnist_idx", "streaming": way == "streamed", "options": {}}
        env = {"MNIST_IDX_MIRROR": url, "HTTPS_PROXY": proxy.url(), "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
        waiting.append((start("load_in_time", args, **env), url))
    until = time.monotonic() + 60
    for client, url in waiting:
        assert_given_up(client, url, 4, until)
    assert {request.method for request in proxy.requests} == {"CONNECT"}


@pytest.mark.parametrize("way", ["streamed", "prepared"])
def test_slow_servers_work(way: str, serve: Serve, start: Start) -> None:
    """They send a few kB in a second, all of the time."""
    waiting = []
    for rate in (20e3, 100e3):
        server = serve()
        options = publish(server, "tar", make_set(0, 200))
        server.behave(bandwidth=rate)
        args = {"name": "idxfolder", "streaming": way == "streamed", "options": options}
        waiting.append(start("load_in_time", args, HF_HUB_DOWNLOAD_TIMEOUT="1"))
    for client in waiting:
        verdict, count, _ = client.wait(90).result
        assert (verdict, count) == ("loaded", 200)


each_stall = pytest.mark.parametrize(
    "stall",
    [
        pytest.param({"silent": True}, id="does not answer"),
        pytest.param({"stall_after": 1000}, id="stalls in the body"),
        pytest.param({"trickle": 0.3}, id="trickles"),
        pytest.param({"slow_headers": 0.3}, id="trickles headers"),
        pytest.param({"early_hints": 0.3}, id="hints"),
        pytest.param({"status": 503}, id="is overloaded"),
    ],
)


def wait_for_stall(server: Server, client: Client) -> None:
    """Until the client has waited for the stalled server for a moment."""
    until = time.monotonic() + 60
    while server.misbehaved == 0:
        assert client.process.poll() is None, (client.folder / "stderr").read_text()
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.5)


@each_stall
def test_an_interrupt_ends_a_program_that_waits(
    stall: dict[str, Any], serve: Serve, start: Start
) -> None:
    waiting = []
    for way in ("streamed", "arrays", "prepared"):
        server = serve()
        options = publish(server, "files", LONG)
        # `datasets` itself asks for the file once, to find out whether it exists.
        options_of_stall = {"skip": 1} if way == "prepared" else {"part": LATER}
        server.behave(IMAGES, **stall, **options_of_stall, methods=("GET",))
        client = start("read_to_the_end", {"way": way, "options": options})
        waiting.append((way, server, client))
    took = {}
    for way, server, client in waiting:
        wait_for_stall(server, client)
        os.kill(client.process.pid, signal.SIGINT)
        began = time.monotonic()
        outcome = client.wait(60, check=False)
        took[way] = time.monotonic() - began
        assert outcome.returncode != 0
        assert "KeyboardInterrupt" in outcome.error
    assert max(took.values()) < 2 + SLACK, took


@each_stall
def test_leaving_a_stream_does_not_wait_for_the_server(
    stall: dict[str, Any], serve: Serve, start: Start, tmp_path: Path
) -> None:
    waiting = []
    for how in ("break", "del", "close"):
        server = serve()
        options = publish(server, "files", LONG)
        flag = tmp_path / how
        server.behave(IMAGES, **stall, before=flag.touch, part=LATER, methods=("GET",))
        client = start("leave_a_stream", {"how": how, "options": options, "flag": str(flag)})
        waiting.append((how, server, client))
    took = {}
    for how, server, client in waiting:
        wait_for_stall(server, client)
        began = time.monotonic()
        took[how] = client.wait(60).result
        assert time.monotonic() - began < 2 + SLACK, "the process ended later"
    assert max(took.values()) < 2, took
