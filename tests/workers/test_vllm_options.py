"""How a worker on the CPU is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarlens.workers.vllm import cpu_options, number_format

FAST = "flags\t\t: fpu avx2 avx512f avx512_bf16\n"
SLOW = "flags\t\t: fpu avx2 avx512f avx512_vbmi2\n"


@pytest.mark.parametrize(("told", "options"), [(FAST, ()), (SLOW, ("--dtype", "float32")), (None, ())])
def test_a_processor_computes_with_numbers_that_it_has(tmp_path: Path, told: str | None, options: tuple[str]) -> None:
    """Without instructions for bfloat16 a worker computes with 32 bits; where nothing is known, vLLM decides."""
    processor = tmp_path / "cpuinfo"
    if told is not None:
        processor.write_text(told)
    assert number_format(processor) == options


def test_the_options_fit_this_processor() -> None:
    """A worker is started with the format of the processor that it runs on."""
    options = cpu_options()
    assert ("--dtype" in options) == bool(number_format(Path("/proc/cpuinfo")))
