"""The address of a worker, and the heads of requests to it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from yarl import URL

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ADDRESS_TTL_S = 10.0
"""Time for which the addresses of a name are kept, in seconds."""

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


class Endpoint:
    """The address of a worker. New connections go to its addresses in turn."""

    def __init__(self, url: str, fields: Mapping[str, str]) -> None:
        """Parse a base URL; ``fields`` are header fields of all requests.

        Raises:
            ValueError: a field has control characters.
        """
        base = URL(url)
        self.is_tls = base.scheme == "https"
        self.host = (base.raw_host or "").rstrip(".")
        self.port = base.port or 0
        self._url = url
        self._fields = format_fields({"Host": base.host_port_subcomponent or "", "Accept": "*/*", **fields}.items())
        self._heads: dict[tuple[str, str], bytes] = {}
        self._addresses: list[AddressInfo] = _numeric_address(self.host, self.port)
        self._is_numeric = bool(self._addresses)
        self._resolved_at = float("-inf")
        self._turn = 0
        self._resolving = asyncio.Lock()

    def head(self, method: str, path: str) -> bytes:
        """Return the request line and the fields of all requests, without the blank line at the end.

        It is kept, so the path must be one of few.
        """
        head = self._heads.get((method, path))
        if head is None:
            target = URL(self._url + path).raw_path_qs
            head = self._heads[method, path] = f"{method} {target} HTTP/1.1\r\n".encode("ascii") + self._fields
        return head

    async def addresses(self) -> list[AddressInfo]:
        """Return the addresses in the order in which the next connection tries them.

        Raises:
            OSError: the name has no address.
            UnicodeError: the name has a part that is empty or too long.
        """
        if not self._is_numeric:
            async with self._resolving:
                await self._resolve()
        self._turn += 1
        turn = self._turn % len(self._addresses)
        return self._addresses[turn:] + self._addresses[:turn]

    async def _resolve(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._resolved_at >= _ADDRESS_TTL_S:
            self._addresses = [*await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)]
            self._resolved_at = loop.time()


def format_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return header fields as they are sent.

    Raises:
        ValueError: a field has control characters, which could end it.
    """
    lines = []
    for name, value in fields:
        if _CONTROL.search(name) or _CONTROL.search(value):
            raise ValueError("a header field has control characters")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("utf-8")


def _numeric_address(host: str, port: int) -> list[AddressInfo]:
    """Return the address that a host is written as; empty if it is a name."""
    try:
        return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]
    except (OSError, UnicodeError):
        return []
