"""``sarlens local`` and ``sarlens worker``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sarlens.cli.app import app, fail


@app.command()
def local(
    model: Annotated[Path, typer.Option(help="Directory of the model that the worker loads.")],
    scenes: Annotated[Path | None, typer.Option(help="Directory of images to upload to the bucket `scenes`.")] = None,
    state: Annotated[
        Path,
        typer.Option(
            help="Directory of all state: S3 objects, database of jobs, caches and logs. One stack at a time uses it.",
            envvar="SARLENS_STATE",
        ),
    ] = Path(".local"),
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65533,
            help="Port of REST. gRPC uses the next port unless SARLENS_GRPC__PORT is set, and S3 the one after. If one "
            "is in use, a free port replaces it.",
        ),
    ] = 8080,
) -> None:
    """Serve everything on this machine: the gateway, a vLLM worker on the CPU, and an S3 server with sample scenes.

    The ready message shows all addresses, and how to upload a file to the bucket. To run two stacks at the same time,
    give each its own --state and --port.

    Example: sarlens local --model .local/sarlens-nano --scenes .local/scenes --port 9000
    """
    from sarlens.devstack.local import run_local
    from sarlens.settings import load_settings

    run_local(load_settings({"port": port}), model=model, scenes=scenes, state=state)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def worker(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Directory of the model, or a name that vLLM can download.")],
    name: Annotated[str | None, typer.Option(help="Name under which to serve it. Default: the directory's.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Run a vLLM worker with the options that the gateway requires; further options go to vLLM.

    If the architecture of the model needs a package that isn't installed, the command says which one, and ends.

    Example: sarlens worker --model .local/sarlens-nano --kv-cache-memory-bytes 128M --enforce-eager
    """
    from sarlens.devstack.model_packages import require_packages
    from sarlens.devstack.vllm import vllm_command, vllm_environment
    from sarlens.server.server import bind_socket

    is_local = Path(model).expanduser().is_dir()
    if model.startswith((".", "/", "~")) and not is_local:
        fail(f"the model directory {model} doesn't exist")
    served_name = name or Path(model).expanduser().resolve().name
    command = vllm_command(str(Path(model).expanduser()), served_name, host, port, context.args)
    require_packages(command[command.index("--model") + 1])
    bind_socket(host, port, hint="choose another port with --port").close()
    os.execve(command[0], command, {**os.environ, **vllm_environment(is_local)})  # noqa: S606  the caller's own command line
