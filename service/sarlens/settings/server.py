"""Settings of HTTP connections."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sarlens.settings.types import Bytes, Seconds, SettingsGroup


class ServerSettings(SettingsGroup):
    """Limits of HTTP connections, per process."""

    hosts: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9._-]+$|^\[[0-9a-f:.]+\]$")], ...],
        Field(
            description="Values of the header Host that the gateway serves, without port, such as radar.example.com or "
            "*.example.com; empty, all. The address of the connection itself is always served.",
            examples=["radar.example.com"],
        ),
    ] = ()
    max_connections: Annotated[
        int | None,
        Field(
            ge=1,
            description="Maximum number of HTTP connections per process; unset, half of the limit of open files, and "
            "16,384 at most.",
        ),
    ] = None
    max_head_bytes: Annotated[
        int, Field(ge=1024, description="Maximum size of a request line and its headers, in bytes.")
    ] = 64 * 2**10
    head_timeout_s: Annotated[
        Seconds, Field(description="Time in which the headers of a request must be complete, in seconds.")
    ] = 10.0
    keepalive_timeout_s: Annotated[
        Seconds,
        Field(
            description="Time that an idle connection of a client stays open, in seconds; longer than that of a load "
            "balancer in front."
        ),
    ] = 75.0
    body_timeout_s: Annotated[
        Seconds, Field(description="Time in which the body of a request must be complete, in seconds.")
    ] = 300.0
    read_timeout_s: Annotated[
        Seconds, Field(description="Time over which a body must arrive at `min_bytes_per_s`, in seconds.")
    ] = 10.0
    write_timeout_s: Annotated[
        Seconds, Field(description="Time over which a client must read a response at `min_bytes_per_s`, in seconds.")
    ] = 30.0
    min_bytes_per_s: Annotated[
        Bytes, Field(description="Minimum rate of a body and of a response that the client delays, in bytes a second.")
    ] = 1024
