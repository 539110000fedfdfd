"""What the load tests stand on: processes that are ready, and figures with their ranges."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import aiohttp

from sarlens.child import Child, child
from sarlens.seaweed import free_port
from sarlens.workers.vllm import cpu_environment, cpu_options, worker_command

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
    """A worker that answers from memory, ready."""
    port = free_port()
    process = start(name, [sys.executable, str(HERE / "static_worker.py"), str(port)], {})
    return _when_ready(f"http://127.0.0.1:{port}", "/health", process)


def vllm_worker(start: Start, name: str, model: Path) -> tuple[str, Child]:
    """A real vLLM worker on the CPU, ready."""
    port = free_port()
    command = worker_command(str(model), model.name, "127.0.0.1", port, cpu_options())
    return _when_ready(f"http://127.0.0.1:{port}", "/health", start(name, command, cpu_environment()))


def pretend_worker(start: Start, name: str, *options: str) -> tuple[str, Child]:
    """A worker that takes its time and misbehaves when told to, ready."""
    port = free_port()
    process = start(name, [sys.executable, str(HERE / "pretend_worker.py"), str(port), *options], {})
    return _when_ready(f"http://127.0.0.1:{port}", "/health", process)


def sarlens(
    start: Start, workers: Sequence[str], environment: Mapping[str, str], profile: Sequence[str] = ()
) -> tuple[str, Child]:
    """The gateway before some workers, ready; ``profile`` are Python's options for a profiler around it."""
    port = free_port()
    named = [word for worker in workers for word in ("--worker", worker)]
    command = [sys.executable, *profile, "-m", "sarlens", "serve", "--port", str(port), *named]
    process = start("sarlens", command, {"SARLENS_LOG_LEVEL": "error", "SARLENS_GRPC__PORT": "none", **environment})
    return _when_ready(f"http://127.0.0.1:{port}", "/readyz", process)


def peer(start: Start, name: str, workers: Sequence[str], model: str, state: Path) -> tuple[str, Child]:
    """A router of others, ready."""
    port, metrics = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(PEERS / name / "bin" / name)]
    if name == "litellm":
        config = state / "litellm.yaml"
        config.write_text(_litellm(workers, model))
        command += ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        return _when_ready(url, "/health/liveliness", start(name, command, {"LITELLM_LOG": "ERROR", **_UNLOCKED}))
    command += ["launch"] if name == "smg" else []
    command += ["--host", "127.0.0.1", "--port", str(port), "--worker-urls", *workers, "--policy", "cache_aware"]
    command += ["--worker-startup-check-interval", "1", "--prometheus-port", str(metrics)]
    command += ["--log-level", "warn" if name == "smg" else "warning"]
    return _when_ready(url, "/health", start(name, command, {}))


def _litellm(workers: Sequence[str], model: str) -> str:
    entries = [
        f"  - model_name: {model}\n    litellm_params: "
        f"{{model: hosted_vllm/{model}, api_base: {worker}/v1, api_key: none}}\n"
        for worker in workers
    ]
    return f"model_list:\n{''.join(entries)}router_settings: {{routing_strategy: least-busy, num_retries: 0}}\n"


def _when_ready(url: str, page: str, process: Child) -> tuple[str, Child]:
    asyncio.run(_ready(f"{url}{page}", process))
    return url, process


async def _ready(url: str, process: Child, patience_s: float = 240) -> None:
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
    """CPU time that processes and all that they started have used, in milliseconds, to the tick of 10 ms."""
    ticks = 0
    for stat in _members(processes):
        with suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") * 1000


def run_ms(*processes: Child) -> float:
    """The same to the microsecond, of those of their threads that still run."""
    tasks = (task for stat in _members(processes) for task in stat.parent.glob("task/*/schedstat"))
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6


def _members(processes: Sequence[Child]) -> Iterator[Path]:
    """The ``/proc/PID/stat`` of all in the sessions of processes."""
    sessions = {process.pid for process in processes}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rsplit(")", 1)[1].split()[3]) in sessions:
                yield stat


def memory_mb(process: Child) -> float:
    """Memory that a process holds."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def spread(values: Sequence[float], form: str) -> str:
    """The median, and the range."""
    return f"{statistics.median(values):>8{form}}  ({min(values):{form}} to {max(values):{form}})"


async def open_loop(ask: Callable[[], Coroutine[None, None, None]], per_second: float, seconds: float) -> None:
    """Ask at a steady rate, whether or not earlier ones are answered, and wait for the last."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_second - loop.time()))
            group.create_task(ask())
