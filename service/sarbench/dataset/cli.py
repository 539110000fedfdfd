"""The commands ``sarbench info`` and ``sarbench validate``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from sarbench.dataset.counts import PUBLISHED, PUBLISHED_OTHERS, PUBLISHED_SPLITS, DatasetCounts, count_dataset
from sarbench.dataset.release_files import Split
from sarbench.dataset.sarlang import SarlangDataset, open_dataset
from sarlens.prompts.applications import Application

GroupT = TypeVar("GroupT", bound=Hashable)
DatasetPath = Annotated[str, typer.Argument(metavar="PATH", help="Directory or s3://bucket/prefix of the data set.")]


def info(path: DatasetPath) -> None:
    """Count the texts and images of a data set per application and split, next to the published counts."""
    console = Console()
    dataset = open_dataset(path)
    counts = _count_with_progress(dataset, console)
    console.print(_file_table(dataset, counts))
    console.print(_split_table(counts))
    titles = {application: application.heading for application in Application}
    console.print(_count_table("Application", titles, counts.texts, PUBLISHED))
    subtypes = {subtype: subtype for subtype in PUBLISHED_OTHERS}
    console.print(_count_table("Subtype of Others", subtypes, counts.others_subtypes, PUBLISHED_OTHERS))
    if counts.errors:
        console.print(
            f"[yellow]{len(counts.errors):,} invalid rows are not counted: list them with sarbench validate[/]"
        )


def validate(
    path: DatasetPath, show: Annotated[int, typer.Option(min=0, help="Maximum number of invalid rows to print.")] = 50
) -> None:
    """Check each row's columns, fields, and image. The exit code is 1 if any row is invalid."""
    console = Console()
    dataset = open_dataset(path)
    counts = _count_with_progress(dataset, console)
    for unrecognized in dataset.unrecognized_files:
        console.print(
            f"ignored, not a file name of the release: {unrecognized}", markup=False, highlight=False, soft_wrap=True
        )
    for error in counts.errors[:show]:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
    if len(counts.errors) > show:
        console.print(f"… and {len(counts.errors) - show:,} more")
    console.print(f"{counts.rows.total():,} valid rows, {len(counts.errors):,} invalid")
    if counts.errors:
        raise typer.Exit(1)


def _count_with_progress(dataset: SarlangDataset, console: Console) -> DatasetCounts:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("reading texts", total=sum(dataset.text_bytes.values()))
        return count_dataset(dataset, lambda size: progress.advance(task, size))


def _file_table(dataset: SarlangDataset, counts: DatasetCounts) -> Table:
    table = Table("File", "Subset", "Split", title=dataset.location)
    table.add_column("Images", justify="right")
    table.add_column("Texts", justify="right")
    for file in dataset.files:
        images, rows = len(counts.images[file]), counts.rows[file]
        table.add_row(file.path, file.subset, file.split, f"{images:,}", f"{rows:,}")
    return table


def _split_table(counts: DatasetCounts) -> Table:
    table = Table("Split")
    for column in ("Train images", "Test images", "Train texts", "Test texts"):
        table.add_column(column, justify="right")
    for text_kind, numbers in counts.counts_by_split().items():
        table.add_row(text_kind, *_format_integers(numbers))
        table.add_row("published", *_format_integers(PUBLISHED_SPLITS[text_kind]), style="dim")
    return table


def _count_table(
    heading: str, titles: Mapping[GroupT, str], counts: Counter[tuple[GroupT, Split]], published: Mapping[GroupT, int]
) -> Table:
    table = Table(heading)
    for column in ("Train", "Test", "Total", "Published"):
        table.add_column(column, justify="right")
    for group, title in titles.items():
        train, test = counts[group, "train"], counts[group, "test"]
        table.add_row(title, *_format_integers((train, test, train + test, published[group])))
    train, test = (sum(counts[name, split] for name in titles) for split in ("train", "test"))
    table.add_section()
    table.add_row("Total", *_format_integers((train, test, train + test, sum(published.values()))))
    return table


def _format_integers(numbers: Iterable[int]) -> list[str]:
    return [f"{number:,}" for number in numbers]
