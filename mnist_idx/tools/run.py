"""Run a Python program in this process, as `python` itself would."""

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from ..idx import IdxError

OWN_CODE = {__file__, runpy.run_path.__code__.co_filename}


def run_program(program: str, arguments: Sequence[str] = (), *, is_module: bool = False) -> None:
    """Run a program as `python PROGRAM ARGUMENTS` does, or a module as `python -m` does.

    Raises:
        IdxError: there is no such program.
        SystemExit: the program exits, or fails; its traceback is printed.
    """
    if not (is_module or os.path.exists(program)):
        raise IdxError(f"{program}: no such program. Name a Python file, or a module with -m.")
    sys.argv = [program, *arguments]
    if not getattr(sys.flags, "safe_path", False):  # python -P, from 3.11 on
        sys.path[0] = os.getcwd() if is_module else str(Path(program).resolve().parent)
    try:
        if is_module:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program, run_name="__main__")
    except (Exception, KeyboardInterrupt) as error:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename in OWN_CODE:
            frames = frames.tb_next
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 1) from None
