"""The ``sarbench nano`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sarbench.preflight import INSTALL_TORCH, prepare_directory, require_modules


def nano(
    out: Annotated[Path, typer.Option(help="Directory of the checkpoint; created if missing.")],
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Write random weights, whose answers are noise.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random weights.")] = 0,
) -> None:
    """Write sarlens-nano, trained on simulated SAR, as a directory that vLLM serves. README.md is its model card."""
    require_modules("sarbench nano", ("torch", "transformers"), INSTALL_TORCH)
    prepare_directory(out)
    from sarbench.nano.checkpoint import write_trained, write_untrained  # noqa: PLC0415  torch is slow to import

    if untrained:
        write_untrained(out, seed)
    else:
        write_trained(out)
    typer.echo(f"wrote {'an untrained' if untrained else 'the trained'} sarlens-nano to {out}")
