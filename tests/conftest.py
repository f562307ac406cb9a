"""Fixtures of all tests: MNIST and its stand-in, a server, clients with caches of their own.

What decides which tests run is here as well.
"""

import atexit
import os
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import real_archive
from clients import ROOT, datasets_version, digest_arrays, digest_table, fingerprint
from http_server import Server
from hypothesis import HealthCheck, settings
from representatives import choose_representatives
from stand_in import MEMBERS, Arrays, StandIn, make_stand_in, read_archive, to_arrays
from stand_in_catalog import CATALOG_VARIABLE, described

__all__ = ["ARCHIVE", "MEMBERS", "Arrays"]  # what tests import from here

# What is imported above does not import `datasets`, which reads this: tests never touch the user's
# cache.
_HOME = tempfile.TemporaryDirectory(prefix="mnist-idx-tests-")
atexit.register(_HOME.cleanup)
os.environ["HF_HOME"] = _HOME.name
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ.pop("MNIST_IDX_MIRROR", None)

# They end processes by signals, limit them, and take links and permissions of POSIX for granted.
collect_ignore = ["system"] if sys.platform == "win32" else []

ARCHIVE = "/mnist_database.tar"  # the path on servers

# How many examples properties are tried with: few each time, more where slow tests run, too.
settings.register_profile(
    "default", deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=100)
settings.register_profile(
    "exhaustive", deadline=None, max_examples=2000, suppress_health_check=list(HealthCheck)
)

# Virtual environments with other versions of `datasets`, as paths of their interpreters joined by
# colons.
COMPAT = [path for path in os.environ.get("MNIST_IDX_COMPAT_PYTHON", "").split(os.pathsep) if path]

# What is not at hand -> how many tests are left out for it. The lines end the report.
LEFT_OUT: Counter[str] = Counter()
NO_ARCHIVE = f"the real MNIST archive: set {real_archive.VARIABLE} to a copy of mnist_database.tar"
NO_SCRIPTS = (
    "datasets 3, which runs loading scripts: "
    "set MNIST_IDX_COMPAT_PYTHON to the Python of an environment that has it"
)


def pytest_configure(config: pytest.Config) -> None:
    chosen = re.findall(r"(?:not )?\w+", config.option.markexpr)
    profile = "thorough" if "slow" in chosen or os.environ.get("CI") else "default"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", profile))
    if not is_worker(config):
        real_archive.download_if_asked(config)


def is_worker(config: pytest.Config) -> bool:
    """Whether this is a process that pytest-xdist has started."""
    return hasattr(config, "workerinput")


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


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Mark what is slow before marks decide what runs; then leave out what cannot run here."""
    mark_combinations_as_slow(items)
    yield
    leave_out(config, items)


# Files that cost too much to run each time.
DEAR = {"test_ranges", "test_failover", "test_export_pictures", "test_publish", "test_integrity"}
DEAR |= {"test_mirrors", "test_export_shards"}


def mark_combinations_as_slow(items: list[pytest.Item]) -> None:
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
    for item in items:
        is_dear = item.path.parent.name == "system" or item.path.stem in DEAR
        if is_dear and item.get_closest_marker("slow") is None:
            item.add_marker("slow")
            item.add_marker("guard")  # Faults that are planted are looked for with it all the same.


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out of `items` the tests that need what is not at hand, and count them."""
    has_archive = real_archive.find(config) is not None
    kept, left_out = [], []
    for item in items:
        lacks = what_lacks(item, has_archive)
        if lacks is None:
            kept.append(item)
        else:
            left_out.append(item)
            LEFT_OUT[lacks] += 1
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def what_lacks(item: pytest.Item, has_archive: bool) -> str | None:
    """What a test needs that is not at hand."""
    if "real_tar" in getattr(item, "fixturenames", ()) and not has_archive:
        return NO_ARCHIVE
    if item.get_closest_marker("scripts") and isinstance(item, pytest.Function):
        version = datasets_version(item.callspec.params["python"])
        if not version.startswith("3."):
            return NO_SCRIPTS
    return None


