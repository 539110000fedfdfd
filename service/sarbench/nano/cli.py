"""``sarbench nano``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def nano(
    out: Annotated[Path, typer.Option(help="Directory to write; it is made if missing.")],
    untrained: Annotated[bool, typer.Option("--untrained", help="Random weights, whose answers are noise.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random weights.")] = 0,
) -> None:
    """Write sarlens-nano, trained on simulated radar, as a directory that vLLM serves; README.md is its model card."""
    from sarbench.nano.checkpoint import write_trained, write_untrained  # noqa: PLC0415  torch takes seconds to import

    if untrained:
        write_untrained(out, seed)
    else:
        write_trained(out)
    typer.echo(f"wrote {'an untrained' if untrained else 'the trained'} sarlens-nano to {out}")
