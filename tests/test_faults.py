"""Faults while working: crashes, full and read-only disks, no network, odd clocks, old caches, unreliable servers.

After each of them the next normal run gives the exact dataset. FAULTS.md tells what happens, fault by fault.
"""

import errno
import importlib.util
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import pytest
from clients import Outcome, digest_arrays, fingerprint, run_client, start_client, tree
from conftest import ARCHIVE, Arrays
from http_server import RandomFaults, Server

import mnist_idx
from mnist_idx import remote
from mnist_idx.tools.staged import staged

# How many random moments to crash at, and how many epochs to stream: set higher for a longer run.
CRASHES = int(os.environ.get("MNIST_IDX_CRASHES", "8"))
EPOCHS = int(os.environ.get("MNIST_IDX_EPOCHS", "50"))

LOAD = """
import os, sys
import datasets
import mnist_idx
from clients import fingerprint
result = fingerprint(datasets.load_dataset("mnist_idx"))
"""
TINY_COUNTS = {"train": 1000, "test": 200}


def load(home: Path, mirror: str, check: bool = True, code: str = LOAD, **options: Any) -> Outcome:
    env = {"MNIST_IDX_MIRROR": mirror, **options.pop("env", {})}
    return run_client(code, home=home, env=env, check=check, **options)


def assert_clean(home: Path) -> None:
    """Nothing unfinished is left, and no process holds a lock."""
    unfinished = re.compile(r".*(\.incomplete(/.*)?|/tmp[^/]*)")
    assert not [name for name in tree(home) if unfinished.fullmatch(name)]
    for lock in home.rglob("*.lock"):
        subprocess.run(["flock", "--nonblock", str(lock), "true"], check=True)


@pytest.mark.slow
def test_four_processes_load_at_once(server: Server, hf_home: Path, prepared: dict[str, Any]) -> None:
    code = "import time, os\nwhile not os.path.exists(args['go']): time.sleep(0.005)\n" + LOAD
    go = hf_home.parent / "go"
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    clients = [start_client(code, home=hf_home, env=env, args={"go": str(go)}) for _ in range(4)]
    go.touch()
    assert [client.wait().result for client in clients] == [prepared] * 4
    assert_clean(hf_home)
    assert server.count(ARCHIVE, "GET") == 1


def crash(server: Server, home: Path, moment: float) -> str:
    """Kill a client, `moment` of the way through its download (below 1) or its generation (from 1 on)."""
    client = start_client(LOAD, home=home, env={"MNIST_IDX_MIRROR": server.url(ARCHIVE)})
    size = len(server.get(ARCHIVE)[0])  # type: ignore[index]
    until = time.monotonic() + 60
    arrow = 20_000_000  # bytes of both splits, prepared

    def done() -> float:
        written = sum(size for name, size in tree(home).items() if name.endswith(".arrow"))
        return 1 + written / arrow if written else min(0.999, server.under_way(ARCHIVE) / size)

    try:
        while client.process.poll() is None and done() < moment:
            assert time.monotonic() < until
            time.sleep(0.002)
        return "finished" if client.process.poll() is not None else "download" if moment < 1 else "generation"
    finally:
        client.kill()


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["download", "generation"])
def test_kill_at_random_moments(phase: str, server: Server, hf_home: Path, prepared: dict[str, Any]) -> None:
    moments = random.Random(20 if phase == "download" else 21)
    server.behave(bandwidth=20e6)
    seen = [crash(server, hf_home, moments.random() + (phase == "generation")) for _ in range(CRASHES // 2)]
    assert seen.count("finished") <= CRASHES // 4
    server.heal()
    assert load(hf_home, server.url(ARCHIVE)).result == prepared
    assert_clean(hf_home)


FULL = {
    "download": (
        "datasets.DownloadManager.download",
        r"{cache}.*: cannot write {url} there: .*No space left.*{ways_out}",
    ),
    "generation": ("datasets.arrow_writer.ArrowWriter.write_table", r"{cache}.*: .*No space left.*{ways_out}"),
    "streaming": ("mnist_idx.mirrors.list_members", r"{url}: cannot be read: .*No space left"),
}


@pytest.mark.parametrize("phase", FULL)
def test_a_full_disk_is_named_with_the_ways_out(
    phase: str, server: Server, tmp_path: Path, mirror: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    mirror(server.url(ARCHIVE))
    name, said = FULL[phase]
    monkeypatch.setattr(name, fail)
    ways_out = "Make room .*cache_dir=.*HF_HOME"
    expected = said.format(cache=re.escape(str(tmp_path)), url=re.escape(server.url(ARCHIVE)), ways_out=ways_out)
    with pytest.raises(mnist_idx.IdxError, match=f"^{expected}"):
        datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path), streaming=phase == "streaming")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_failed_write_is_named_with_the_ways_out(wrapped: bool, tmp_path: Path) -> None:
    error: Exception = OSError(errno.ENOSPC, "No space left on device")
    if wrapped:
        error = mnist_idx.IdxError("cannot be prepared")
        error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    said = pytest.raises(mnist_idx.IdxError, match=r"place: writing failed: .*No space left.*TMPDIR")
    with said, staged(tmp_path / "place", False, lambda path: ""):
        raise error
    assert list(tmp_path.iterdir()) == []
    for other in (mnist_idx.IdxError("wrong"), remote.TransferError("wrong")):
        other.__cause__ = error if isinstance(other, remote.TransferError) else None
        with pytest.raises(type(other), match=r"^wrong$"), staged(tmp_path / "place", False, lambda path: ""):
            raise other


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Callable[[str], Any]]:
    """Mount a file system of its own at `place`. Yields a function that remounts it with other options."""
    place.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


