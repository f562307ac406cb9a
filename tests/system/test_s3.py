"""IDX files in S3: a bucket of moto's server, behind s3fs."""

import contextlib
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import fsspec
import pytest
from datasets.distributed import split_dataset_by_node
from idx_files import make_tar, to_idx
from loading import Arrays
from remote_sets import IMAGES, LABELS, WAYS, make_set, read, read_or_refuse, stack, which

import mnist_idx

pytestmark = pytest.mark.beyond
OLD, NEW = make_set(1), make_set(2)
Options = dict[str, Any]
StartS3 = Callable[[], str]
each_way = pytest.mark.parametrize("way", WAYS)
each_form = pytest.mark.parametrize("form", ["set.tar", "set"])


@pytest.fixture(scope="module")
def start_s3() -> Iterator[StartS3]:
    """Start servers without a bucket: each is a process, since moto keeps all that a process has in
    one place.
    """
    pytest.importorskip("s3fs", reason="reads s3://")
    pytest.importorskip("moto.server", reason="serves s3://")
    processes = []

    def start() -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        processes.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert processes[-1].poll() is None
            time.sleep(0.1)
        return f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def endpoint(start_s3: StartS3) -> str:
    """The URL of a server."""
    return start_s3()


@pytest.fixture(scope="module")
def elsewhere(start_s3: StartS3) -> str:
    """The URL of another server."""
    return start_s3()


def access(endpoint: str, secret: str = "secret", **options: Any) -> Options:
    return {"key": "key", "secret": secret, "endpoint_url": endpoint, **options}


def put(endpoint: str, form: str, arrays: Arrays) -> str:
    """Put a set into the bucket, as a client of its own. Returns its URL."""
    fs = fsspec.filesystem(
        "s3", **access(endpoint), skip_instance_cache=True, use_listings_cache=False
    )
    if not fs.exists("bucket"):
        fs.mkdir("bucket")
    contents = dict(zip((IMAGES[1:], LABELS[1:]), map(to_idx, arrays["train"]), strict=True))
    if form.endswith(".tar"):
        fs.pipe(f"bucket/{form}", make_tar(contents))
    else:
        fs.pipe({f"bucket/{form}/{name}": content for name, content in contents.items()})
    return f"s3://bucket/{form}"


@each_form
@each_way
def test_records_are_read_from_s3(way: str, form: str, endpoint: str, tmp_path: Path) -> None:
    options = {"data_dir": put(endpoint, form, OLD), "cache_dir": str(tmp_path)}
    for storage_options in (access(endpoint), {"s3": access(endpoint)}):
        assert which(read(way, **options, storage_options=storage_options), OLD) == 0


@each_way
def test_single_objects_are_read_from_s3(way: str, endpoint: str, tmp_path: Path) -> None:
    folder = put(endpoint, "set", OLD)
    options = {
        "data_files": {"train": [folder + IMAGES, folder + LABELS]},
        "cache_dir": str(tmp_path),
    }
    assert which(read(way, **options, storage_options=access(endpoint)), OLD) == 0


@each_form
def test_objects_replaced_while_they_are_streamed_are_not_mixed(form: str, endpoint: str) -> None:
    old, new = make_set(1, 4000), make_set(2, 4000)
    options = {"data_dir": put(endpoint, form, old), "storage_options": access(endpoint)}
    rows = iter(
        datasets.load_dataset("idxfolder", split="train", streaming=True, as_array=True, **options)
    )
    taken = [next(rows)]
    put(endpoint, form, new)
    try:
        taken += list(rows)
    except mnist_idx.IdxError:
        return
    assert which(stack(taken), old, new) >= 0


@each_form
def test_objects_replaced_between_two_workers_are_not_mixed(form: str, endpoint: str) -> None:
    options = {
        "data_dir": put(endpoint, form, OLD),
        "storage_options": access(endpoint),
        "num_shards": 2,
    }
    rows = datasets.load_dataset(
        "idxfolder", split="train", streaming=True, as_array=True, **options
    )
    parts = [split_dataset_by_node(rows, rank, 2) for rank in range(2)]
    taken = list(parts[0])
    put(endpoint, form, NEW)
    try:
        taken += list(pickle.loads(pickle.dumps(parts[1])))
    except mnist_idx.IdxError:
        return
    assert which(stack(taken), OLD, NEW) >= 0


@each_way
def test_an_object_kept_by_an_earlier_load_is_not_mixed_with_a_new_one(
    way: str, endpoint: str, tmp_path: Path
) -> None:
    folder = put(endpoint, "kept", OLD)
    options = {"storage_options": access(endpoint), "cache_dir": str(tmp_path)}
    read(way, data_files={"train": [folder + IMAGES]}, **options)
    put(endpoint, "kept", NEW)
    found = read_or_refuse(way, data_files={"train": [folder + IMAGES, folder + LABELS]}, **options)
    assert found is None or which(found, OLD, NEW) >= 0


@each_form
@each_way
@pytest.mark.parametrize("given_in", ["endpoint_url", "client_kwargs"])
def test_a_bucket_of_the_same_name_elsewhere_is_another(
    given_in: str, way: str, form: str, endpoint: str, elsewhere: str, tmp_path: Path
) -> None:
    for server, arrays in ((endpoint, OLD), (elsewhere, NEW)):
        storage_options = access(server)
        if given_in == "client_kwargs":
            storage_options["client_kwargs"] = {"endpoint_url": storage_options.pop("endpoint_url")}
        options = {"data_dir": put(server, form, arrays), "storage_options": storage_options}
        assert which(read(way, **options, cache_dir=str(tmp_path)), OLD, NEW) == (arrays is NEW)


@each_form
def test_a_new_password_finds_what_was_prepared(form: str, endpoint: str, tmp_path: Path) -> None:
    found = []
    url = put(endpoint, form, OLD)
    for secret in ("secret", "rotated"):
        storage_options = access(endpoint, secret, token=f"{secret} token")
        options = {"data_dir": url, "storage_options": storage_options, "cache_dir": str(tmp_path)}
        rows = datasets.load_dataset("idxfolder", split="train", **options)
        found.append(rows.cache_files)
    assert found[0] == found[1]
