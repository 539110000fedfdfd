"""``sarlens workers``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from sarlens.cli.app import app, fail
from sarlens.cli.options import ManagementUrl, management_url

_HEADINGS = ("worker", "state", "in flight", "load", "breaker", "images", "models")


@app.command("workers")
def workers_command(
    url: ManagementUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON document of the gateway.")] = False,
) -> None:
    """Show the workers of a running gateway: state, load, circuit breaker, known images and models.

    The gateway needs a management port (SARLENS_MANAGEMENT__PORT). With several processes, the figures are those of the
    process that answers. Locations that find no workers, and workers that fail their health checks, have a reason. The
    exit code is 1 if no worker is ready.

    Example: SARLENS_MANAGEMENT__PORT=8082 sarlens workers
    """
    import asyncio

    fleet = asyncio.run(_read(management_url(url)))
    if as_json:
        import orjson

        sys.stdout.write(orjson.dumps(fleet, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        typer.echo(_table([_HEADINGS, *map(_row, fleet["workers"])]))
        for found in fleet["locations"]:
            if found["error"] or not found["workers"]:
                typer.echo(f"{found['location']}: {found['error'] or 'no workers found'}")
        for worker in fleet["workers"]:
            if worker["reason"]:
                typer.echo(f"{worker['name']}: {worker['reason']}")
    if not any(worker["ready"] for worker in fleet["workers"]):
        fail("no worker is ready")


async def _read(url: str) -> dict[str, Any]:
    from sarlens.client.transport import Transport

    transport = Transport(url, None, 30)
    try:
        return await transport.get_json("workers")
    finally:
        await transport.close()


def _row(worker: dict[str, Any]) -> tuple[str, ...]:
    return (
        worker["name"],
        "ready" if worker["ready"] else "not ready",
        str(worker["in_flight"]),
        f"{worker['load']:.1f}",
        worker["breaker"].replace("_", "-"),
        str(worker["known_images"]),
        ", ".join(worker["models"]),
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Align the columns of rows with spaces."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
