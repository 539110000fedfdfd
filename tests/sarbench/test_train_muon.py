"""Muon beside torch's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sarbench.train.muon import Muon, orthogonal
from sarlens.workers.vllm import imitates_bfloat16


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)])
def test_it_steps_as_torchs_does(shape: tuple[int, int]) -> None:
    """With bfloat16 three steps change a matrix as torch.optim.Muon does, bit for bit."""
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


def test_32_bits_make_singular_values_near_one() -> None:
    """With 32 bits the update of a random matrix has singular values between a half and one and a half."""
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(32, 96), torch.float32))
    assert 0.5 < values.min() < values.max() < 1.5


def test_a_processor_is_known_by_its_flags(tmp_path: Path) -> None:
    """One without instructions for bfloat16 imitates it; of one that tells nothing it is not assumed."""
    (tmp_path / "old").write_text("flags : fpu avx2")
    (tmp_path / "new").write_text("flags : fpu avx2 avx512_bf16")
    assert [imitates_bfloat16(tmp_path / name) for name in ("old", "new", "none")] == [True, False, False]
