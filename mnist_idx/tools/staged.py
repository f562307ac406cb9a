"""A file or folder that appears whole or not at all."""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..errors import IdxError, TransferError, disk_advice, shown_value

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
# What only happens where something is written.
WRITE_ERRORS = {*FULL_DISK, errno.EROFS, errno.EFBIG}
# What is written stands in a folder of this name first: beside the target, or in it if it is a
# folder already. Until it is locked it is called `.….new`.
STAGING = re.compile(r"\.mnist_idx-[0-9a-f]{8}\.(partial|new)")
# What `unfinished` keeps for the next run stands there, too, and is no content of the folder.
UNFINISHED = re.compile(r"\.mnist_idx-.+\.unfinished")

# In a staging folder: what is written, and what it replaces.
NEW = "new"
REPLACED = "replaced"
# A process that finds the exchange of another can tell its state. Before and after it, there is no
# folder `OLD`. In between, what is in `OLD` goes back, and what is listed in `NAMES`, but no more
# in `NEW`, is withdrawn.
OLD = "old"
NAMES = "names"

CLOCK_TICK_NS = 2 * 10**9  # of the file systems that tell time least precisely

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
    can_move: bool = True,
) -> Iterator[Path]:
    """Yield a path to create a folder or a file at, which becomes `target` if all goes well.

    `target` may be an empty folder, which is filled. `overwrite` replaces a file by a file, and the
    content of a folder if `is_own` is true of all files in it. An existing folder stays the same
    folder: somebody may be in it.

    `is_own` is asked once of each file, and again only of those that are changed afterwards.

    `can_move` tells whether the others are still own files when one that is not is moved away.

    Raises:
        IdxError: there is something at `target`, or it cannot be written.
    """
    wanted = _Target(resolve_target(target), overwrite, _OwnFiles(is_own), is_folder, can_move)
    with named_errors(wanted.path):
        wanted.check()
        place = wanted.path if wanted.path.is_dir() else wanted.path.parent
        place.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(place)
        staging, lock = _create_staging(place)
    try:
        try:
            yield staging / NEW
        except (OSError, IdxError) as error:
            failure = _write_failure(error)
            if failure is None:
                raise
            raise _not_written(wanted.path, failure) from error
        with named_errors(wanted.path):
            _put(staging, wanted)
    finally:
        # If there is an `OLD`, somebody's files are in it: the next run puts them back.
        if not (staging / OLD).exists():
            shutil.rmtree(staging, ignore_errors=True)
        unlock_folder(lock)


def resolve_target(target: str | os.PathLike[str]) -> Path:
    """The absolute path of a target, without symbolic links.

    Raises:
        IdxError: it cannot be the path of a local file.
    """
    if not isinstance(target, str | os.PathLike):
        raise IdxError(f"Found {shown_value(target)}, expected a path to write to.")
    text = os.fspath(target)
    if "://" in text:
        raise IdxError(f"{text}: expected a local path. Write to a folder, then upload it.")
    try:
        return Path(os.path.realpath(Path(text).expanduser()))
    except (ValueError, RuntimeError, OSError) as error:
        raise IdxError(f"{text}: cannot be a path: {error}. Choose another target.") from error


# Errors


@contextmanager
def named_errors(target: Path) -> Iterator[None]:
    """Turn an error of the disk into one that names the target."""
    try:
        yield
    except OSError as error:
        raise _not_written(target, error) from error


def _write_failure(error: OSError | IdxError) -> OSError | None:
    """The failure to write that an error is, or is caused by: builders wrap errors of the disk.

    None if the error is about anything else, such as the data or the network.
    """
    if isinstance(error, TransferError):
        return None
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno in WRITE_ERRORS:
        return cause
    return None


def _not_written(target: Path, error: OSError) -> IdxError:
    if error.errno in FULL_DISK:
        way_out = "Make room there and in TMPDIR, or use others."
        return IdxError(f"{target}: writing failed: {error}. {way_out}")
    reason = error.strerror or error
    way_out = disk_advice(error, "choose another target")
    return IdxError(f"{target}: cannot be written: {reason}. {way_out}")


def already_there(target: Path) -> IdxError:
    advice = f"{target}: exists already. Choose another target, or replace it with"
    return IdxError(f"{advice} overwrite=True.", command_line=f"{advice} --overwrite.")


# The target, and what is in it


class _FileState(NamedTuple):
    """What is another one as soon as a file is replaced or changed, though not if it is moved."""

    inode: int
    size: int
    changed_ns: int  # when its content was changed


class _OwnFiles:
    """Tells which files in a folder are own ones, and remembers those that are.

    Args:
        is_own: tells it of a file, which takes long: it opens each of them.
    """

    def __init__(self, is_own: IsOwn) -> None:
        self._is_own = is_own
        self._known: dict[str, _FileState] = {}  # by the path in the folder

    def find_foreign(self, folder: Path) -> str | None:
        """The path in a folder of a file that is not own; None if all are."""
        for leaf in _leaves(folder):
            name = leaf.relative_to(folder).as_posix()
            # Taken first: a file that is changed while it is read is asked of again.
            status = os.lstat(leaf)
            state = _FileState(status.st_ino, status.st_size, status.st_mtime_ns)
            if self._known.get(name) == state:
                continue
            if not self._is_own(folder, name):
                return name
            # Another change within the same tick of the clock would not show.
            if time.time_ns() - state.changed_ns > CLOCK_TICK_NS:
                self._known[name] = state
        return None


