"""``sarlens settings``."""

from __future__ import annotations

from typing import Annotated

import typer

from sarlens.cli.app import app, usage_error
from sarlens.cli.serve import Host, Port, Worker, setting_overrides


@app.command("settings")
def settings_command(
    current: Annotated[
        bool, typer.Option("--current", help="Show the values in force and their sources, with secrets masked.")
    ] = False,
    worker: Worker = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """List all settings with defaults and meaning as a Markdown table, or the values in force.

    With --current, the options of `serve` show their effect.

    Example: SARLENS_PORT=9000 sarlens settings --current
    """
    from sarlens.settings import current_settings, describe, load_settings

    overrides = setting_overrides(worker, host, port)
    if not current:
        if overrides:
            usage_error("--worker, --host and --port require --current")
        typer.echo("| variable | default | meaning |\n|---|---|---|")
        for variable, default, meaning in describe():
            typer.echo(f"| `{variable}` | {f'`{default}`' if default else ''} | {meaning} |")
        return
    variables = {"worker": "SARLENS_WORKER__URLS", "host": "SARLENS_HOST", "port": "SARLENS_PORT"}
    options = [variables[name] for name in overrides]
    table = list(current_settings(load_settings(overrides), options))
    typer.echo("| variable | value | source |\n|---|---|---|")
    for setting in table:
        typer.echo(f"| `{setting.variable}` | {f'`{setting.value}`' if setting.value else ''} | {setting.source} |")
