"""``sarlens adapter``."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from sarlens.cli.app import app, usage_error
from sarlens.cli.options import ManagementUrl, management_url


@app.command("adapter")
def adapter_command(
    action: Annotated[Literal["load", "unload", "list"], typer.Argument(help="What to do.")],
    name: Annotated[str | None, typer.Argument(help="Name under which the workers serve the adapter.")] = None,
    path: Annotated[str | None, typer.Argument(help="Directory of the adapter on the workers.")] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="Base model of the adapter; optional if the workers serve only one.")
    ] = None,
    url: ManagementUrl = None,
) -> None:
    """Load a LoRA adapter on all workers of a running gateway, unload it, or list the adapters.

    `load` needs a NAME and a PATH, and `unload` a NAME. An adapter is loaded on all workers of its base model or on
    none: if one fails, the others unload it again. The workers need `--enable-lora` and the variable
    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True. A worker that restarts loads only the adapters of its own command line.

    The gateway needs a management port (SARLENS_MANAGEMENT__PORT).

    Example: sarlens adapter load my-sar /models/my-sar --management http://localhost:8082
    """
    import asyncio

    given, needed = sum(text is not None for text in (name, path)), {"load": 2, "unload": 1, "list": 0}[action]
    if given != needed:
        usage_error(f"`adapter {action}` needs {('no argument', 'a NAME', 'a NAME and a PATH')[needed]}")
    for line in asyncio.run(_run(management_url(url), action, name or "", {"name": name, "path": path, "base": base})):
        typer.echo(line)


async def _run(url: str, action: str, name: str, body: dict[str, Any]) -> list[str]:
    import orjson

    from sarlens.client.transport import Transport

    requests: dict[str, tuple[str, str, dict[str, Any]]] = {
        "load": ("POST", "adapters", {"json": body}),
        "unload": ("DELETE", f"adapters/{quote(name)}", {}),
        "list": ("GET", "adapters", {}),
    }
    method, path, options = requests[action]
    transport = Transport(url, None, None)
    try:
        async with transport.request(method, path, **options) as response:
            answer = orjson.loads(await response.read())
    finally:
        await transport.close()
    if action != "list":
        return [f"{action}ed {name} on {len(answer['workers'])} workers", *answer["workers"]]
    return [_describe(adapter) for adapter in answer] or ["no adapters"]


def _describe(adapter: dict[str, Any]) -> str:
    missing = f", missing on {', '.join(adapter['missing'])}" if adapter["missing"] else ""
    return f"{adapter['name']}: {adapter['base']}, {adapter['path']}, on {len(adapter['workers'])} workers{missing}"