class _Target(NamedTuple):
    """What is to be created, and what it may replace."""

    path: Path
    overwrite: bool
    own_files: _OwnFiles
    is_folder: bool
    can_move: bool

    def check(self) -> None:
        """Refuse a path at which there is something, unless it may be replaced or filled."""
        if not os.path.lexists(self.path):
            return
        is_dir = self.path.is_dir()
        if self.is_folder and is_dir and not _entries(self.path):
            return
        if self.is_folder != is_dir:
            raise self._not_replaced(f"it is a {'folder' if is_dir else 'file'}", "")
        if self.is_folder:
            foreign = self.own_files.find_foreign(self.path)
            if foreign is not None:
                holds = f"it holds {foreign}, which somebody has written or changed"
                move = f", or move {foreign} away" if self.can_move else ""
                raise self._not_replaced(holds, move)
        if not self.overwrite:
            raise already_there(self.path)

    def _not_replaced(self, reason: str, other_way_out: str) -> IdxError:
        """The error of a target that is never replaced, be it asked for or not."""
        found = f"not replaced, since {reason}"
        if not self.overwrite:
            found = f"exists already, and {reason.replace('it ', '', 1)}"
        return IdxError(f"{self.path}: {found}. Choose another target{other_way_out}.")


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, apart from what is being written there."""
    return sorted(path for path in folder.iterdir() if not _is_ours(path.name))


def _is_ours(name: str) -> bool:
    return STAGING.fullmatch(name) is not None or UNFINISHED.fullmatch(name) is not None


def _leaves(folder: Path) -> Iterator[Path]:
    """The files below a folder. An empty folder, or a link to one, is somebody's, too."""
    waiting = _entries(folder)
    while waiting:
        path = waiting.pop()
        inside: list[Path] = []
        if path.is_dir() and not path.is_symlink():
            inside = list(path.iterdir())
        waiting += inside
        if not inside:
            yield path


# Staging folders, each locked by the process that writes there


def _create_staging(place: Path) -> tuple[Path, int | None]:
    """A new folder, with a lock that this process holds as long as it lives."""
    while True:
        token = secrets.token_hex(4)
        unlocked = place / f".mnist_idx-{token}.new"
        unlocked.mkdir()
        # Another process may take it for a leftover before it is locked. Try again then.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            lock = lock_folder(unlocked, wait=False)
            try:
                return unlocked.rename(place / f".mnist_idx-{token}.partial"), lock
            except FileNotFoundError:
                unlock_folder(lock)


def _remove_leftovers(place: Path) -> None:
    """Remove what processes that are gone have not finished.

    What they had set aside goes back to its place.
    """
    for staging in list(place.iterdir()):
        if not STAGING.fullmatch(staging.name) or not staging.is_dir():
            continue
        # Suppressed: somebody is writing there, or has just finished.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            lock = lock_folder(staging, wait=False)
            if lock is None:  # Nobody can tell whether somebody is writing there.
                continue
            _undo_exchange(staging, place)
            shutil.rmtree(staging, ignore_errors=True)
            unlock_folder(lock)


def lock_folder(folder: Path, wait: bool) -> int | None:
    """Lock a folder for this process, until `unlock_folder` is called with what this returns.

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


def unlock_folder(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


# Putting what was written at its place


def _put(staging: Path, target: _Target) -> None:
    """Put what was written at its place."""
    new = staging / NEW
    if not target.is_folder:
        target.check()
        _put_file(new, target)
        return
    if not target.path.is_dir():
        target.check()
        with contextlib.suppress(OSError):  # Somebody else may have been faster.
            os.rename(new, target.path)
            return
    lock = lock_folder(target.path, wait=True)
    try:
        replaced = _entries(target.path)
        target.check()
        _exchange(staging, target, replaced)
    finally:
        unlock_folder(lock)


def _put_file(new: Path, target: _Target) -> None:
    if not target.overwrite:
        with contextlib.suppress(OSError):  # a file system without hard links
            # Unlike a rename, it fails if somebody else has made a file of this name meanwhile.
            os.link(new, target.path)
            return
        if os.path.lexists(target.path):
            raise already_there(target.path)
    os.replace(new, target.path)


def _exchange(staging: Path, target: _Target, replaced: Sequence[Path]) -> None:
    """Put what is in `NEW` into the folder, in place of `replaced`.

    If that fails, the folder has its old content again.
    """
    names = sorted(path.name for path in (staging / NEW).iterdir())
    (staging / NAMES).write_text(json.dumps(names), encoding="utf-8")
    old = staging / OLD
    old.mkdir()
    try:
        for path in replaced:
            path.rename(old / path.name)
        foreign = target.own_files.find_foreign(old)
        if foreign is not None:
            raise _put_there_meanwhile(target.path, "replaced", foreign)
        for name in names:
            if os.path.lexists(target.path / name):
                raise _put_there_meanwhile(target.path, "written", name)
            (staging / NEW / name).rename(target.path / name)
        old.rename(staging / REPLACED)
    except BaseException:
        _undo_exchange(staging, target.path)
        raise


def _put_there_meanwhile(target: Path, verb: str, name: str) -> IdxError:
    return IdxError(f"{target}: not {verb}, since {name} was put there meanwhile. Try again.")


def _undo_exchange(staging: Path, target: Path) -> None:
    """Give a folder its old content again, where an exchange was not finished."""
    new, old = staging / NEW, staging / OLD
    if not old.is_dir():
        return
    for name in json.loads((staging / NAMES).read_text(encoding="utf-8")):
        if not os.path.lexists(new / name) and os.path.lexists(target / name):
            (target / name).rename(new / name)
    for path in list(old.iterdir()):
        # If somebody has put another file there, both are kept.
        if not os.path.lexists(target / path.name):
            path.rename(target / path.name)
    with contextlib.suppress(OSError):
        old.rmdir()
