"""The command line of a vLLM worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarlens.devstack import vllm
from sarlens.devstack.vllm import cpu_options, dtype_args, vllm_command
from sarlens.errors import StartupError

WITH_BFLOAT16 = "flags\t\t: fpu avx2 avx512f avx512_bf16\n"
WITHOUT_BFLOAT16 = "flags\t\t: fpu avx2 avx512f avx512_vbmi2\n"


@pytest.mark.parametrize(
    ("cpuinfo", "options"), [(WITH_BFLOAT16, ()), (WITHOUT_BFLOAT16, ("--dtype", "float32")), (None, ())]
)
def test_a_processor_without_bfloat16_computes_with_32_bits(
    tmp_path: Path, cpuinfo: str | None, options: tuple[str]
) -> None:
    """Without bfloat16 instructions a worker uses 32 bits; if nothing is known of the processor, vLLM decides."""
    processor = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        processor.write_text(cpuinfo)
    assert dtype_args(processor) == options


def test_the_options_fit_this_processor() -> None:
    """A worker starts with the number format of the processor that it runs on."""
    options = cpu_options()
    assert ("--dtype" in options) == bool(dtype_args(Path("/proc/cpuinfo")))


def test_a_missing_vllm_is_reported_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without vLLM, the error names the extra and the way without a local worker."""
    monkeypatch.setattr(vllm, "find_spec", lambda _: None)
    with pytest.raises(StartupError, match=r'isn.t installed: .*pip install "\.\[cpu\]"') as raised:
        vllm_command("model", "model", "127.0.0.1", 8000)
    assert "sarlens serve --worker" in str(raised.value)
