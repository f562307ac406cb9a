"""Faults while working: crashes, full and read-only disks, no network, odd clocks, old caches, unreliable servers.

After each of them the next normal run gives the exact data set. FAULTS.md tells what happens, fault by fault.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import ROOT, Outcome, digest_arrays, run_client, start_client, tree
from conftest import ARCHIVE
from http_server import RandomFaults, Server

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]

# How many random moments to crash at, and how many epochs to stream: set higher for a longer run.
CRASHES = int(os.environ.get("MNIST_IDX_CRASHES", "8"))
EPOCHS = int(os.environ.get("MNIST_IDX_EPOCHS", "50"))

LOAD = """
import os, sys
import datasets
import mnist_idx
from clients import fingerprint
result = fingerprint(datasets.load_dataset("mnist_idx", **args.get("options", {})))
"""


def load(home: Path, mirror: str | None, check: bool = True, code: str = LOAD, **options: Any) -> Outcome:
    env = ({"MNIST_IDX_MIRROR": mirror} if mirror else {}) | options.pop("env", {})
    return run_client(code, home=home, env=env, check=check, **options)


def assert_clean(home: Path) -> None:
    """Nothing half-done is left, and no process holds a lock."""
    leftovers = [
        name
        for name in tree(home)
        if name.endswith(".incomplete") or ".incomplete/" in name or Path(name).name.startswith("tmp")
    ]
    assert not leftovers
    for lock in home.rglob("*.lock"):
        subprocess.run(["flock", "--nonblock", str(lock), "true"], check=True)


# Several at once


def test_four_processes_load_at_once(server: Server, hf_home: Path, prepared: dict[str, Any]) -> None:
    code = "import time, os\nwhile not os.path.exists(args['go']): time.sleep(0.005)\n" + LOAD
    go = hf_home.parent / "go"
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    clients = [start_client(code, home=hf_home, env=env, args={"go": str(go)}) for _ in range(4)]
    go.touch()
    assert [client.wait().result for client in clients] == [prepared] * 4
    assert_clean(hf_home)
    assert server.count(ARCHIVE, "GET") == 1


# Crashes


def crash(server: Server, home: Path, moment: float) -> str:
    """Kill a client, `moment` of the way through its download (below 1) or its generation (from 1 on)."""
    client = start_client(LOAD, home=home, env={"MNIST_IDX_MIRROR": server.url(ARCHIVE)})
    size = len(server.get(ARCHIVE)[0])  # type: ignore[index]
    until = time.monotonic() + 60
    arrow = 20_000_000  # bytes of both splits, prepared

    def done() -> float:
        written = sum(n for name, n in tree(home).items() if name.endswith(".arrow"))
        return 1 + written / arrow if written else min(0.999, server.under_way(ARCHIVE) / size)

    try:
        while client.process.poll() is None and done() < moment:
            assert time.monotonic() < until
            time.sleep(0.002)
        return "finished" if client.process.poll() is not None else "download" if moment < 1 else "generation"
    finally:
        client.kill()


@pytest.mark.parametrize("phase", ["download", "generation"])
def test_kill_at_random_moments(phase: str, server: Server, hf_home: Path, prepared: dict[str, Any]) -> None:
    moments = random.Random(20 if phase == "download" else 21)
    server.behave(bandwidth=20e6)
    seen = [crash(server, hf_home, moments.random() + (phase == "generation")) for _ in range(CRASHES // 2)]
    print(seen)
    assert seen.count("finished") <= CRASHES // 4
    server.heal()
    assert load(hf_home, server.url(ARCHIVE)).result == prepared
    assert_clean(hf_home)


# Disks


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Callable[[str], None]]:
    """Mount a file system of its own at `place`. Yields a function that remounts it with other options."""
    place.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True) and None
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize(("size", "phase"), [("6m", "download"), ("20m", "generation")])
def test_disk_full(size: str, phase: str, server: Server, tmp_path: Path, prepared: dict[str, Any]) -> None:
    home = tmp_path / "small"
    with small_disk(home, size) as remount:
        failed = load(home, server.url(ARCHIVE), check=False)
        assert failed.returncode == 1
        assert "No space left on device" in failed.error
        assert "cache_dir" in failed.error
        assert str(home) in failed.error
        assert not [name for name in tree(home) if name.endswith(".arrow") and ".incomplete" not in name]
        remount("size=200m")
        assert load(home, server.url(ARCHIVE)).result == prepared
        assert_clean(home)


@pytest.mark.parametrize(("limit", "phase"), [(6_000_000, "download"), (15_000_000, "generation")])
def test_file_size_limit(limit: int, phase: str, server: Server, hf_home: Path, prepared: dict[str, Any]) -> None:
    """A quota on the size of a file, as a stand-in for a full disk where nothing can be mounted."""
    failed = load(hf_home, server.url(ARCHIVE), check=False, file_size=limit)
    assert failed.returncode == 1
    assert "File too large" in failed.error
    assert str(hf_home) in failed.error
    assert load(hf_home, server.url(ARCHIVE)).result == prepared
    assert_clean(hf_home)


def test_read_only_cache(server: Server, tmp_path: Path, prepared: dict[str, Any]) -> None:
    home = tmp_path / "home"
    with small_disk(home, "200m") as remount:
        remount("ro")
        failed = load(home, server.url(ARCHIVE), check=False)
        assert failed.returncode == 1
        assert "Read-only file system" in failed.error
        assert str(home) in failed.error
        remount("rw")
        assert load(home, server.url(ARCHIVE)).result == prepared
        assert_clean(home)


STREAM = """
import datasets, mnist_idx
from clients import digest, digest_arrays
rows = datasets.load_dataset("mnist_idx", split="test", streaming=True)
result = [digest(rows), digest_arrays(*mnist_idx.load_arrays("test", streaming=True))]
"""


def test_read_only_home(server: Server, tmp_path: Path, mnist_arrays: Arrays) -> None:
    """`datasets` takes a lock in its cache even to stream; streaming writes nothing besides, so any folder will do."""
    test = digest_arrays(*mnist_arrays["test"])
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    with small_disk(home, "1m") as remount:
        remount("ro")
        failed = load(home, server.url(ARCHIVE), code=STREAM, check=False)
        assert f"Read-only file system: '{home}" in failed.error
        env = {"HF_DATASETS_CACHE": str(elsewhere)}
        assert load(home, server.url(ARCHIVE), code=STREAM, env=env).result == [test, test]
    assert [name for name, size in tree(elsewhere).items() if size or not name.endswith(".lock")] == []


def test_prepared_cache_that_has_become_read_only(server: Server, tmp_path: Path, prepared: dict[str, Any]) -> None:
    home = tmp_path / "home"
    with small_disk(home, "200m") as remount:
        load(home, server.url(ARCHIVE))
        remount("ro")
        again = load(home, server.url(ARCHIVE), check=False)
        if again.returncode:
            assert f"Read-only file system: '{home}" in again.error
        else:
            assert again.result == prepared


# Network


def test_no_network_after_the_first_load(
    serve: Callable[..., Server], mnist_tar: Path, hf_home: Path, prepared: dict[str, Any]
):
    with Server({ARCHIVE: mnist_tar}) as server:
        address = server.url(ARCHIVE)
        assert load(hf_home, address).result == prepared
    offline = {"HF_HUB_OFFLINE": "1"}
    assert load(hf_home, address, env=offline).result == prepared
    assert load(hf_home, None, env=offline).result == prepared
    assert load(hf_home, address).result == prepared  # the server is gone


def test_offline_without_a_first_load(hf_home: Path) -> None:
    failed = load(hf_home, None, check=False, env={"HF_HUB_OFFLINE": "1"})
    assert failed.returncode == 1
    assert "HF_HUB_OFFLINE" in failed.error
    assert "tiny" in failed.error
    tiny = "import datasets, mnist_idx\nresult = len(datasets.load_dataset('mnist_idx', 'tiny', split='train'))"
    assert load(hf_home, None, code=tiny, env={"HF_HUB_OFFLINE": "1"}).result == 1000


# Clocks


@pytest.mark.parametrize("years", [-30, 30])
def test_files_of_another_time(years: int, server: Server, hf_home: Path, prepared: dict[str, Any]) -> None:
    assert load(hf_home, server.url(ARCHIVE)).result == prepared
    moment = time.time() + years * 365 * 86400
    for path in hf_home.rglob("*"):
        os.utime(path, (moment, moment))
    assert load(hf_home, server.url(ARCHIVE)).result == prepared
    assert server.count(ARCHIVE, "GET") == 1


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
    client = start_client(
        "import time\nbegan = time.time()\n" + LOAD + "\nresult['jump'] = time.time() - began", home=hf_home, env=env
    )
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


# Caches of other versions


def test_cache_of_another_version_of_the_package(
    mnist_tar: Path, hf_home: Path, tmp_path: Path, prepared: dict[str, Any]
) -> None:
    """An older package has prepared something else under the same names: it is neither used nor harmed."""
    old = tmp_path / "old"
    shutil.copytree(ROOT / "mnist_idx", old / "mnist_idx", ignore=shutil.ignore_patterns("__pycache__"))
    png = old / "mnist_idx" / "png.py"
    png.write_text(png.read_text() + "\n\ndel encode_png\nfrom ._old import encode_png  # noqa\n")
    (old / "mnist_idx" / "_old.py").write_text(
        "import importlib.util, pathlib\n"
        "def encode_png(block):\n"
        "    import io, PIL.Image\n"
        "    out = []\n"
        "    for image in block:\n"
        "        file = io.BytesIO()\n"
        "        PIL.Image.fromarray(255 - image).save(file, 'PNG')\n"
        "        out.append(file.getvalue())\n"
        "    return out\n"
    )
    env = {"PYTHONPATH": f"{old}{os.pathsep}{ROOT / 'tests'}"}
    small = {"options": {"name": "subset", "num_samples": 50}}
    before = load(hf_home, str(mnist_tar), env=env, args=small).result
    now = load(hf_home, str(mnist_tar), args=small).result
    assert before != now
    assert load(hf_home, str(mnist_tar)).result == prepared
    assert load(hf_home, str(mnist_tar), env=env, args=small).result == before


def test_cache_entry_without_its_description(mnist_tar: Path, hf_home: Path, prepared: dict[str, Any]) -> None:
    load(hf_home, str(mnist_tar))
    next(hf_home.rglob("dataset_info.json")).unlink()
    assert load(hf_home, str(mnist_tar)).result == prepared


def test_cache_entry_without_its_data(mnist_tar: Path, hf_home: Path, prepared: dict[str, Any]) -> None:
    """`datasets` goes by the description, and says which file is missing."""
    load(hf_home, str(mnist_tar))
    files = list(hf_home.rglob("*.arrow"))
    for file in files:
        file.unlink()
    failed = load(hf_home, str(mnist_tar), check=False)
    assert any(str(file) in failed.error for file in files)
    forced = {"options": {"download_mode": "force_redownload"}}
    assert load(hf_home, str(mnist_tar), args=forced).result == prepared


# An unreliable server for a long time

SOAK = """
import gc, hashlib, os, datasets, mnist_idx
from clients import digest
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
def sockets():
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass
    return sum(link.startswith("socket:") for link in links)