# Where nothing can be mounted, a limit on the size of a file stands in for a full disk.
DISKS = [("6m", None), ("20m", None), ("200m", 6_000_000), ("200m", 15_000_000)]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "limit"), DISKS, ids=["download", "generation"] * 2)
def test_disk_full(size: str, limit: int | None, server: Server, tmp_path: Path, prepared: Any) -> None:
    home = tmp_path / "small"
    with small_disk(home, size) as remount:
        failed = load(home, server.url(ARCHIVE), check=False, file_size=limit)
        reason = "File too large" if limit else "No space left on device"
        assert failed.returncode == 1
        assert [part in failed.error for part in (reason, "cache_dir", str(home))] == [True] * 3
        assert not [name for name in tree(home) if name.endswith(".arrow") and ".incomplete" not in name]
        remount("size=200m")
        assert load(home, server.url(ARCHIVE)).result == prepared
        assert_clean(home)


COMMANDS = """
from mnist_idx.tools.cli import main
result = [main(argv) for argv in args["commands"]]
"""


@pytest.mark.slow
@pytest.mark.parametrize("reason", ["full", "limit"])
def test_disk_full_during_export_and_push(reason: str, mnist_tar: Path, tmp_path: Path, hf_home: Path) -> None:
    place = tmp_path / "place"
    options: dict[str, Any] = {"file_size": 100_000} if reason == "limit" else {}
    commands = [["export", str(place / "digits")], ["push", "user/digits", "--dry-run"]]
    options |= {"args": {"commands": commands}, "env": {"TMPDIR": str(place)}}
    with small_disk(place, "1m" if reason == "full" else "200m"):
        outcome = load(hf_home, str(mnist_tar), code=COMMANDS, **options)
        assert outcome.result == [1, 1]
        assert outcome.stderr.count("writing failed") == outcome.stderr.count("TMPDIR") == 2
        assert list(place.iterdir()) == []


STREAM = """
import datasets, mnist_idx
from clients import digest, digest_arrays
rows = datasets.load_dataset("mnist_idx", split="test", streaming=True)
result = [digest(rows), digest_arrays(*mnist_idx.load_arrays("mnist_idx", split="test", streaming=True))]
"""


@pytest.mark.slow
def test_read_only_home(server: Server, tmp_path: Path, prepared: Any, mnist_arrays: Arrays) -> None:
    """`datasets` takes a lock there even to read and to stream. Nothing else is written to stream."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    with small_disk(home, "200m") as remount:
        for code in (LOAD, STREAM):
            remount("ro")
            failed = load(home, server.url(ARCHIVE), code=code, check=False)
            assert "Read-only file system" in failed.error
            assert str(home) in failed.error
        env = {"HF_DATASETS_CACHE": str(elsewhere)}
        assert (
            load(home, server.url(ARCHIVE), code=STREAM, env=env).result == [digest_arrays(*mnist_arrays["test"])] * 2
        )
        assert [name for name, size in tree(elsewhere).items() if size or not name.endswith(".lock")] == []
        remount("rw")
        assert load(home, server.url(ARCHIVE)).result == prepared
        assert_clean(home)


OFFLINE = """
import datasets, mnist_idx
from clients import fingerprint
result = {"prepared": fingerprint(datasets.load_dataset("mnist_idx"))}
result["tiny"] = {split: len(rows) for split, rows in datasets.load_dataset("mnist_idx", "tiny").items()}
for mode, load in {
    "new": lambda: datasets.load_dataset("mnist_idx", "subset"),
    "streamed": lambda: next(iter(datasets.load_dataset("mnist_idx", split="test", streaming=True))),
    "arrays": lambda: mnist_idx.load_arrays("mnist_idx", streaming=True),
}.items():
    try:
        load()
    except mnist_idx.IdxError as error:
        result[mode] = str(error)
