"""Memory of this process, as Linux counts it."""

import os

STATUS = "/proc/self/status"


def peak_memory() -> int:
    """Bytes of resident memory of this process at its highest, so far."""
    # `ru_maxrss` would count what started this process, too.
    with open(STATUS) as status:
        for line in status:
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return int(value.split()[0]) * 1024
    raise RuntimeError(f"{STATUS} does not say VmHWM")


def resident_memory() -> int:
    """Bytes of resident memory of this process."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
