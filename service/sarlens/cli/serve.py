"""``sarlens serve``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sarlens.cli.app import app, fail

Worker = Annotated[
    list[str] | None,
    typer.Option(
        "--worker",
        help="Base URL of a vLLM worker, or a triton:, file:, dns: or kubernetes: location; repeatable. "
        "Default: SARLENS_WORKER__URLS.",
    ),
]
Host = Annotated[
    str | None, typer.Option("--host", help="Address to listen on. Default: SARLENS_HOST, else 127.0.0.1.")
]
Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, help="Port of REST. Default: SARLENS_PORT, else 8080."),
]


def setting_overrides(
    worker: list[str] | None, host: str | None, port: int | None, *, open_to_all: bool = False
) -> dict[str, Any]:
    """Return the settings that options name; they precede the environment."""
    overrides: dict[str, Any] = {"host": host, "port": port}
    overrides |= {"worker": {"urls": worker} if worker else None}
    overrides |= {"keys": {"allow_anonymous": True} if open_to_all else None}
    return {name: value for name, value in overrides.items() if value is not None}


@app.command()
def serve(
    worker: Worker = None,
    host: Host = None,
    port: Port = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Number of processes, to use several cores.")] = 1,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Serve callers without API keys on addresses other than loopback.")
    ] = False,
) -> None:
    """Serve the gateway for running workers.

    Environment variables and a file .env hold the settings, such as SARLENS_S3__ENDPOINT. `sarlens settings` lists
    them, and `sarlens settings --current` shows the values in force.

    At SIGTERM the gateway rejects new requests and lets open ones finish. The exit code is 0 if all finished and 3 if
    some were aborted.

    Example: sarlens serve --worker http://gpu-1:8000 --worker http://gpu-2:8000
    """
    import gc

    gc.disable()  # modules aren't garbage, and each collection visits all of them
    from sarlens.bootstrap.gateway import check_dependencies
    from sarlens.server.server import EXIT_REQUESTS_ABORTED, bind_socket, is_loopback
    from sarlens.server.server import serve as run_server
    from sarlens.server.supervisor import serve_multiprocess
    from sarlens.settings import load_settings

    gc.freeze()
    gc.enable()
    settings = load_settings(setting_overrides(worker, host, port, open_to_all=open_to_all))
    if not (settings.keys.file or settings.keys.allow_anonymous or is_loopback(settings.host)):
        fail(
            f"on {settings.host}, which other machines can reach, the gateway requires API keys: name a file of keys "
            "with SARLENS_KEYS__FILE (`sarlens key` makes one), or pass --open"
        )
    if not settings.worker.urls:
        fail("no worker is configured: pass --worker http://host:8000, or set SARLENS_WORKER__URLS")
    sock = bind_socket(settings.host, settings.port)
    check_dependencies(settings)
    finished = run_server(settings, sock) if processes == 1 else serve_multiprocess(settings, sock, processes)
    if not finished:
        raise typer.Exit(EXIT_REQUESTS_ABORTED)
