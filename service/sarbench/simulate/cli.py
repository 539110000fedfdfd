"""The commands ``sarbench simulate``, ``scene``, ``scenes``, and ``questions``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sarbench.dataset.release_files import Split
from sarbench.errors import DatasetError, RequirementError
from sarbench.preflight import prepare_directory, prepare_file
from sarbench.simulate.chip import labeled_boxes
from sarbench.simulate.coco import read_coco, write_coco
from sarbench.simulate.dataset import ImageFormat, SimulationConfig, annotate_image, simulate_dataset, write_texts
from sarbench.simulate.geotiff import Encoding, write_geotiff
from sarbench.simulate.ground_truth import GroundTruth
from sarbench.simulate.layouts.coastal_region import coastal_scene
from sarbench.simulate.layouts.open_sea import open_sea_scene
from sarbench.simulate.sample_scenes import write_sample_scenes

OutputDir = Annotated[Path, typer.Option(help="Output directory; created if missing.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed. Equal seeds give identical files.")]


def simulate(
    out: OutputDir,
    images: Annotated[int, typer.Option(min=0, help="Number of train images.")] = 20_000,
    test: Annotated[
        int | None, typer.Option(min=0, help="Number of test images. [default: a tenth of --images]")
    ] = None,
    seed: Seed = 0,
    size: Annotated[int, typer.Option(min=128, max=4096, help="Side of the images in pixels.")] = 256,
    file_format: Annotated[
        ImageFormat,
        typer.Option("--format", help="PNG as rendered by the gateway, or GeoTIFF with this pixel encoding."),
    ] = ImageFormat.PNG,
    jobs: Annotated[int | None, typer.Option(min=1, help="Number of processes. [default: the number of cores]")] = None,
) -> None:
    """Simulate a labeled data set in the layout of SARLANG-1M. An interrupted simulation resumes."""
    prepare_directory(out)
    config = SimulationConfig(images, images // 10 if test is None else test, seed, size, file_format)
    with _progress_bar("images") as progress:
        task = progress.add_task("simulating", total=config.images + config.test)
        simulate_dataset(out, config, jobs or os.cpu_count() or 1, lambda count: progress.advance(task, count))
    typer.echo(f"wrote {config.images:,} training and {config.test:,} test images to {out}")


def scene(
    out: Annotated[Path, typer.Option(help="GeoTIFF to write. Its boxes go to the same name with .json.")],
    rows: Annotated[int, typer.Option(min=256, max=100_000, help="Height in pixels.")] = 4096,
    cols: Annotated[int, typer.Option(min=256, max=100_000, help="Width in pixels.")] = 4096,
    spacing: Annotated[float, typer.Option(min=0.1, max=25, help="Pixel spacing in meters.")] = 10.0,
    encoding: Annotated[Encoding, typer.Option(help="Pixel encoding.")] = Encoding.DN,
    ships: Annotated[
        int | None, typer.Option(min=0, max=5000, help="Number of ships on open sea. [default: a coast]")
    ] = None,
    rough: Annotated[bool, typer.Option("--rough", help="Rough sea: bright, spiky clutter around the ships.")] = False,
    seed: Seed = 0,
) -> None:
    """Simulate one large scene of a coast or of open sea as a cloud-optimized GeoTIFF."""
    if out.suffix.lower() not in {".tif", ".tiff"}:
        raise RequirementError(f"--out must end in .tif or .tiff, not {out.name}")
    if rough and ships is None:
        raise RequirementError("--rough requires --ships: only the open sea can be rough")
    prepare_file(out)
    simulated = (
        coastal_scene(seed, rows, cols, spacing)
        if ships is None
        else open_sea_scene(seed, rows, cols, spacing, ships, is_rough=rough)
    )
    with _progress_bar("pixels") as progress:
        task = progress.add_task("rendering", total=rows * cols)
        write_geotiff(simulated, out, encoding, advance=lambda count: progress.advance(task, count))
    write_coco([GroundTruth(out.name, cols, rows, labeled_boxes(simulated))], out.with_suffix(".json"))


def scenes(out: OutputDir) -> None:
    """Write the sample scenes of a new installation, and scenes.json with questions and true answers."""
    prepare_directory(out)
    write_sample_scenes(out)
    typer.echo(f"wrote the sample scenes to {out}")


def questions(
    annotations: Annotated[
        Path, typer.Argument(metavar="COCO", help="COCO file with boxes, such as those of SARDet-100K.")
    ],
    out: OutputDir,
    split: Annotated[Split, typer.Option(help="Split of the images.")] = "train",
    seed: Seed = 0,
) -> None:
    """Write questions and captions for images with COCO boxes."""
    prepare_directory(out)
    try:
        truths = read_coco(annotations)
    except OSError as error:
        raise DatasetError(f"{annotations} cannot be read: {error.strerror}") from error
    annotated = (annotate_image(truth, np.random.default_rng((seed, number))) for number, truth in enumerate(truths))
    write_texts(out, split, annotated)
    typer.echo(f"wrote texts for {len(truths):,} images to {out}")


def _progress_bar(unit: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
