"""Selection of the torch device."""

from __future__ import annotations

import torch

from sarbench.errors import TrainingError


def select_device(name: str) -> torch.device:
    """Return the torch device for ``auto``, ``cpu``, or ``cuda``; ``auto`` prefers CUDA.

    Raises:
        TrainingError: ``name`` is unknown, or CUDA isn't available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in {"cpu", "cuda"}:
        raise TrainingError(f"--device must be auto, cpu, or cuda, not {name}")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("no CUDA device is available: pass --device cpu")
    return torch.device(name)
