"""The command that writes an untrained sarlens-nano."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def nano(
    out: Annotated[Path, typer.Option(help="Directory to write; it is made if missing.")],
    seed: Annotated[int, typer.Option(help="Seed of the random weights.")] = 0,
) -> None:
    """Write an untrained sarlens-nano checkpoint that vLLM serves; its answers are noise."""
    from sarbench.nano.checkpoint import write_checkpoint  # noqa: PLC0415  torch takes seconds to import

    write_checkpoint(out, seed)
    typer.echo(f"wrote an untrained sarlens-nano to {out}")
