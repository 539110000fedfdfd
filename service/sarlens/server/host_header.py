"""Validation of the header ``Host``, from which the gateway makes links."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from sarlens.errors import BadRequest

_HOST = re.compile(rb"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::(?P<port>[0-9]{0,5}))?")


class HostPolicy:
    """Decides which values of ``Host`` the gateway serves."""

    def __init__(self, hosts: Sequence[str]) -> None:
        """``hosts`` are names such as ``example.com`` or ``*.example.com``; empty, all valid hosts are served."""
        self._names = frozenset(host for host in hosts if not host.startswith("*"))
        self._suffixes = tuple(host.removeprefix("*") for host in hosts if host.startswith("*"))

    def check(self, values: Sequence[bytes], http_version: str, local_address: str | None) -> None:
        """Check all ``Host`` headers of a request; the address that the client connected to is always served.

        Raises:
            BadRequest: the header is missing, repeated or malformed, or the gateway doesn't serve the host.
        """
        if not values and http_version == "1.0":
            return
        if len(values) != 1:
            raise BadRequest("The request must have one Host header.")
        host = _parse(values[0])
        if host is None:
            raise BadRequest("The Host header isn't a host name or an address, with an optional port.")
        if (self._names or self._suffixes) and not self._serves(host, local_address):
            raise BadRequest("The gateway doesn't serve this host.")

    def _serves(self, host: str, local_address: str | None) -> bool:
        return host in self._names or host.endswith(self._suffixes) or host.strip("[]") == local_address


@lru_cache(maxsize=256)
def _parse(value: bytes) -> str | None:
    """The host of a header in lower case; None if the header is malformed."""
    match = _HOST.fullmatch(value)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    host = match["host"].decode().lower()
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return None
    return host