"""


def test_offline(server: Server, hf_home: Path, mirror: Callable[[str], None], prepared: dict[str, Any]) -> None:
    mirror(server.url(ARCHIVE))
    datasets.load_dataset("mnist_idx", cache_dir=str(hf_home / "datasets"))
    for download in hf_home.rglob("downloads/*"):
        download.unlink()
    server.forget()
    result = load(hf_home, server.url(ARCHIVE), code=OFFLINE, env={"HF_HUB_OFFLINE": "1"}).result
    assert result.pop("prepared") == prepared
    assert result.pop("tiny") == TINY_COUNTS
    assert len(result) == 3
    for message in result.values():
        assert message.count("not fetched, because HF_HUB_OFFLINE is set") == 4, message
        assert 'load the miniature "tiny"' in message
    assert server.count() == 0


@pytest.mark.parametrize("years", [-30, 30])
def test_files_of_another_time(
    years: int, server: Server, tmp_path: Path, mirror: Callable[[str], None], prepared: dict[str, Any]
) -> None:
    mirror(server.url(ARCHIVE))
    for _ in range(2):
        assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared
        moment = time.time() + years * 365 * 86400
        for path in tmp_path.rglob("*"):
            os.utime(path, (moment, moment))
    assert server.count(ARCHIVE, "GET") == 1


@pytest.mark.slow
def test_a_clock_that_jumps(server: Server, hf_home: Path, tmp_path: Path, prepared: dict[str, Any]) -> None:
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        pytest.skip("libfaketime is not installed, which is for Linux on x86-64 only")
    library = next(Path(found.origin).parent.rglob("libfaketime.so*"))
    clock = tmp_path / "clock"
    clock.write_text("-10y")
    env = {
        "MNIST_IDX_MIRROR": server.url(ARCHIVE),
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    server.behave(bandwidth=15e6)
    timed = "import time\nbegan = time.time()\n" + LOAD + "\nresult['jump'] = time.time() - began"
    client = start_client(timed, home=hf_home, env=env)
    for jump in ("+10y", "-20y", "+1d"):
        time.sleep(1)
        temporary = clock.with_suffix(".new")
        temporary.write_text(jump)
        temporary.rename(clock)
    outcome = client.wait()
    assert abs(outcome.result.pop("jump")) > 365 * 86400
    assert outcome.result == prepared
    server.heal()
    assert load(hf_home, server.url(ARCHIVE)).result == prepared
    assert_clean(hf_home)


def test_cache_entries_that_lack_a_file(tmp_path: Path) -> None:
    """`datasets` prepares again what has no description, and names a missing file of data."""

    def load_tiny(**options: Any) -> dict[str, int]:
        return datasets.load_dataset("mnist_idx", "tiny", cache_dir=str(tmp_path), **options).num_rows

    load_tiny()
    next(tmp_path.rglob("dataset_info.json")).unlink()
    assert load_tiny() == TINY_COUNTS
    files = list(tmp_path.rglob("*.arrow"))
    for file in files:
        file.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_tiny()
    assert any(str(file) in str(caught.value) for file in files)
    assert load_tiny(download_mode="force_redownload") == TINY_COUNTS


SOAK = """
import gc, hashlib, os, datasets, mnist_idx
from clients import digest
mnist_idx.remote.RETRY_DELAYS = (0.01,) * 4
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
def sockets():
    entries = list(os.scandir("/proc/self/fd"))
    return sum(os.path.islink(entry) and os.readlink(entry).startswith("socket:") for entry in entries)
stream = datasets.load_dataset("mnist_idx", split="test", streaming=True).with_format("arrow")
result = []
for epoch in range(args["epochs"]):
    hashed = hashlib.sha256()
    def rows():
        for table in stream.iter(batch_size=1000):
            for row in table.to_pylist():
                hashed.update(row["image"]["bytes"] + bytes([row["label"]]))
                yield row
    # Each epoch is compared byte by byte with the first, whose images are decoded and compared with the archive.
    found = digest(rows()) if epoch == 0 else sum(1 for _ in rows())
    gc.collect()
    result.append([hashed.hexdigest(), found, resident(), sockets()])
"""


@pytest.mark.slow
def test_soak(server: Server, hf_home: Path, mnist_arrays: Arrays) -> None:
    server.faults = faults = RandomFaults(seed=5, one_in=20)
    outcome = load(hf_home, server.url(ARCHIVE), code=SOAK, args={"epochs": EPOCHS}, timeout=3600)
    epochs, counts, memory, sockets = zip(*outcome.result, strict=True)
    assert counts == (digest_arrays(*mnist_arrays["test"]), *[10_000] * (EPOCHS - 1))
    assert set(epochs) == {epochs[0]}
    assert sum(faults.injected.values()) >= EPOCHS // 4
    settled = EPOCHS // 5
    assert max(memory[settled:]) - memory[settled] < 16 << 20
    assert max(sockets[settled:]) <= max(sockets[: settled + 1]) + 2
