"""Free ports of the loopback address."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

_HOST = "127.0.0.1"
_CANDIDATES = range(20_000, 32_768)
"""Below the ephemeral ports of Linux, which connections can occupy before a server listens."""


def free_port() -> int:
    """Return a port of the loopback address that is free now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback address that are free now, and that no outgoing connection gets later.

    Raises:
        OSError: there are too few.
    """
    ports: list[int] = []
    with ExitStack() as stack:
        for port in random.SystemRandom().sample(_CANDIDATES, len(_CANDIDATES)):
            if len(ports) == count:
                return ports
            try:
                stack.enter_context(socket.create_server((_HOST, port)))
            except OSError:
                continue
            ports.append(port)
    raise OSError(f"fewer than {count} ports from {_CANDIDATES.start} to {_CANDIDATES.stop - 1} are free")


def is_free(port: int) -> bool:
    """Whether a port of the loopback address is free now."""
    try:
        with socket.create_server((_HOST, port)):
            return True
    except (OSError, OverflowError):
        return False


def free_port_near(port: int) -> int:
    """Return ``port`` if it is free, else another free port."""
    return port if is_free(port) else free_port()
