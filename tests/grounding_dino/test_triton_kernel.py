"""Triton's kernel without a GPU: its sums in Triton's interpreter, its compilation for one that is not there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from autolabel_grounding_dino import torch_kernel
from autolabel_grounding_dino.deformable import NumbaKernel, disagreement, triton_kernel

SUMS = """
from autolabel_grounding_dino.deformable import disagreement
from autolabel_grounding_dino.triton_kernel import attend
print(disagreement(attend, "cpu"))
"""
COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from autolabel_grounding_dino import triton_kernel

floats, whole = "*fp32", "*i64"
for kind in ("*fp32", "*bf16"):
    for coordinates in (2, 4):
        types = [kind, whole, whole, floats, floats, kind, "i32", "i32"]
        names = ["value", "shapes", "starts", "references", "drawn", "result", "tokens", "queries"]
        fixed = {"HEADS": 8, "LEVELS": 4, "POINTS": 4, "COORDINATES": coordinates, "CHANNELS": 32, "WIDE": 32}
        fixed["BLOCK"] = triton_kernel._BLOCK
        signature = dict(zip(names, types)) | {name: "constexpr" for name in fixed}
        source = ASTSource(fn=triton_kernel._kernel, signature=signature, constexprs=fixed)
        print(len(triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]))
"""


def run(program: str, **environment: str) -> list[str]:
    """Return what a program prints in a process of its own: Triton reads its environment when it is imported."""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_trial_tells_a_wrong_kernel_from_a_right_one() -> None:
    right = NumbaKernel()
    assert disagreement(right, "cpu") < 1e-5
    assert disagreement(lambda *given: right(*given) * 1.01, "cpu") > 1e-3


def test_a_device_that_is_not_there_is_left_to_torch(caplog: pytest.LogCaptureFixture) -> None:
    assert triton_kernel("cuda:63") is torch_kernel.attend
    assert "torch's is used" in caplog.text


@pytest.mark.soak
def test_triton_sums_as_torch_does() -> None:
    pytest.importorskip("triton")
    assert float(run(SUMS, TRITON_INTERPRET="1")[0]) < 1e-5


@pytest.mark.soak
def test_triton_compiles_the_kernel() -> None:
    pytest.importorskip("triton")
    assert [int(size) > 1000 for size in run(COMPILED)] == [True] * 4
