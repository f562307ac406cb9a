"""A file or folder that appears whole or not at all."""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import IdxError, TransferError, is_local_failure

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
# What is written stands in a folder of this name first: beside the target, or in it if it is a
# folder already. Until it is locked it is called `.….new`.
STAGING = re.compile(r"\.mnist_idx-[0-9a-f]{8}\.(partial|new)")


# Whether a file in a folder was written by the same function earlier: from the folder and the path
# in it.
IsOwn = Callable[[Path, str], bool]


def nothing_is_own(folder: Path, name: str) -> bool:
    return False


@contextmanager
def staged(
    target: str | os.PathLike[str],
    overwrite: bool,
    is_own: IsOwn = nothing_is_own,
    is_folder: bool = True,
) -> Iterator[Path]:
    """Yield a path to create a folder or a file at, which becomes `target` if all goes well.

    `target` may be an empty folder, which is filled. `overwrite` replaces a file by a file, and the
    content of a folder if `is_own` is true of all files in it. An existing folder stays the same
    folder: somebody may be in it.

    Raises:
        IdxError: there is something at `target`, or it cannot be written.
    """
    target = resolve_target(target)
    try:
        _check_target(target, overwrite, is_own, is_folder)
        place = target if target.is_dir() else target.parent
        place.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(place)
        staging, lock = _create_staging(place)
    except OSError as error:
        raise _not_written(target, error) from error
    new = staging / "new"
    try:
        yield new
        try:
            _put(new, target, staging, overwrite, is_own, is_folder)
        except OSError as error:
            raise _not_written(target, error) from error
    except (OSError, IdxError) as error:
        cause = (
            error if isinstance(error, OSError) else error.__cause__
        )  # a builder wraps errors of the disk
        is_disk = (
            cause is not None
            and is_local_failure(cause)
            and getattr(cause, "errno", None) in FULL_DISK
        )
        if not is_disk or isinstance(error, TransferError):
            raise
        raise IdxError(
            f"{target}: writing failed: {cause}. Make room there and in TMPDIR, or use others."
        ) from error
    finally:
        if not (
            staging / OLD
        ).exists():  # else the files of somebody are in it: the next run puts them back
            shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def resolve_target(target: str | os.PathLike[str]) -> Path:
    """The absolute path of a target, without symbolic links."""
    if not isinstance(target, str | os.PathLike):
        raise IdxError(f"{target!r}: expected a path to write to.")
    text = os.fspath(target)
    if "://" in text:
        raise IdxError(f"{text}: expected a local path. Write to a folder, then upload it.")
    try:
        return Path(os.path.realpath(Path(text).expanduser()))
    except (ValueError, RuntimeError, OSError) as error:
        raise IdxError(f"{text}: cannot be a path: {error}. Choose another target.") from error


def _not_written(target: Path, error: OSError) -> IdxError:
    return IdxError(
        f"{target}: cannot be written: {error.strerror or error}. Choose another target."
    )


def _check_target(target: Path, overwrite: bool, is_own: IsOwn, is_folder: bool) -> None:
    """Refuse a target that exists, unless it may be replaced."""
    if not os.path.lexists(target) or (is_folder and target.is_dir() and not _entries(target)):
        return
    if not overwrite:
        raise already_there(target)
    if target.is_dir() != is_folder:
        kind = "file" if is_folder else "folder"
        raise IdxError(f"{target}: not replaced, since it is a {kind}. Choose another target.")
    if is_folder:
        for leaf in _leaves(target):
            name = leaf.relative_to(target).as_posix()
            if not is_own(target, name):
                raise IdxError(
                    f"{target}: not replaced, since it holds {name}. Choose another target."
                )


def already_there(target: Path) -> IdxError:
    advice = f"{target}: exists already. Choose another target, or replace it with"
    return IdxError(f"{advice} overwrite=True.", command_line=f"{advice} --overwrite.")


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, apart from what is being written there."""
    return sorted(path for path in folder.iterdir() if not STAGING.fullmatch(path.name))


def _leaves(folder: Path) -> Iterator[Path]:
    """The files below a folder. An empty folder, or a link to one, is somebody's, too."""
    waiting = _entries(folder)
    while waiting:
        path = waiting.pop()
        inside = list(path.iterdir()) if path.is_dir() and not path.is_symlink() else []
        waiting += inside
        if not inside:
            yield path


