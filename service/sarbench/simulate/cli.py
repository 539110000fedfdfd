"""``sarbench simulate``, ``scene``, ``scenes`` and ``questions``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sarbench.dataset.layout import Split
from sarbench.errors import DatasetError
from sarbench.simulate.annotation import read_coco, write_coco
from sarbench.simulate.chip import boxes
from sarbench.simulate.dataset import Format, Recipe, simulate_dataset, text_of, write_texts
from sarbench.simulate.geotiff import Encoding, write_geotiff
from sarbench.simulate.layouts.fleet import fleet
from sarbench.simulate.layouts.region import region
from sarbench.simulate.samples import write_samples
from sarbench.simulate.truth import Truth

Out = Annotated[Path, typer.Option(help="Directory to write; it is made if missing.")]
Seed = Annotated[int, typer.Option(min=0, help="Equal seeds give equal bytes.")]


def simulate(
    out: Out,
    images: Annotated[int, typer.Option(min=0, help="Images to learn from.")] = 20_000,
    test: Annotated[
        int | None, typer.Option(min=0, help="Images to test on; a tenth of --images if not given.")
    ] = None,
    seed: Seed = 0,
    size: Annotated[int, typer.Option(min=128, max=4096, help="Pixels to a side.")] = 256,
    file_format: Annotated[Format, typer.Option("--format", help="Rendered pictures, or GeoTIFF.")] = Format.PNG,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if not given.")] = None,
) -> None:
    """Make a labelled data set in the layout of SARLANG-1M. A run that was cut off goes on where it stopped."""
    recipe = Recipe(images, images // 10 if test is None else test, seed, size, file_format)
    with _progress("images") as progress:
        task = progress.add_task("simulating", total=recipe.images + recipe.test)
        simulate_dataset(out, recipe, jobs or os.cpu_count() or 1, lambda done: progress.advance(task, done))
    typer.echo(f"wrote {recipe.images:,} training and {recipe.test:,} test images to {out}")


def scene(
    out: Annotated[Path, typer.Option(help="GeoTIFF to write; its boxes go beside it as .json.")],
    rows: Annotated[int, typer.Option(min=256, max=100_000)] = 4096,
    cols: Annotated[int, typer.Option(min=256, max=100_000)] = 4096,
    spacing: Annotated[float, typer.Option(min=0.1, max=25, help="Metres from pixel to pixel.")] = 10.0,
    encoding: Annotated[Encoding, typer.Option(help="What the numbers are.")] = Encoding.DN,
    ships: Annotated[
        int | None, typer.Option(min=0, max=5000, help="Open sea with so many ships; a coast if not given.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Make one large scene of a coast or of the sea as cloud-optimised GeoTIFF, block by block."""
    drawn = region(seed, rows, cols, spacing) if ships is None else fleet(seed, rows, cols, spacing, ships)
    with _progress("pixels") as progress:
        task = progress.add_task("drawing", total=rows * cols)
        write_geotiff(drawn, out, encoding, advance=lambda done: progress.advance(task, done))
    write_coco([Truth(out.name, cols, rows, boxes(drawn))], out.with_suffix(".json"))


def scenes(out: Out) -> None:
    """Make the sample scenes that a fresh installation serves, and scenes.json with what is in them."""
    write_samples(out)
    typer.echo(f"wrote the sample scenes to {out}")


def questions(
    annotations: Annotated[Path, typer.Argument(metavar="COCO", help="Boxes as SARDet-100K has them.")],
    out: Out,
    split: Annotated[str, typer.Option(help="train or test")] = "train",
    seed: Seed = 0,
) -> None:
    """Write questions and captions for any images whose boxes are annotated as COCO."""
    if split not in get_args(Split):
        raise typer.BadParameter("split is train or test")
    try:
        truths = read_coco(annotations)
    except OSError as error:
        raise DatasetError(f"{annotations} cannot be read: {error.strerror}") from error
    texted = (text_of(truth, np.random.default_rng((seed, number))) for number, truth in enumerate(truths))
    write_texts(out, "test" if split == "test" else "train", texted)
    typer.echo(f"wrote texts for {len(truths):,} images to {out}")


def _progress(unit: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
