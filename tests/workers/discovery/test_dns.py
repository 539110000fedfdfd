"""Service discovery from a DNS name."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from sarlens.workers.discovery.base import DiscoveryError
from sarlens.workers.discovery.dns import DnsDiscovery


async def test_every_address_of_a_name_is_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with three addresses of both families is three endpoints; an unknown name raises DiscoveryError."""
    loop = asyncio.get_running_loop()

    async def addresses(name: str, port: int, **_: Any) -> list[Any]:
        if name != "vllm":
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", (address, port)) for address in ("10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.1")]

    monkeypatch.setattr(type(loop), "getaddrinfo", lambda _, *given, **more: addresses(*given, **more))
    assert set(await DnsDiscovery("vllm", 8000).endpoints()) == {
        "http://10.0.0.1:8000",
        "http://10.0.0.2:8000",
        "http://[fd00::1]:8000",
    }
    with pytest.raises(DiscoveryError, match="Name or service not known"):
        await DnsDiscovery("absent", 8000).endpoints()
