"""Time a whole program, from the start of Python to its end: `python launch.py ARGUMENTS …`.

Prints figures by their names, as JSON. It imports next to nothing: Linux counts the memory of what
starts a program as that of the program, until that has more.
"""

import json
import os
import sys
import time

from figures import MEMORY, SECONDS


def main() -> None:
    began = time.perf_counter()
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    command = [sys.executable, *sys.argv[1:]]
    process = os.posix_spawn(sys.executable, command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - began
    if status != 0:
        raise SystemExit(1)
    print(json.dumps({SECONDS: seconds, MEMORY: usage.ru_maxrss * 1024 / 1e6}))


if __name__ == "__main__":
    main()
