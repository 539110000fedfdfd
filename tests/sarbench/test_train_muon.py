"""Muon, compared with torch.optim.Muon."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sarbench.train.muon import Muon, orthogonalize
from sarlens.devstack.vllm import lacks_native_bfloat16


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)])
def test_steps_equal_those_of_torch_in_bfloat16(shape: tuple[int, int]) -> None:
    """In bfloat16, three steps are bit-identical to those of torch.optim.Muon."""
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(shape)) for _ in range(2))
    steppers = (
        Muon([ours], lr=0.01, weight_decay=0.02, dtype=torch.bfloat16),
        torch.optim.Muon([theirs], lr=0.01, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        for stepper in steppers:
            stepper.step()
    assert torch.equal(ours, theirs)


def test_singular_values_are_near_1_in_float32() -> None:
    """In float32, the update of a random matrix has singular values between 0.5 and 1.5."""
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(32, 96), torch.float32))
    assert 0.5 < values.min() < values.max() < 1.5


def test_bfloat16_emulation_is_detected_from_cpu_flags(tmp_path: Path) -> None:
    """CPUs without bfloat16 flags emulate it; without CPU information, native support is assumed."""
    (tmp_path / "old").write_text("flags : fpu avx2")
    (tmp_path / "new").write_text("flags : fpu avx2 avx512_bf16")
    assert [lacks_native_bfloat16(tmp_path / name) for name in ("old", "new", "none")] == [True, False, False]