stream = datasets.load_dataset("mnist_idx", split=args["split"], streaming=True).with_format("arrow")
result = []
for epoch in range(args["epochs"]):
    hashed = hashlib.sha256()
    def rows():
        for table in stream.iter(batch_size=1000):
            for row in table.to_pylist():
                hashed.update(row["image"]["bytes"] + bytes([row["label"]]))
                yield row
    # Each epoch is compared byte by byte with the first, whose pictures are drawn and compared with the archive.
    found = digest(rows()) if epoch == 0 else sum(1 for _ in rows())
    gc.collect()
    result.append([hashed.hexdigest(), found, resident(), sockets()])
"""


@pytest.mark.slow
def test_soak(server: Server, hf_home: Path, mnist_arrays: Arrays) -> None:
    server.faults = faults = RandomFaults(seed=5, one_in=20)
    outcome = load(hf_home, server.url(ARCHIVE), code=SOAK, args={"split": "test", "epochs": EPOCHS}, timeout=3600)
    epochs, counts, memory, sockets = zip(*outcome.result, strict=True)
    print(f"{len(epochs)} epochs, {server.count()} requests, faults {dict(faults.injected)}")
    print(f"memory {memory[0]:,} ... {memory[-1]:,}, sockets {sockets[0]} ... {sockets[-1]}, {outcome.seconds:.0f} s")
    assert len(epochs) == EPOCHS
    assert counts == (digest_arrays(*mnist_arrays["test"]), *[10_000] * (EPOCHS - 1))
    assert set(epochs) == {epochs[0]}
    assert sum(faults.injected.values()) >= EPOCHS // 4
    settled = EPOCHS // 5
    assert max(memory[settled:]) - memory[settled] < 16 << 20
    assert max(sockets[settled:]) <= max(sockets[: settled + 1]) + 2
