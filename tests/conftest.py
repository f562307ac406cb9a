"""Fixtures of all tests: the real archive, an independent reader of it, a server, clients with
caches of their own.
"""

import atexit
import gzip
import os
import re
import sys
import tarfile
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import ROOT, datasets_version, digest_arrays, digest_table, fingerprint
from http_server import Server
from hypothesis import HealthCheck, settings
from idx_files import make_tar
from representatives import choose_representatives

# What is imported above does not import `datasets`, which reads this: tests never touch the user's
# cache.
_HOME = tempfile.TemporaryDirectory(prefix="mnist-idx-tests-")
atexit.register(_HOME.cleanup)
os.environ["HF_HOME"] = _HOME.name
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ.pop("MNIST_IDX_MIRROR", None)

# They end processes by signals, limit them, and take links and permissions of POSIX for granted.
collect_ignore = ["system"] if sys.platform == "win32" else []

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]  # split -> (images, labels)

ARCHIVE_VARIABLE = "MNIST_IDX_TEST_ARCHIVE"
ARCHIVE = "/mnist_database.tar"
MEMBERS = {
    "train": ("data/train-images-idx3-ubyte.gz", "data/train-labels-idx1-ubyte.gz"),
    "test": ("data/t10k-images-idx3-ubyte.gz", "data/t10k-labels-idx1-ubyte.gz"),
}

# How many examples properties are tried with: few each time, more where slow tests run, too.
settings.register_profile(
    "default", deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=100)
settings.register_profile(
    "exhaustive", deadline=None, max_examples=2000, suppress_health_check=list(HealthCheck)
)

# Virtual environments with other versions of `datasets`, as paths of their interpreters joined by
# colons.
COMPAT = [path for path in os.environ.get("MNIST_IDX_COMPAT_PYTHON", "").split(os.pathsep) if path]


def pytest_configure(config: pytest.Config) -> None:
    chosen = re.findall(r"(?:not )?\w+", config.option.markexpr)
    profile = "thorough" if "slow" in chosen or os.environ.get("CI") else "default"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", profile))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "python" in metafunc.fixturenames:
        compat = metafunc.definition.get_closest_marker("compat") is not None
        interpreters = COMPAT if compat and COMPAT else [sys.executable]
        ids = [f"datasets-{datasets_version(python)}" for python in interpreters]
        metafunc.parametrize("python", interpreters, ids=ids)


def values_of(case: pytest.Function) -> dict[str, Hashable]:
    """What tells the values of a case: of its parametrized fixtures, and of each `parametrize`."""
    params = dict(case.callspec.params)
    values: dict[str, Hashable] = {}
    for mark in case.iter_markers("parametrize"):
        names = mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0]
        values[str(names)] = tuple(id(params.pop(name.strip())) for name in names)
    return values | {name: id(value) for name, value in params.items()}


@pytest.hookimpl(tryfirst=True)  # before marks decide what runs
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what combines parameters, but for a few cases with each value of each parameter.

    The tests of single modules are fast enough to run whole.
    """
    tests: dict[object, list[pytest.Function]] = defaultdict(list)
    for item in items:
        is_whole = item.path.parent.name == "unit" or item.get_closest_marker("slow")
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and not is_whole:
            tests[item.function].append(item)
    for cases in tests.values():
        chosen = choose_representatives([values_of(case) for case in cases])
        for number, case in enumerate(cases):
            if number not in chosen:
                case.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def retry_without_waiting() -> Iterator[None]:
    """Import the package for all tests, which registers its names, and let it be impatient."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_idx.remote.RETRY_DELAYS", (0.0,) * 4)
        yield


@pytest.fixture(scope="session")
def mnist_tar(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real archive, which is not part of the repository."""
    archive = Path(
        os.environ.get(ARCHIVE_VARIABLE, ROOT.parent / "shared" / "data" / "mnist_database.tar")
    )
    if not archive.exists():
        if pytestconfig.pluginmanager.has_plugin("cacheprovider"):
            folder = pytestconfig.cache.mkdir("mnist_idx")  # is kept for the next run
        else:
            folder = tmp_path_factory.mktemp("archive")
        archive = folder / "mnist_database.tar"
        if not archive.exists():
            _download_archive(archive)
    return archive


def _download_archive(target: Path) -> None:
    """Let the package download and verify the published files, and keep them as a tar."""
    from mnist_idx import IdxError, MnistIdx
    from mnist_idx.members import Access, open_stored

    builder = MnistIdx()
    try:
        splits = builder.locate(builder.make_fetcher(streaming=False)).splits
    except IdxError as error:
        advice = f"no network. Set {ARCHIVE_VARIABLE} to a copy of mnist_database.tar"
        warnings.warn(
            f"Tests on the real archive are skipped: {advice}.", stacklevel=1
        )  # shown in the summary
        pytest.skip(str(error))
    files = {}
    for split, names in MEMBERS.items():
        for name, member in zip(names, splits[split][:2], strict=True):
            with open_stored(member, Access()) as stored:
                files[name] = stored.readall()
    target.with_suffix(".part").write_bytes(make_tar(files))
    target.with_suffix(".part").replace(target)


@pytest.fixture(scope="session")
def mnist_files(mnist_tar: Path) -> dict[str, bytes]:
    """Member name -> its bytes as stored (gzip)."""
    with tarfile.open(mnist_tar) as tar:
        # type: ignore[union-attr]
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}


@pytest.fixture(scope="session")
def mnist_arrays(mnist_files: dict[str, bytes]) -> Arrays:
    """Split -> (images (N, 28, 28), labels (N,)), read without any of the package's code."""
    arrays = {}
    for split, (images, labels) in MEMBERS.items():
        pixels = np.frombuffer(gzip.decompress(mnist_files[images]), np.uint8, offset=16).reshape(
            -1, 28, 28
        )
        arrays[split] = (
            pixels,
            np.frombuffer(gzip.decompress(mnist_files[labels]), np.uint8, offset=8),
        )
    return arrays


@pytest.fixture(scope="session")
def prepared(
    mnist_tar: Path, mnist_arrays: Arrays, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The fingerprint of the prepared dataset, once it has been compared with the archive."""
    import datasets

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_IDX_MIRROR", str(mnist_tar))
        rows = datasets.load_dataset(
            "mnist_idx", cache_dir=str(tmp_path_factory.mktemp("prepared"))
        )
    for split, arrays in mnist_arrays.items():
        assert digest_table(rows[split]) == digest_arrays(*arrays)
    return fingerprint(rows)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test: `server = serve({"/path": bytes_or_file})`."""
    with ExitStack() as stack:
        yield lambda content=None: stack.enter_context(Server(content))


@pytest.fixture
def server(serve: Callable[..., Server], mnist_tar: Path) -> Server:
    """A server that has the real archive at `ARCHIVE`."""
    return serve({ARCHIVE: mnist_tar})


@pytest.fixture
def hf_home(tmp_path: Path) -> Path:
    """An empty `HF_HOME` for the clients of one test."""
    home = tmp_path / "hf_home"
    home.mkdir()
    return home


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Point the package, in this process, at a mirror."""
    return lambda location: monkeypatch.setenv("MNIST_IDX_MIRROR", str(location))
