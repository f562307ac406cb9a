"""Faults while working: crashes, full and read-only disks, no network, odd clocks, old caches,
unreliable servers.

After each of them the next normal run gives the exact dataset. FAULTS.md tells what happens, fault
by fault.
"""

import errno
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import datasets
import pytest
from clients import Client, digest_arrays, fingerprint, start_client, tree
from conftest import ARCHIVE, Arrays
from http_server import RandomFaults, Server

from mnist_idx import IdxError
from mnist_idx.errors import TransferError
from mnist_idx.tools.staged import staged

# How many random moments to crash at, and how many epochs to stream: set higher for a longer run.
CRASHES = int(os.environ.get("MNIST_IDX_CRASHES", "8"))
EPOCHS = int(os.environ.get("MNIST_IDX_EPOCHS", "50"))


def start(
    home: Path,
    source: Any,
    program: str = "load_fingerprint",
    env: dict[str, str] | None = None,
    **options: Any,
) -> Client:
    return start_client(
        program, home=home, env={"MNIST_IDX_MIRROR": str(source), **(env or {})}, **options
    )


def assert_recovered(home: Path, server: Server, prepared: dict[str, Any]) -> None:
    """The next run gives the exact dataset.

    Nothing unfinished is left, and no process holds a lock.
    """
    server.heal()
    assert start(home, server.url(ARCHIVE)).wait().result == prepared
    for name in tree(home):
        assert not re.fullmatch(r".*(\.incomplete(/.*)?|/tmp[^/]*)", name)
    if shutil.which("flock") is None:  # a program of Linux
        return
    for lock in home.rglob("*.lock"):
        subprocess.run(["flock", "--nonblock", str(lock), "true"], check=True)


@pytest.mark.slow
def test_four_processes_load_at_once(
    server: Server, hf_home: Path, prepared: dict[str, Any]
) -> None:
    server.behave(bandwidth=4e6)  # the download takes until all of them wait for it
    clients = [start(hf_home, server.url(ARCHIVE)) for _ in range(4)]
    assert [client.wait().result for client in clients] == [prepared] * 4
    assert server.count(ARCHIVE, "GET") == 1
    assert_recovered(hf_home, server, prepared)


def crash(server: Server, home: Path, moment: float) -> bool:
    """Kill a client, `moment` of the way through its download (below 1) or its generation.

    Returns whether it was still running.
    """
    client = start(home, server.url(ARCHIVE))
    until = time.monotonic() + 60
    try:
        while client.process.poll() is None and progress(server, home) < moment:
            assert time.monotonic() < until
            time.sleep(0.002)
        return client.process.poll() is None
    finally:
        client.kill()


def progress(server: Server, home: Path) -> float:
    """How far a client is: below 1 in its download, from 1 to 2 in its generation."""
    written = sum(size for name, size in tree(home).items() if name.endswith(".arrow"))
    if written:
        return 1 + written / 20e6
    return min(0.999, server.under_way(ARCHIVE) / 11.6e6)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["download", "generation"])
def test_kill_at_random_moments(
    phase: str, server: Server, hf_home: Path, prepared: dict[str, Any]
) -> None:
    moments = random.Random(phase)
    start_of_phase = {"download": 0, "generation": 1}[phase]
    server.behave(bandwidth=20e6)
    too_late = 0
    for _ in range(CRASHES // 2):
        if not crash(server, hf_home, start_of_phase + moments.random()):
            too_late += 1
    assert too_late <= CRASHES // 4
    assert_recovered(hf_home, server, prepared)


NO_SPACE = "No space left on device"
DISK_FULL = OSError(errno.ENOSPC, NO_SPACE)


@pytest.mark.parametrize(
    ("function", "expected", "streaming"),
    [
        pytest.param(
            "datasets.DownloadManager.download",
            "{cache}.*{url}.*{full}.*cache_dir=.*HF_HOME",
            False,
            id="while-downloading",
        ),
        pytest.param(
            "datasets.arrow_writer.ArrowWriter.write_table",
            "{cache}.*{full}.*cache_dir=.*HF_HOME",
            False,
            id="while-generating",
        ),
        pytest.param("mnist_idx.mirrors.list_archive", "{url}.*{full}", True, id="while-streaming"),
    ],
)
def test_a_full_disk_is_named_with_the_ways_out(
    function: str,
    expected: str,
    streaming: bool,
    server: Server,
    tmp_path: Path,
    mirror: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = server.url(ARCHIVE)
    mirror(url)
    monkeypatch.setattr(function, Mock(side_effect=DISK_FULL))
    said = expected.format(cache=re.escape(str(tmp_path)), url=re.escape(url), full=NO_SPACE)
    with pytest.raises(IdxError, match=f"^{said}"):
        datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path), streaming=streaming)