def pytest_sessionfinish(session: pytest.Session) -> None:
    if is_worker(session.config):
        session.config.workeroutput["left_out"] = dict(LEFT_OUT)  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of pytest-xdist has left out: all of them the same."""
    LEFT_OUT.update(Counter(getattr(node, "workeroutput", {}).get("left_out")) - LEFT_OUT)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for lacks, count in LEFT_OUT.items():
        tests = "1 test needs" if count == 1 else f"{count} tests need"
        terminalreporter.write_line(f"Not run: {tests} {lacks}.")


@pytest.fixture(scope="session", autouse=True)
def retry_without_waiting() -> Iterator[None]:
    """Import the package for all tests, which registers its names, and let it be impatient."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_idx.remote.RETRY_DELAYS", (0.0,) * 4)
        yield


@pytest.fixture(scope="session")
def real_tar(pytestconfig: pytest.Config) -> Path:
    """The real MNIST archive, which is not part of the repository. See `leave_out`."""
    archive = real_archive.find(pytestconfig)
    assert archive is not None
    return archive


@pytest.fixture(scope="session")
def real_files(real_tar: Path) -> dict[str, bytes]:
    """Member name -> content as stored (gzip), of the real MNIST archive."""
    return read_archive(real_tar)


@pytest.fixture(scope="session")
def real_arrays(real_files: dict[str, bytes]) -> Arrays:
    """The records of MNIST, read without any of the package's code."""
    return to_arrays(real_files)


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """The stand-in for MNIST. The catalog of this process does not describe it yet."""
    folder = tmp_path_factory.mktemp("stand_in")
    return make_stand_in(folder, ROOT / "mnist_idx" / "data" / "mnist_tiny.tar")


@contextmanager
def describing(stand_in: StandIn, cache: Path) -> Iterator[None]:
    """Let the catalog describe the stand-in as MNIST, here and in clients that start meanwhile.

    Args:
        cache: of what this process prepares meanwhile, which is not what it takes for MNIST later.
    """
    from mnist_idx.catalog import DATASETS

    with pytest.MonkeyPatch.context() as patch:
        for name, dataset in described(stand_in.facts).items():
            patch.setitem(DATASETS, name, dataset)
        patch.setenv(CATALOG_VARIABLE, str(stand_in.facts))
        patch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
        yield


@pytest.fixture(scope="session")
def cache_of_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of `datasets` in tests on the stand-in."""
    return tmp_path_factory.mktemp("cache_of_stand_in")


@pytest.fixture
def published(stand_in: StandIn, cache_of_stand_in: Path) -> Iterator[StandIn]:
    """The stand-in, which is taken for MNIST during the test."""
    with describing(stand_in, cache_of_stand_in):
        yield stand_in


@pytest.fixture
def mnist_tar(published: StandIn) -> Path:
    """The archive that is taken for MNIST during the test."""
    return published.tar


@pytest.fixture
def mnist_files(published: StandIn) -> dict[str, bytes]:
    """Member name -> content as stored (gzip), of the archive that is taken for MNIST."""
    return published.files


@pytest.fixture
def mnist_arrays(published: StandIn) -> Arrays:
    """The records in the archive that is taken for MNIST: (N, 28, 28) and (N,)."""
    return published.arrays


@pytest.fixture(scope="session")
def prepared(
    stand_in: StandIn, cache_of_stand_in: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The fingerprint of the prepared stand-in, once it has been compared with its records."""
    import datasets

    with describing(stand_in, cache_of_stand_in), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_IDX_MIRROR", str(stand_in.tar))
        cache_dir = str(tmp_path_factory.mktemp("prepared"))
        rows = datasets.load_dataset("mnist_idx", cache_dir=cache_dir)
    for split, arrays in stand_in.arrays.items():
        assert digest_table(rows[split]) == digest_arrays(*arrays)
    return fingerprint(rows)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test: `server = serve({"/path": bytes_or_file})`."""
    with ExitStack() as stack:
        yield lambda content=None: stack.enter_context(Server(content))


@pytest.fixture
def server(serve: Callable[..., Server], mnist_tar: Path) -> Server:
    """A server that has at `ARCHIVE` what is taken for MNIST."""
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
