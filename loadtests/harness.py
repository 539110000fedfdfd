"""Shared parts of the load tests: ready processes, their CPU time and memory, and figures with machine and ranges."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import aiohttp

from sarlens.devstack.ports import free_port
from sarlens.devstack.vllm import cpu_environment, cpu_options, vllm_command
from sarlens.runtime.child_process import ManagedProcess, run_process

HERE = Path(__file__).parent
WORKERS = HERE.parent / "tests/support/workers"
PEERS = Path(os.environ.get("SARLENS_PEERS", HERE.parent / ".local" / "peers"))
"""Folder into which ``make peers`` installs each peer, in its own environment."""
_UNLOCKED = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
JSON = {"content-type": "application/json"}
_FLAGS = (
    *("avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni", "amx_bf16", "sha_ni"),
    *("asimd", "sve", "bf16", "sha2"),
)
"""Flags of x86-64 and Arm processors that select code in the gateway's kernels, NumPy, ISA-L, OpenSSL and vLLM."""

Start = Callable[[str, Sequence[str], Mapping[str, str]], ManagedProcess]


def starter(stack: ExitStack, state: Path) -> Start:
    """Return a function that starts a named command; it logs to ``state`` and ends with the stack."""

    def start(name: str, command: Sequence[str], environment: Mapping[str, str]) -> ManagedProcess:
        return stack.enter_context(run_process(name, command, environment, state / f"{name}.log"))

    return start


def stub_worker(start: Start, name: str) -> tuple[str, ManagedProcess]:
    """Start ``stub_worker.py``, wait until it is ready, and return its URL and process."""
    port = free_port()
    process = start(name, [sys.executable, str(WORKERS / "stub_worker.py"), str(port)], {})
    return _when_ready(f"http://127.0.0.1:{port}", "/health", process)


def vllm_worker(start: Start, name: str, model: Path) -> tuple[str, ManagedProcess]:
    """Start a vLLM worker on the CPU, wait until it is ready, and return its URL and process."""
    port = free_port()
    command = vllm_command(str(model), model.name, "127.0.0.1", port, cpu_options())
    return _when_ready(f"http://127.0.0.1:{port}", "/health", start(name, command, cpu_environment()))


def mock_worker(start: Start, name: str, *options: str) -> tuple[str, ManagedProcess]:
    """Start ``mock_worker.py``, wait until it is ready, and return its URL and process."""
    port = free_port()
    process = start(name, [sys.executable, str(WORKERS / "mock_worker.py"), str(port), *options], {})
    return _when_ready(f"http://127.0.0.1:{port}", "/health", process)


def stream_worker(start: Start, name: str, interval_s: float) -> tuple[str, ManagedProcess]:
    """Start ``stream_worker.py``, wait until it is ready, and return its URL and process."""
    port = free_port()
    process = start(name, [sys.executable, str(WORKERS / "stream_worker.py"), str(port), str(interval_s)], {})
    return _when_ready(f"http://127.0.0.1:{port}", "/health", process)


def sarlens(
    start: Start, workers: Sequence[str], environment: Mapping[str, str], profile: Sequence[str] = ()
) -> tuple[str, ManagedProcess]:
    """Start a gateway in front of workers, wait until it is ready, and return its URL and process.

    ``profile`` holds Python options that run the gateway under a profiler.
    """
    port = free_port()
    options = [word for worker in workers for word in ("--worker", worker)]
    command = [sys.executable, *profile, "-m", "sarlens", "serve", "--port", str(port), *options]
    process = start("sarlens", command, {"SARLENS_LOG_LEVEL": "error", "SARLENS_GRPC__PORT": "none", **environment})
    return _when_ready(f"http://127.0.0.1:{port}", "/health", process)


def peer(start: Start, name: str, workers: Sequence[str], model: str, state: Path) -> tuple[str, ManagedProcess]:
    """Start another router, wait until it is ready, and return its URL and process."""
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


def _when_ready(url: str, path: str, process: ManagedProcess) -> tuple[str, ManagedProcess]:
    asyncio.run(_ready(f"{url}{path}", process))
    return url, process


async def _ready(url: str, process: ManagedProcess, timeout_s: float = 240) -> None:
    async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as session:
        while not process.has_exited:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)
    raise SystemExit(f"{process.name} exited:\n{process.log_tail()}")


def cpu_ms(*processes: ManagedProcess) -> float:
    """Return the CPU time of processes and their children, in milliseconds, with a resolution of 10 ms."""
    ticks = 0
    for stat in _members(processes):
        with suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") * 1000


def run_ms(*processes: ManagedProcess) -> float:
    """Return the CPU time of processes and their children, in milliseconds, from the scheduler's nanoseconds.

    Threads that have ended aren't counted.
    """
    return sum(run_ms_apart(*processes))


def run_ms_apart(*processes: ManagedProcess) -> tuple[float, float]:
    """Return the CPU time of processes and that of their children, as ``run_ms``.

    A vLLM worker is the API server, and its child is the engine.
    """
    parents = {process.pid for process in processes}
    totals = {True: 0.0, False: 0.0}
    for stat in _members(processes):
        for task in stat.parent.glob("task/*/schedstat"):
            with suppress(OSError):
                totals[int(stat.parent.name) in parents] += int(task.read_text().split()[0]) / 1e6
    return totals[True], totals[False]


def pin(process: ManagedProcess, cores: Iterable[int]) -> None:
    """Bind all threads of a process and of its children to cores. Later threads and children inherit them."""
    for stat in _members([process]):
        for task in stat.parent.glob("task/*"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cores)


def _members(processes: Sequence[ManagedProcess]) -> Iterator[Path]:
    """Yield ``/proc/PID/stat`` of each process in the sessions of ``processes``."""
    sessions = {process.pid for process in processes}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rsplit(")", 1)[1].split()[3]) in sessions:
                yield stat


def memory_mb(process: ManagedProcess) -> float:
    """Return the resident memory of a process, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def spread(values: Sequence[float], form: str) -> str:
    """Format the median and the range."""
    return f"{statistics.median(values):>8{form}}  ({min(values):{form}} to {max(values):{form}})"


def paired(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the ratio of each round's figures: a change of the machine between rounds changes both.

    Raises:
        ValueError: the number of rounds differs.
    """
    return [one / other for one, other in zip(over, under, strict=True)]


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's model, the number of its cores, and its ``flags``, in one line.

    Args:
        cpuinfo: Linux's description of the processors.
    """
    fields = _fields(cpuinfo)
    numbers = [f"{name} {fields[name]}" for name in ("cpu family", "model", "CPU part") if name in fields]
    name = fields.get("model name", platform.machine())
    return f"{name} ({', '.join(numbers)}), {os.cpu_count()} cores; {flags(cpuinfo)}"


def flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the flags of the processor that select code, with spaces between them."""
    fields = _fields(cpuinfo)
    own = set(fields.get("flags", fields.get("Features", "")).split())
    return " ".join(flag for flag in _FLAGS if flag in own)


def _fields(cpuinfo: Path) -> dict[str, str]:
    """Return the fields of the first processor."""
    pairs = (line.partition(":") for line in reversed(cpuinfo.read_text().splitlines()))
    return {name.strip(): value.strip() for name, _, value in pairs}


def print_machine() -> None:
    """Print the machine, as the first line of each table."""
    print(f"Machine: {machine()}", flush=True)


async def open_loop(ask: Callable[[], Coroutine[None, None, None]], per_second: float, seconds: float) -> None:
    """Call ``ask`` at a steady rate, independent of earlier responses, and wait for the last one."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_second - loop.time()))
            group.create_task(ask())
