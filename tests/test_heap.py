"""How the memory of a process is handed out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

EIGHT_THREADS = """
import ctypes, sys, threading
from sarlens.heap import tune_malloc

if "tuned" in sys.argv:
    tune_malloc()
together = threading.Barrier(8)


def allocate():
    held = bytearray(5000)
    together.wait()
    del held


threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="heaps for threads are glibc's")
@pytest.mark.parametrize(
    ("words", "environment", "heaps"),
    [((), {}, {8, 9}), (("tuned",), {}, {2}), (("tuned",), {"MALLOC_ARENA_MAX": "3"}, {3})],
)
def test_threads_share_two_heaps(words: tuple[str, ...], environment: dict[str, str], heaps: set[int]) -> None:
    """Eight threads make a heap each; in a gateway they share two, or as many as the environment says."""
    command = [sys.executable, "-c", EIGHT_THREADS, *words]
    given = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | environment
    said = subprocess.run(command, env=given, check=True, capture_output=True, text=True).stdout
    assert said.count("<heap ") in heaps


THREE_BUFFERS = """
import resource, sys
from sarlens.heap import tune_malloc

if "tuned" in sys.argv:
    tune_malloc()
for _ in range(20):
    held = [bytearray(9 * 2**20) for _ in range(3)]
    for each in held:
        each[::4096] = bytes(len(each[::4096]))
    del held, each
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the thresholds are glibc's")
def test_memory_is_kept_for_the_next_picture() -> None:
    """Three buffers that are freed and wanted again are there, and not asked of the kernel page by page."""
    plain, tuned = (
        int(subprocess.run([sys.executable, "-c", THREE_BUFFERS, word], check=True, capture_output=True).stdout)
        for word in ("plain", "tuned")
    )
    assert plain - tuned > 10 * 3 * (9 * 2**20 // 4096)