def _create_staging(place: Path) -> tuple[Path, int | None]:
    """A new folder, with a lock that this process holds as long as it lives."""
    while True:
        token = secrets.token_hex(4)
        unlocked = place / f".mnist_idx-{token}.new"
        unlocked.mkdir()
        # Another process may take it for a leftover before it is locked. Try again then.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            lock = _lock(unlocked, wait=False)
            try:
                return unlocked.rename(place / f".mnist_idx-{token}.partial"), lock
            except FileNotFoundError:
                if lock is not None:
                    os.close(lock)


def _remove_leftovers(place: Path) -> None:
    """Remove what processes that are gone have not finished.

    What they had set aside goes back to its place.
    """
    for staging in list(place.iterdir()):
        if not STAGING.fullmatch(staging.name) or not staging.is_dir():
            continue
        with contextlib.suppress(
            BlockingIOError, FileNotFoundError
        ):  # Somebody is writing, or has just finished.
            lock = _lock(staging, wait=False)
            if lock is not None:
                _undo_exchange(staging, place)
                shutil.rmtree(staging, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path, wait: bool) -> int | None:
    """Lock a folder for this process, until the descriptor is closed.

    None if this system has no such locks.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is false.
        FileNotFoundError: the folder is gone.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _put(
    new: Path, target: Path, staging: Path, overwrite: bool, is_own: IsOwn, is_folder: bool
) -> None:
    """Put what was written at its place."""
    if not is_folder:
        _check_target(target, overwrite, is_own, is_folder)
        _put_file(new, target, overwrite)
        return
    if not target.is_dir():
        _check_target(target, overwrite, is_own, is_folder)
        with contextlib.suppress(OSError):  # Somebody else may have been faster.
            os.rename(new, target)
            return
    lock = _lock(target, wait=True)
    try:
        replaced = _entries(target)
        _check_target(target, overwrite, is_own, is_folder)
        _exchange(staging, target, replaced, is_own)
    finally:
        if lock is not None:
            os.close(lock)


def _put_file(new: Path, target: Path, overwrite: bool) -> None:
    if not overwrite:
        with contextlib.suppress(OSError):  # a file system without hard links
            # Unlike a rename, it fails if somebody else has made a file of this name meanwhile.
            os.link(new, target)
            return
        if os.path.lexists(target):
            raise already_there(target)
    os.replace(new, target)


# A process that finds the exchange of another can tell its state. Before and after it, there is no
# folder `OLD`. In between, what is in `OLD` goes back, and what is listed in `NAMES`, but no more
# in "new", is withdrawn.
OLD = "old"
NAMES = "names"


def _exchange(staging: Path, target: Path, replaced: Sequence[Path], is_own: IsOwn) -> None:
    """Put what is in "new" into a folder, in place of `replaced`.

    If that fails, it has its old content again.
    """
    new, old = staging / "new", staging / OLD
    names = sorted(path.name for path in new.iterdir())
    (staging / NAMES).write_text(json.dumps(names), encoding="utf-8")
    old.mkdir()
    try:
        for path in replaced:
            path.rename(old / path.name)
        for leaf in _leaves(old):
            if not is_own(old, leaf.relative_to(old).as_posix()):
                raise IdxError(
                    f"{target}: not replaced, since {leaf.name} was put there meanwhile. Try again."
                )
        for name in names:
            if os.path.lexists(target / name):
                raise IdxError(
                    f"{target}: not written, since {name} was put there meanwhile. Try again."
                )
            (new / name).rename(target / name)
        old.rename(staging / "replaced")
    except BaseException:
        _undo_exchange(staging, target)
        raise


def _undo_exchange(staging: Path, target: Path) -> None:
    """Give a folder its old content again, where an exchange was not finished."""
    new, old = staging / "new", staging / OLD
    if not old.is_dir():
        return
    for name in json.loads((staging / NAMES).read_text(encoding="utf-8")):
        if not os.path.lexists(new / name) and os.path.lexists(target / name):
            (target / name).rename(new / name)
    for path in list(old.iterdir()):
        if not os.path.lexists(
            target / path.name
        ):  # else somebody has put another file there: both are kept
            path.rename(target / path.name)
    with contextlib.suppress(OSError):
        old.rmdir()