QUOTA, READ_ONLY = OSError(errno.EDQUOT, "Quota"), OSError(errno.EROFS, "Read-only")
WAYS_OUT = f"place: .*{NO_SPACE}.*TMPDIR"


@pytest.mark.parametrize(
    ("error", "cause", "said"),
    [
        pytest.param(DISK_FULL, None, WAYS_OUT, id="the-disk-is-full"),
        pytest.param(QUOTA, None, "place: .*Quota.*Make room", id="the-quota-is-used-up"),
        pytest.param(
            READ_ONLY,
            None,
            "written: Read-only. The disk is read-only. Choose",
            id="it-is-read-only",
        ),
        pytest.param(IdxError("wrong"), DISK_FULL, WAYS_OUT, id="the-disk-fills-while-preparing"),
        pytest.param(IdxError("wrong"), None, "^wrong$", id="the-data-is-wrong"),
        pytest.param(TransferError("wrong"), DISK_FULL, "^wrong$", id="the-network-fails"),
    ],
)
def test_a_failed_write_is_named_with_the_ways_out(
    error: Exception, cause: Exception | None, said: str, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=said), staged(tmp_path / "place", False):
        raise error from cause
    assert list(tmp_path.iterdir()) == []


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Callable[[str], Any]]:
    """Mount a file system of its own at `place`.

    Yields a function that remounts it with other options.
    """
    if sys.platform != "linux":
        pytest.skip("mounts a tmpfs, on Linux only")
    place.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        yield lambda options: subprocess.run(
            ["mount", "-o", f"remount,{options}", str(place)], check=True
        )
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "file_size", "said"),
    [
        pytest.param("6m", None, NO_SPACE, id="while-downloading"),
        pytest.param("20m", None, NO_SPACE, id="while-generating"),
        # A limit on the size of a file stands in for a quota.
        pytest.param("200m", 6_000_000, "File too large", id="quota-used-up-while-downloading"),
        pytest.param("200m", 15_000_000, "File too large", id="quota-used-up-while-generating"),
    ],
)
def test_disk_full(
    size: str, file_size: int | None, said: str, server: Server, tmp_path: Path, prepared: Any
) -> None:
    home = tmp_path / "small"
    with small_disk(home, size) as remount:
        failed = start(home, server.url(ARCHIVE), file_size=file_size).wait(check=False)
        assert failed.returncode == 1
        for part in (said, "cache_dir", str(home)):
            assert part in failed.error
        for name in tree(home):
            assert not name.endswith(".arrow") or ".incomplete" in name
        remount("size=200m")
        assert_recovered(home, server, prepared)


@pytest.mark.slow
def test_disk_full_during_export_and_push(mnist_tar: Path, tmp_path: Path, hf_home: Path) -> None:
    place = tmp_path / "place"
    with small_disk(place, "1m"):
        export, push = ["export", str(place / "digits")], ["push", "user/digits", "--dry-run"]
        args = {"lines": [export, push]}
        outcome = start(
            hf_home, mnist_tar, "run_commands", {"TMPDIR": str(place)}, args=args
        ).wait()
        assert outcome.result == [1, 1]
        assert outcome.stderr.count("TMPDIR") == outcome.stderr.count(f"{place}") == 2
        assert list(place.iterdir()) == []


