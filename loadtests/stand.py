"""What the load tests stand on: processes that are ready, and figures with their ranges."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import aiohttp

from sarlens.child import Child, child
from sarlens.seaweed import free_port

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("SARLENS_PEERS", HERE.parent / ".local" / "peers"))
"""Where ``make peers`` puts each peer, an environment of its own."""
_UNLOCKED = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
JSON = {"content-type": "application/json"}

Start = Callable[[str, Sequence[str], Mapping[str, str]], Child]


def starter(stack: ExitStack, state: Path) -> Start:
    """A function that starts a named command whose log goes into ``state`` and which ends with the stack."""

    def start(name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        return stack.enter_context(child(name, command, environment, state / f"{name}.log"))

    return start


def static_worker(start: Start, name: str) -> tuple[str, Child]:
    """A worker that answers from memory."""
    port = free_port()
    return f"http://127.0.0.1:{port}", start(name, [sys.executable, str(HERE / "static_worker.py"), str(port)], {})


def sarlens(start: Start, workers: Sequence[str], environment: Mapping[str, str]) -> tuple[str, Child]:
    """The gateway before some workers."""
    port = free_port()
    named = [word for worker in workers for word in ("--worker", worker)]
    command = [sys.executable, "-m", "sarlens", "serve", "--port", str(port), *named]
    return f"http://127.0.0.1:{port}", start("sarlens", command, {"SARLENS_LOG_LEVEL": "error", **environment})


def peer(start: Start, name: str, workers: Sequence[str], model: str, state: Path) -> tuple[str, str, Child]:
    """A router of others: its base URL, the page that says it is ready, and its process."""
    port, metrics = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(PEERS / name / "bin" / name)]
    if name == "litellm":
        config = state / "litellm.yaml"
        config.write_text(_litellm(workers, model))
        command += ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        return url, f"{url}/health/liveliness", start(name, command, {"LITELLM_LOG": "ERROR", **_UNLOCKED})
    command += ["launch"] if name == "smg" else []
    command += ["--host", "127.0.0.1", "--port", str(port), "--worker-urls", *workers, "--policy", "cache_aware"]
    command += ["--worker-startup-check-interval", "1", "--prometheus-port", str(metrics)]
    command += ["--log-level", "warn" if name == "smg" else "warning"]
    return url, f"{url}/health", start(name, command, {})


def _litellm(workers: Sequence[str], model: str) -> str:
    entries = [
        f"  - model_name: {model}\n    litellm_params: "
        f"{{model: hosted_vllm/{model}, api_base: {worker}/v1, api_key: none}}\n"
        for worker in workers
    ]
    return f"model_list:\n{''.join(entries)}router_settings: {{routing_strategy: least-busy, num_retries: 0}}\n"


async def ready(url: str, process: Child, patience_s: float = 240) -> None:
    """Wait until a page answers 200."""
    async with asyncio.timeout(patience_s), aiohttp.ClientSession() as session:
        while not process.ended:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)
    raise SystemExit(f"the {process.name} ended:\n{process.last_words()}")


def cpu_ms(*processes: Child) -> float:
    """CPU time that processes and all that they started have used, in milliseconds."""
    sessions = {process.pid for process in processes}
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) in sessions:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") * 1000


def spread(values: Sequence[float], form: str) -> str:
    """The median, and the range."""
    return f"{statistics.median(values):>8{form}}  ({min(values):{form}} to {max(values):{form}})"
