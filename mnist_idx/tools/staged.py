"""A file or folder that appears whole or not at all."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..idx import IdxError, TransferError
from ..remote import is_local_failure


@contextmanager
def staged(
    target: str | os.PathLike[str], overwrite: bool, own_files: str = "", is_folder: bool = True
) -> Iterator[Path]:
    """Yield a path to create a folder or a file at, which becomes `target` if all goes well.

    `target` may be an empty folder. `overwrite` replaces a file by a file, and a folder by a folder if the paths of all
    files in it match `own_files`.

    Raises:
        IdxError: there is something at `target`, or the disk is full or read-only.
    """
    target = Path(os.path.realpath(Path(target).expanduser()))
    _check_target(target, overwrite, own_files, is_folder)
    # Beside the target: a rename is atomic only within one file system.
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    new, old = staging / "new", staging / "old"
    try:
        staging.mkdir(parents=True)
        yield new
        _check_target(target, overwrite, own_files, is_folder)
        if target.is_dir():  # a folder cannot replace another one in one step
            os.replace(target, old)
        os.replace(new, target)
    except (OSError, IdxError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__  # a builder wraps errors of the disk
        if cause is None or not is_local_failure(cause) or isinstance(error, TransferError):
            raise
        raise IdxError(f"{target}: writing failed: {cause}. Make room there and in TMPDIR, or use others.") from error
    finally:
        if old.exists() and not target.exists():
            os.replace(old, target)
        shutil.rmtree(staging, ignore_errors=True)


def _check_target(target: Path, overwrite: bool, own_files: str, is_folder: bool) -> None:
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise IdxError(f"{target}: exists already. Choose another target, or replace it with overwrite=True.")
    # An empty folder, or a link to one, is somebody's, too.
    leaves = (path for path in target.rglob("*") if path.is_symlink() or not path.is_dir() or not any(path.iterdir()))
    names = (path.relative_to(target).as_posix() for path in leaves)
    others = (f"holds {name}" for name in names if not re.fullmatch(own_files, name))
    if reason := next(others, "") if target.is_dir() == is_folder else f"is a {'file' if is_folder else 'folder'}":
        raise IdxError(f"{target}: not replaced, since it {reason}. Choose another target.")