@pytest.mark.slow
def test_read_only_home(server: Server, tmp_path: Path, prepared: Any) -> None:
    """`datasets` takes a lock there even to read and to stream."""
    home = tmp_path / "home"
    with small_disk(home, "200m") as remount:
        remount("ro")
        for streaming in (False, True):
            args = {"streaming": streaming}
            failed = start(home, server.url(ARCHIVE), args=args).wait(check=False)
            assert "Read-only file system" in failed.error
            assert str(home) in failed.error
        remount("rw")
        assert_recovered(home, server, prepared)


TINY = {"train": 1000, "test": 200}


@pytest.mark.slow
def test_offline(
    server: Server, hf_home: Path, mirror: Callable[[str], None], prepared: dict[str, Any]
) -> None:
    mirror(server.url(ARCHIVE))
    datasets.load_dataset("mnist_idx", cache_dir=str(hf_home / "datasets"))
    for download in hf_home.rglob("downloads/*"):
        download.unlink()
    server.forget()
    found, tiny, *messages = (
        start(hf_home, server.url(ARCHIVE), "load_offline", {"HF_HUB_OFFLINE": "1"}).wait().result
    )
    assert (found, tiny, len(messages)) == (prepared, TINY, 3)
    for message in messages:
        assert message.count("because HF_HUB_OFFLINE is set") == 4, message  # of each source
        assert "\nUnset HF_HUB_OFFLINE" in message
        assert "tiny" in message
    assert server.count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("years", [-30, 30])
def test_files_of_another_time(
    years: int,
    server: Server,
    tmp_path: Path,
    mirror: Callable[[str], None],
    prepared: dict[str, Any],
) -> None:
    mirror(server.url(ARCHIVE))
    for _ in range(2):
        assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared
        moment = time.time() + years * 365 * 86400
        for path in tmp_path.rglob("*"):
            os.utime(path, (moment, moment))
    assert server.count(ARCHIVE, "GET") == 1


@pytest.mark.slow
def test_a_clock_that_jumps(
    server: Server, hf_home: Path, tmp_path: Path, prepared: dict[str, Any]
) -> None:
    library = pytest.importorskip(
        "libfaketime", reason="libfaketime is for Linux on x86-64 only"
    ).__file__
    clock = tmp_path / "clock"
    clock.write_text("-10y")
    env = {
        "LD_PRELOAD": str(next(Path(library).parent.rglob("libfaketime.so*"))),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    server.behave(bandwidth=15e6)
    client = start(hf_home, server.url(ARCHIVE), "load_by_the_clock", env)
    for jump in ("+10y", "-20y", "+1d"):
        time.sleep(1)
        clock.with_suffix(".new").write_text(jump)
        clock.with_suffix(".new").rename(clock)
    rows, seconds = client.wait().result
    assert rows == prepared
    assert abs(seconds) > 365 * 86400
    assert_recovered(hf_home, server, prepared)


def test_cache_entries_that_lack_a_file(tmp_path: Path) -> None:
    """`datasets` prepares again what has no description, and names a missing file of data."""
    load_tiny = partial(datasets.load_dataset, "mnist_idx", "tiny", cache_dir=str(tmp_path))
    load_tiny()
    next(tmp_path.rglob("dataset_info.json")).unlink()
    assert load_tiny().num_rows == TINY
    for file in tmp_path.rglob("*train.arrow"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(file))):
        load_tiny()
    assert load_tiny(download_mode="force_redownload").num_rows == TINY


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory and the files in /proc")
def test_soak(server: Server, hf_home: Path, mnist_arrays: Arrays) -> None:
    server.faults = faults = RandomFaults(seed=5, one_in=20)
    client = start(hf_home, server.url(ARCHIVE), "stream_epochs", args={"epochs": EPOCHS})
    outcome = client.wait(timeout=3600)
    first, hashes, memory, files = outcome.result
    assert first == digest_arrays(*mnist_arrays["test"])
    assert hashes == hashes[:1] * EPOCHS
    assert sum(faults.injected.values()) >= EPOCHS // 4
    settled = EPOCHS // 5
    assert max(memory[settled:]) - memory[settled] < 16 << 20
    assert max(files[settled:]) <= max(files[: settled + 1]) + 2  # sockets among them
