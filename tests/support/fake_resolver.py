"""Fake DNS resolver with fixed addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from socket import AF_INET, AF_INET6

from aiohttp.abc import AbstractResolver, ResolveResult


class FakeResolver(AbstractResolver):
    """Resolver of ``hosts``: each query returns the next list of addresses, and then repeats the last one."""

    def __init__(self, hosts: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {host: list(answers) for host, answers in hosts.items()}

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """Return the addresses of a host, or raise OSError."""
        answers = self._answers.get(host)
        if not answers:
            raise OSError("no such name")
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": AF_INET6 if ":" in address else AF_INET,
                "proto": 0,
                "flags": 0,
            }
            for address in (answers.pop(0) if len(answers) > 1 else answers[0])
        ]

    async def close(self) -> None:
        """Do nothing: no resource is open."""
