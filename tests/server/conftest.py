"""The application and the port of the server that a file of tests starts."""

from __future__ import annotations

import pytest

from support.raw_http import RecordingApp


@pytest.fixture
def app(server: tuple[RecordingApp, int]) -> RecordingApp:
    """The application of the server, without recorded requests."""
    server[0].clear()
    return server[0]


@pytest.fixture
def port(server: tuple[RecordingApp, int]) -> int:
    """The port of the server."""
    return server[1]
