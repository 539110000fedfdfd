"""The commands that serve: gateway, worker, all on one machine; and what they are set up with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from sarlens.cli.command import app, fail

if TYPE_CHECKING:
    from sarlens.settings import Settings


def given_settings(**given: Any) -> Settings:
    """The settings of the environment, those that are given before them; what is wrong with them ends the command."""
    from pydantic_settings import SettingsError

    from sarlens.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except (UnicodeDecodeError, OSError):
        fail("the file .env cannot be read")
    except SettingsError as error:
        fail(f"a setting is not valid JSON: {error}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "SARLENS_" + "__".join(str(step).upper() for step in first["loc"])
        fail(f"the setting {name} is wrong: {first['msg'].removeprefix('Value error, ')}")


@app.command("serve")
def serve_command(
    worker: Annotated[
        list[str] | None,
        typer.Option(
            help="Base URL of a vLLM worker, or a triton:, file:, dns: or kubernetes: place; may be repeated."
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [default: 8080]")] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes, to use several cores.")] = 1,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Serve without API keys also on addresses that others can reach.")
    ] = False,
) -> None:
    """Serve the gateway for workers that run already.

    Every setting can be given in the environment or in a file .env, such as SARLENS_S3__ENDPOINT; docs/settings.md
    lists them. At SIGTERM no more work is taken and open requests may finish; the exit code is 0 when all did, 3 when
    some were cut.

    Example: sarlens serve --worker http://gpu-1:8000 --worker http://gpu-2:8000
    """
    from sarlens.errors import CannotStart
    from sarlens.processes import serve_many
    from sarlens.serve import CUT, is_loopback, listen, serve
    from sarlens.wiring import check

    settings = given_settings(host=host, port=port)
    if worker:
        settings = given_settings(host=host, port=port, worker={**settings.worker.model_dump(), "urls": worker})
    if not (settings.keys.file or settings.keys.open or open_to_all or is_loopback(settings.host)):
        fail(
            f"{settings.host} can be reached by others, and no API keys are set: name a file of keys in "
            "SARLENS_KEYS__FILE (`sarlens key` makes one), or say --open"
        )
    if not settings.worker.urls:
        fail("no worker is named: give --worker http://host:8000, or set SARLENS_WORKER__URLS")
    try:
        taken = listen(settings.host, settings.port)
        check(settings)
        finished = serve(settings, taken) if processes == 1 else serve_many(settings, taken, processes)
    except CannotStart as error:
        fail(str(error))
    if not finished:
        raise SystemExit(CUT)


@app.command("key")
def key_command(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    models: Annotated[list[str] | None, typer.Option("--model", help="Model that it opens, such as sar-*.")] = None,
    images: Annotated[list[str] | None, typer.Option("--images", help="Place that it opens: s3://scenes/2026")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Most requests a minute.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Most tokens a minute.")] = None,
    priority: Annotated[int, typer.Option(help="Lower goes first.")] = 0,
) -> None:
    """Make an API key: the key goes to standard error, once, its entry for SARLENS_KEYS__FILE to standard output.

    The file is a JSON list of such entries. Options may be repeated; what is left out is not restricted.

    Example: sarlens key gis-team --images s3://scenes --requests-per-minute 600
    """
    from sarlens.admission.keys import Key, new_key

    secret, digest = new_key()
    given = {"models": models, "images": images, "requests_per_minute": requests_per_minute}
    given |= {"tokens_per_minute": tokens_per_minute}
    try:
        entry = Key(name=name, sha256=digest, priority=priority, **{k: v for k, v in given.items() if v})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        fail(f"{first['loc'][0]}: {first['msg']}")
    typer.echo(f"The key of {name}, shown this once: {secret}", err=True)
    typer.echo(entry.model_dump_json(exclude_defaults=True))


@app.command()
def local(
    model: Annotated[Path, typer.Option(help="Directory of the model that the worker loads.")],
    scenes: Annotated[Path | None, typer.Option(help="Directory of images to put into the bucket scenes.")] = None,
    state: Annotated[Path, typer.Option(help="Where the S3 server keeps its objects, and logs go.")] = Path(".local"),
    port: Annotated[int, typer.Option(help="Port of the gateway.")] = 8080,
) -> None:
    """Serve everything on this machine: gateway, one vLLM worker on the CPU, an S3 server with sample scenes."""
    from sarlens.child import ChildFailed
    from sarlens.errors import CannotStart
    from sarlens.local import run_local
    from sarlens.workers.vllm import VllmMissing

    try:
        run_local(given_settings(port=port), model=model, scenes=scenes, state=state)
    except (ChildFailed, CannotStart, VllmMissing) as error:
        fail(str(error))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def worker(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Model directory, or a name that vLLM can fetch.")],
    name: Annotated[str | None, typer.Option(help="Name to serve it under. [default: the directory's]")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Become a vLLM worker with the switches that the gateway relies on; further options go to vLLM."""
    from sarlens.workers.vllm import VllmMissing, worker_command, worker_environment

    try:
        command = worker_command(model, name or Path(model).name, host, port, context.args)
    except VllmMissing as error:
        fail(str(error))
    os.execve(command[0], command, {**os.environ, **worker_environment()})  # noqa: S606  the caller's own command line


@app.command("settings")
def settings_command() -> None:
    """Print every setting with its default, as a Markdown table."""
    from sarlens.settings import describe

    typer.echo("| variable | default | meaning |\n|---|---|---|")
    for variable, default, meaning in describe():
        typer.echo(f"| `{variable}` | {f'`{default}`' if default else ''} | {meaning} |")
