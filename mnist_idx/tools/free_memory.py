"""How much memory this process may still take, as Linux tells."""

import sys
from pathlib import Path, PurePosixPath

ROOT = Path("/")
# Of the limits of a control group, version 2 and version 1.
UNIFIED = "sys/fs/cgroup"
BY_CONTROLLER = "sys/fs/cgroup/memory"


def free_memory(root: Path = ROOT) -> int | None:
    """Bytes of memory that this process may take; None if nothing tells.

    It is what the machine has free, unless a container or a limit of the process allows less.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    found = [_free_of_machine(root), _free_of_groups(root), _free_address_space(root)]
    known = [size for size in found if size is not None]
    return min(known, default=None)


def _free_of_machine(root: Path) -> int | None:
    """What the kernel estimates that can be taken without pushing others out."""
    sizes = _table(root / "proc/meminfo")
    if "MemAvailable:" not in sizes:
        return None
    return 1024 * (sizes["MemAvailable:"] + sizes.get("SwapFree:", 0))


def _free_of_groups(root: Path) -> int | None:
    """What the control groups of this process, those of a container, leave free."""
    free = []
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base, limit, used, cache = UNIFIED, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base, limit, used = BY_CONTROLLER, "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        for folder in _groups(root / base, path):
            most, taken = _number(folder / limit), _number(folder / used)
            if most is not None:
                # What was read of files is dropped where memory is needed.
                dropped = _table(folder / "memory.stat").get(cache, 0)
                free.append(max(0, most - max(0, (taken or 0) - dropped)))
    return min(free, default=None)


def _groups(base: Path, path: str) -> list[Path]:
    """The folders of a group and of those that it is in. Each has a limit of its own.

    Inside of a container, the path may be that of the machine outside: only `base` is there then.
    """
    group = base / PurePosixPath(path).relative_to("/") if path.startswith("/") else base
    folders = [group, *group.parents]
    return [folder for folder in folders if folder == base or base in folder.parents]


def _free_address_space(root: Path) -> int | None:
    """What the limit of the address space of this process, `ulimit -v`, leaves free."""
    if sys.platform == "win32":
        return None
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return None
    taken = _table(root / "proc/self/status").get("VmSize:", 0)
    return max(0, most - 1024 * taken)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:  # Another system, or a container that hides it.
        return []


def _table(path: Path) -> dict[str, int]:
    """The numbers of a file of lines such as `MemFree: 12 kB`, by what stands before them."""
    numbers = {}
    for line in _lines(path):
        words = line.split()
        if len(words) > 1 and words[1].isdecimal():
            numbers[words[0]] = int(words[1])
    return numbers


def _number(path: Path) -> int | None:
    """The number in a file; None if there is none, as where it says `max`."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None
