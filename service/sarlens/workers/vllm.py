"""How to start a vLLM worker with the switches that the gateway relies on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
"""Flags of processors that compute with bfloat16, Intel's and AMD's and, the last one, Arm's."""


class VllmMissing(Exception):
    """vLLM is not installed beside Sarlens."""


def worker_command(model: str, name: str, host: str, port: int, extra: Sequence[str] = ()) -> list[str]:
    """The command line of a worker.

    Raises:
        VllmMissing: there is no vLLM in this environment.
    """
    if find_spec("vllm") is None:
        raise VllmMissing("vLLM is not installed here; `make serve` installs it, or name running workers to `serve`")
    return [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", model, "--served-model-name", name, "--host", host, "--port", str(port)),
        # One API server holds one multimodal cache, which the content ids of pictures are keys of.
        *("--api-server-count", "1"),
        # The gateway is the only one who fetches: a worker opens no URL but data:.
        *("--allowed-media-domains", "none.invalid"),
        "--enable-request-id-headers",
        "--enable-prompt-tokens-details",
        "--disable-uvicorn-access-log",
        *extra,
    ]


def cpu_options(processor: Path = Path("/proc/cpuinfo")) -> list[str]:
    """What suits a small model on two cores: it is ready in a quarter of a minute and takes 1.5 GB of memory.

    Blocks are as small as the CPU back end allows, so that the tokens of one image fill some and can be reused.

    Args:
        processor: what Linux tells of the processor that the worker runs on.
    """
    return [
        "--enforce-eager",
        *("--distributed-executor-backend", "uni"),
        *("--block-size", "32"),
        *("--max-model-len", "4096"),
        *("--kv-cache-memory-bytes", "128M"),
        *("--max-num-seqs", "32"),
        "--skip-mm-profiling",
        *("--mm-processor-cache-gb", "0.25"),
        *("--limit-mm-per-prompt", '{"image":4}'),
        # A weak model held to a JSON schema would else write blanks for ever.
        *("--structured-outputs-config", '{"backend":"xgrammar","disable_any_whitespace":true}'),
        *number_format(processor),
    ]


def number_format(processor: Path) -> tuple[str, ...]:
    """32-bit numbers for a processor that imitates bfloat16; ``processor`` is what Linux tells of it."""
    return ("--dtype", "float32") if imitates_bfloat16(processor) else ()


def imitates_bfloat16(processor: Path) -> bool:
    """Whether a processor has no instructions for bfloat16, and is several times as slow with it as with 32 bits.

    Args:
        processor: what Linux tells of it; of one of which nothing is told it is not assumed.
    """
    return processor.exists() and not set(processor.read_text().split()) & _BFLOAT16


def worker_environment() -> dict[str, str]:
    """Variables that a worker wants: no calls home and no redirects followed."""
    return {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0"}


def cpu_environment() -> dict[str, str]:
    """The same, one process less, which the executor of ``cpu_options`` needs, and one thread for the arithmetic.

    More threads gain nothing with a model this small, and spin against whatever else runs on the same cores: a worker
    that answers 200 to 300 questions a second by itself answers 25 to 40 beside a busy process.
    """
    return {
        **worker_environment(),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
