"""The cores and the memory that a process may use, by its control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.plan.machine import cores, memory

TERABYTE = 1 << 40


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(16)), raising=False)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": TERABYTE}[name])


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        ("", {}, 16),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 16),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "broken\n"}, 16),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "400000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 4),
        ("0::/hidden/here\n", {"sys/fs/cgroup/cpu.max": "300000 100000"}, 3),
        ("0::/../outside\n", {"sys/fs/cgroup/cpu.max": "300000 100000"}, 3),
        (
            "4:cpu,cpuacct:/job\n0::/\n",
            {"sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "500000", "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000"},
            5,
        ),
        (
            "4:cpu,cpuacct:/\n",
            {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "600000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            6,
        ),
        (
            "4:cpu:/\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            16,
        ),
    ],
)
def test_a_quota_counts_as_whole_cores(tmp_path: Path, groups: str, files: dict[str, str], count: int) -> None:
    assert cores(machine(tmp_path, groups, files)) == count


def test_affinity_counts_where_it_is_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "800000 100000"})
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {3, 5}, raising=False)
    assert cores(root) == 2


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("", {}, TERABYTE),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}, TERABYTE),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "8000000000\n"}, 8_000_000_000),
        ("0::/a\n", {"sys/fs/cgroup/memory.max": "9", "sys/fs/cgroup/a/memory.max": "7"}, 7),
        ("3:memory:/job\n", {"sys/fs/cgroup/memory/job/memory.limit_in_bytes": "5000\n"}, 5000),
        ("3:memory:/\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"}, TERABYTE),
    ],
)
def test_memory_is_what_the_group_allows(tmp_path: Path, groups: str, files: dict[str, str], limit: int) -> None:
    assert memory(machine(tmp_path, groups, files)) == limit


def test_memory_may_be_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sysconf")
    assert memory(machine(tmp_path, "", {})) is None
