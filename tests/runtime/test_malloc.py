"""Options of malloc."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

EIGHT_THREADS = """
import ctypes, sys, threading
from sarlens.runtime.malloc import tune_malloc

if "tuned" in sys.argv:
    tune_malloc()
together = threading.Barrier(8)


def allocate():
    buffer = bytearray(5000)
    together.wait()
    del buffer


threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="arenas per thread are glibc's")
@pytest.mark.parametrize(
    ("arguments", "environment", "arenas"),
    [((), {}, {8, 9}), (("tuned",), {}, {2}), (("tuned",), {"MALLOC_ARENA_MAX": "3"}, {3})],
)
def test_threads_share_two_arenas(arguments: tuple[str, ...], environment: dict[str, str], arenas: set[int]) -> None:
    """Eight threads make an arena each; in a gateway they share two, or as many as the environment allows."""
    command = [sys.executable, "-c", EIGHT_THREADS, *arguments]
    inherited = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    report = subprocess.run(command, env=inherited | environment, check=True, capture_output=True, text=True).stdout
    assert report.count("<heap ") in arenas


THREE_BUFFERS = """
import resource, sys
from sarlens.runtime.malloc import tune_malloc

if "tuned" in sys.argv:
    tune_malloc()
for _ in range(20):
    buffers = [bytearray(9 * 2**20) for _ in range(3)]
    for buffer in buffers:
        buffer[::4096] = bytes(len(buffer[::4096]))
    del buffers, buffer
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the thresholds are glibc's")
def test_freed_memory_is_kept_for_the_next_image() -> None:
    """Three buffers of 9 MiB, freed and allocated 20 times, cause less than half of the page faults."""
    plain, tuned = (
        int(subprocess.run([sys.executable, "-c", THREE_BUFFERS, mode], check=True, capture_output=True).stdout)
        for mode in ("plain", "tuned")
    )
    assert plain - tuned > 10 * 3 * (9 * 2**20 // 4096)
