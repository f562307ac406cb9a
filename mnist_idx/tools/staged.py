"""A file or folder that appears whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..idx import IdxError, TransferError
from ..remote import is_local_failure


@contextmanager
def staged(target: str | os.PathLike[str], overwrite: bool, obstacle: Callable[[Path], str]) -> Iterator[Path]:
    """Yield a path to create a file or folder at, which becomes `target` if all goes well.

    `target` may be an empty folder. `overwrite` replaces what is there, unless `obstacle` tells why not; "" if it may.

    Raises:
        IdxError: there is something at `target`, or the disk is full or read-only.
    """
    target = Path(os.path.realpath(Path(target).expanduser()))
    _check_target(target, overwrite, obstacle)
    # Beside the target: a rename is atomic only within one file system.
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    new, old = staging / target.name, staging / "replaced"
    try:
        staging.mkdir(parents=True)
        yield new
        _check_target(target, overwrite, obstacle)
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


def _check_target(target: Path, overwrite: bool, obstacle: Callable[[Path], str]) -> None:
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise IdxError(f"{target}: exists already. Choose another target, or replace it with overwrite=True.")
    if reason := obstacle(target):
        raise IdxError(f"{target}: not replaced, since it {reason}. Choose another target.")
