"""Real radar files next to this repository, where a machine has them."""

from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).parents[3] / "shared" / "sar_samples"
