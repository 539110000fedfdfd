"""A name service that knows what a test tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from socket import AF_INET, AF_INET6

from aiohttp.abc import AbstractResolver, ResolveResult


class Names(AbstractResolver):
    """Knows some hosts; each question takes the next list of addresses, and the last one stays."""

    def __init__(self, hosts: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {host: list(answers) for host, answers in hosts.items()}

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """The addresses of a host."""
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
        """Nothing is open."""
