"""A worker uses the memory of one image again for the next, and forgets the shapes of those before."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from autolabel.executors.tuning import reuse_memory

torch.set_num_threads(1)
if sys.argv[1] == "settled":
    reuse_memory()
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(12_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
SHAPES = """
import sys
import psutil, torch
from autolabel.executors.tuning import reuse_memory

torch.set_num_threads(1)
if sys.argv[1] == "settled":
    reuse_memory()
weight = torch.ones(32, 32, 3, 3)
for width in range(600):
    with torch.inference_mode():
        torch.nn.functional.conv2d(torch.ones(1, 32, 8, 8 + width), weight, padding=1)
    if width == 200:
        before = psutil.Process().memory_info().rss
print(psutil.Process().memory_info().rss - before)
"""
BESIDE = """
import resource, sys, threading
import torch
from autolabel.executors.tuning import reuse_memory

torch.set_num_threads(1)
if sys.argv[1] == "settled":
    reuse_memory()
faults = []

def work():
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            torch.ones(12_000_000), torch.ones(25_000_000)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(faults[-1])
"""
MIB = 1 << 20


def printed(program: str, kind: str) -> int:
    """Return the number that a program prints, in a process of its own with nothing set."""
    ours = ("MALLOC_", "LD_PRELOAD", "ONEDNN_", "GLIBC_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-c", program, kind]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=plain).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone")
@pytest.mark.parametrize("program", [FAULTS, BESIDE], ids=["in the main thread", "in another thread"])
def test_freed_memory_is_not_fetched_anew(program: str) -> None:
    assert 4 * printed(program, "settled") < printed(program, "fresh")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="elsewhere torch has other convolutions")
def test_memory_does_not_grow_with_the_shapes_of_images() -> None:
    kept = printed(SHAPES, "fresh")
    if kept < 20 * MIB:
        pytest.skip("this processor's convolutions keep little for each shape")
    assert printed(SHAPES, "settled") < 0.7 * kept


def test_what_the_environment_says_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from autolabel.executors.tuning import reuse_memory

    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setattr("autolabel.executors.tuning.ctypes", None)
    reuse_memory()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"
