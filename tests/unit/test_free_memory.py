"""How much memory a process may take: of the machine, of a container, of its address space."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from clients import run_snippet

from mnist_idx.tools.free_memory import free_memory

MEMINFO = "MemTotal: 9000 kB\nMemAvailable:    5000 kB\nHugePages_Total: 7\nSwapFree: 1000 kB\n"
MACHINE = {"proc/meminfo": MEMINFO}
MACHINE_FREE = 6000 * 1024
V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"
UNLIMITED_V1 = "9223372036854771712\n"


def make_root(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, None, id="nothing tells"),
        pytest.param(MACHINE, MACHINE_FREE, id="the machine"),
        pytest.param({"proc/meminfo": "MemFree: 5 kB\n"}, None, id="an old kernel"),
        pytest.param(
            {
                **MACHINE,
                "proc/self/cgroup": "0::/\n",
                f"{V2}/memory.max": "3000000\n",
                f"{V2}/memory.current": "1000000\n",
            },
            2_000_000,
            id="a container of version 2",
        ),
        pytest.param(
            {
                **MACHINE,
                "proc/self/cgroup": "0::/\n",
                f"{V2}/memory.max": "3000000\n",
                f"{V2}/memory.current": "2900000\n",
                f"{V2}/memory.stat": "anon 400000\ninactive_file 2500000\nactive_file 3\n",
            },
            2_600_000,
            id="what was read of files is dropped",
        ),
        pytest.param(
            {**MACHINE, "proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "max\n"},
            MACHINE_FREE,
            id="a container without a limit",
        ),
        pytest.param(
            {
                **MACHINE,
                "proc/self/cgroup": "0::/user/job.scope\n",
                f"{V2}/user/memory.max": "2000000\n",
                f"{V2}/user/memory.current": "500000\n",
                f"{V2}/user/job.scope/memory.max": "max\n",
            },
            1_500_000,
            id="a group around that of the process",
        ),
        pytest.param(
            {
                **MACHINE,
                "proc/self/cgroup": "0::/docker/of/the/machine\n",
                f"{V2}/memory.max": "1000\n",
                f"{V2}/memory.current": "5000\n",
            },
            0,
            id="the path is of the machine outside, and all is taken",
        ),
        pytest.param(
            {
                **MACHINE,
                "proc/self/cgroup": "9:cpu,cpuacct:/a\n8:memory:/job\n0::/\n",
                f"{V1}/memory.limit_in_bytes": UNLIMITED_V1,
                f"{V1}/job/memory.limit_in_bytes": "4000000\n",
                f"{V1}/job/memory.usage_in_bytes": "3500000\n",
                f"{V1}/job/memory.stat": "inactive_file 5\ntotal_inactive_file 500000\n",
            },
            1_000_000,
            id="a container of version 1",
        ),
        pytest.param(
            {
                **MACHINE,
                "proc/self/cgroup": "8:memory:/\n",
                f"{V1}/memory.limit_in_bytes": UNLIMITED_V1,
            },
            MACHINE_FREE,
            id="version 1 without a limit",
        ),
        pytest.param(
            {**MACHINE, "proc/self/cgroup": "\nno groups\n0::\n", f"{V2}/memory.max": "?\n"},
            MACHINE_FREE,
            id="what nobody understands",
        ),
    ],
)
def test_the_least_of_all_that_is_told(
    files: Mapping[str, str], expected: int | None, tmp_path: Path
) -> None:
    assert free_memory(make_root(tmp_path, files)) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_the_limit_of_the_address_space(tmp_path: Path) -> None:
    code = "from mnist_idx.tools.free_memory import free_memory\nresult = free_memory()"
    limit = 2 << 30
    free = run_snippet(code, home=tmp_path / "hf_home", memory=limit).result
    assert 0 < free < limit  # The interpreter itself has taken some of it.
