"""The command line of a vLLM worker with the options that the gateway requires."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from sarlens.errors import StartupError

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Flags of processors with bfloat16 instructions: Intel's, AMD's and, the last one, Arm's."""


class VllmNotInstalled(StartupError):
    """vLLM isn't installed in this environment."""


def vllm_command(model: str, name: str, host: str, port: int, extra: Sequence[str] = ()) -> list[str]:
    """Return the command line of a worker.

    Args:
        model: directory of the model, or a name that vLLM can download.
        name: name under which the worker serves it.
        host: address to listen on.
        port: port to listen on.
        extra: further options of vLLM.

    Raises:
        VllmNotInstalled: vLLM isn't installed in this environment.
    """
    if find_spec("vllm") is None:
        raise VllmNotInstalled(
            'vLLM isn\'t installed: run `make serve`, or `pip install ".[cpu]"` in a checkout; with running workers, '
            "use `sarlens serve --worker http://gpu-1:8000`"
        )
    return [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", model, "--served-model-name", name, "--host", host, "--port", str(port)),
        # One API server has one multimodal cache, keyed by the ids of the images.
        *("--api-server-count", "1"),
        # Only the gateway fetches images: a worker opens no URL but data:.
        *("--allowed-media-domains", "none.invalid"),
        "--enable-request-id-headers",
        "--enable-prompt-tokens-details",
        "--disable-uvicorn-access-log",
        *extra,
    ]


def cpu_options(processor: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Return the options for a small model on two cores: ready in about 15 s, with 1.5 GB of memory.

    Blocks have the minimum size of the CPU back end, so that the tokens of one image fill some and can be reused.

    Args:
        processor: Linux's description of the processor of the worker.
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
        # Without this, a weak model that must follow a JSON schema writes whitespace without end.
        *("--structured-outputs-config", '{"backend":"xgrammar","disable_any_whitespace":true}'),
        *dtype_args(processor),
    ]


def dtype_args(processor: Path) -> tuple[str, ...]:
    """Return the option for 32-bit numbers if the processor lacks bfloat16 instructions, else no option.

    Args:
        processor: Linux's description of the processor.
    """
    return ("--dtype", "float32") if lacks_native_bfloat16(processor) else ()


def lacks_native_bfloat16(processor: Path) -> bool:
    """Whether a processor has no bfloat16 instructions, so that bfloat16 is several times as slow as 32 bits.

    Args:
        processor: Linux's description of the processor; False if the file doesn't exist.
    """
    return processor.exists() and not set(processor.read_text().split()) & _BFLOAT16_FLAGS


def vllm_environment(is_local: bool = True) -> dict[str, str]:
    """Return the variables of a worker: no usage statistics, no redirects followed, and no hub for a local model."""
    offline = {"HF_HUB_OFFLINE": "1"} if is_local else {}
    return offline | {"VLLM_NO_USAGE_STATS": "1", "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0"}


def cpu_environment() -> dict[str, str]:
    """Return the variables of a worker with ``cpu_options``: one process, which its executor requires, and one thread.

    With a model this small, more threads gain nothing, and spin against other processes on the same cores. With more
    threads, a worker that alone answers 200 to 300 questions per second answers 25 to 40 next to a busy process.
    """
    return {
        **vllm_environment(),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
