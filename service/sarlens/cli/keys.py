"""``sarlens key``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from sarlens.cli.app import app, fail, usage_error
from sarlens.validation import InvalidField

if TYPE_CHECKING:
    from sarlens.admission.api_keys import ApiKey


@app.command("key")
def key_command(
    name: Annotated[str, typer.Argument(help="Name of the key's holder.")],
    models: Annotated[
        list[str] | None,
        typer.Option("--models", "--model", help="Model that the key opens, such as sar-*; repeatable."),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--images", "--image", help="Prefix of images that the key opens: s3://scenes/2026; repeatable."),
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--outputs", "--output", help="Prefix that surveys of the key write below; repeatable."),
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Maximum number of requests per minute.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Maximum number of tokens per minute.")] = None,
    priority: Annotated[int, typer.Option(help="Priority in the queue; lower goes first.")] = 0,
    weight: Annotated[
        float | None, typer.Option(help="Capacity relative to other keys of the same priority; default 1.")
    ] = None,
    max_parallel: Annotated[int | None, typer.Option(help="Maximum number of concurrent requests.")] = None,
    max_queued: Annotated[int | None, typer.Option(help="Maximum number of queued requests.")] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--fields", "--field", help="Restricted field of requests that the key may send; repeatable."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="File of keys to add the entry to; created if it doesn't exist.")
    ] = None,
) -> None:
    """Make an API key.

    The key goes to standard error, once. Its entry goes to --file, or to standard output. SARLENS_KEYS__FILE names
    the file, a JSON list of entries. Omitted options other than --outputs don't restrict the key.

    Example: sarlens key gis-team --images s3://scenes --requests-per-minute 600 --file keys.json
    """
    from sarlens.admission.api_keys import ApiKey, generate_api_key

    if file is not None and not file.parent.is_dir():
        fail(f"the directory {file.parent} doesn't exist")
    secret, digest = generate_api_key()
    restrictions = {"models": models, "images": images, "outputs": outputs, "requests_per_minute": requests_per_minute}
    restrictions |= {"tokens_per_minute": tokens_per_minute, "fields": fields}
    terms = restrictions | {"weight": weight, "max_parallel": max_parallel, "max_queued": max_queued}
    given = {field: value for field, value in terms.items() if value is not None and value != []}
    try:
        entry = ApiKey.model_validate({"name": name, "sha256": digest, "priority": priority, **given})
    except ValidationError as error:
        field = InvalidField.first(error)
        usage_error(f"{field.path[0].replace('_', '-')}: {field.message}")
    if file is not None:
        _add_to_file(file, entry)
    typer.echo(f"The key of {name}, shown only once: {secret}", err=True)
    if file is None:
        typer.echo(entry.model_dump_json(exclude_defaults=True))


def _add_to_file(file: Path, entry: ApiKey) -> None:
    """Add an entry to a file of keys, which appears whole or not at all and only its owner can read if it is new."""
    import orjson

    from sarlens.admission.api_keys import load_api_keys

    entries = [*load_api_keys(file).values()] if file.exists() else []
    if any(other.name == entry.name for other in entries):
        fail(f"{file} already has a key named {entry.name}")
    texts = [other.model_dump(mode="json", exclude_defaults=True) for other in (*entries, entry)]
    partial = file.with_name(f".{file.name}.part")
    partial.touch(mode=0o600)
    if file.exists():
        partial.chmod(file.stat().st_mode & 0o777)
    partial.write_bytes(orjson.dumps(texts, option=orjson.OPT_INDENT_2) + b"\n")
    partial.replace(file)
