"""Exceptions that no code can handle: log lines in place of tracebacks."""

from __future__ import annotations

import json
import sys
import textwrap
import threading
from subprocess import run

import pytest
import structlog

from sarlens.observability import unhandled
from sarlens.observability.unhandled import log_unhandled_exceptions


@pytest.fixture(autouse=True)
def _hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the hooks of the interpreter."""
    for owner, name in ((sys, "unraisablehook"), (sys, "excepthook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    log_unhandled_exceptions()


class Broken:
    """An object whose destructor fails."""

    def __del__(self) -> None:
        raise LookupError("secret-word")


def test_each_type_has_one_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand failing destructors log one line with their place and no message; a minute later, one with a count."""
    now = [0.0]
    monkeypatch.setattr(unhandled, "monotonic", lambda: now[0])
    with structlog.testing.capture_logs() as lines:
        for _ in range(1000):
            Broken()
        now[0] = unhandled.INTERVAL_S
        Broken()
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    facts = [(line["event"], line["exception"], line["count"]) for line in lines]
    assert facts == [
        ("unhandled exception", "LookupError", 1),
        ("unhandled exception", "LookupError", 1000),
        ("unhandled exception", "ZeroDivisionError", 1),
    ]
    assert "test_unhandled.py:" in lines[0]["place"]
    assert "secret-word" not in str(lines)


@pytest.mark.slow
def test_a_damaged_tiff_writes_only_json() -> None:
    """100 TIFFs with metadata that isn't UTF-8 write lines of JSON and no traceback, in the thread of a decoder."""
    program = """
        import asyncio, sys, warnings
        import numpy as np
        from imagery.object_fixtures import geotiff, RecordingReader
        from sarlens.errors import SarlensError
        from sarlens.imagery.core.image_threads import ImageThreads
        from sarlens.imagery.formats.reader import DecodeLimits, read_extent
        from sarlens.observability.logging import configure_logging

        configure_logging("info")
        warnings.filterwarnings("ignore", message="Dataset has no geotransform")  # of the file that is written here
        tiff = bytearray(geotiff(np.ones((64, 64), np.uint16), tags={"": {"A": "hello"}}))
        start = tiff.index(b"<GDALMetadata")
        tiff[start : start + 9] = bytes([60, 255, 254, 60, 60, 62, 111, 111, 255])

        def read():
            for _ in range(100):
                try:
                    read_extent(RecordingReader(bytes(tiff)), DecodeLimits())
                except SarlensError:
                    pass

        threads = ImageThreads(max_decodes=1, max_reads=1, max_reads_per_bucket=1)
        asyncio.run(threads.run_in_memory(read))
        threads.close()
    """
    done = run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, cwd="tests"
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["exception"] for line in lines if line["event"] == "unhandled exception"] == ["UnicodeDecodeError"]
    assert len(lines) < 10
