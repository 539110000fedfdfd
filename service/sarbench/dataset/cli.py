"""``sarbench info`` and ``sarbench validate``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from sarbench.dataset.census import PUBLISHED, PUBLISHED_OTHERS, PUBLISHED_SPLITS, Census, take_census
from sarbench.dataset.layout import Split
from sarbench.dataset.library import Library, open_library
from sarlens.prompts.applications import Application

Name = TypeVar("Name", bound=Hashable)
Where = Annotated[str, typer.Argument(metavar="PATH", help="Directory or s3://bucket/prefix that holds the data set.")]


def info(path: Where) -> None:
    """Count a data set's texts and images, per application and split, beside the published counts."""
    console = Console()
    library = open_library(path)
    census = _counted(library, console)
    console.print(_files(library, census))
    console.print(_splits(census))
    titles = {application: application.heading for application in Application}
    console.print(_counts("Application", titles, census.texts, PUBLISHED))
    kinds = {kind: kind for kind in PUBLISHED_OTHERS}
    console.print(_counts("Kind of Others", kinds, census.others, PUBLISHED_OTHERS))
    if census.faults:
        console.print(f"[yellow]{len(census.faults):,} rows are not counted: sarbench validate names them[/]")


def validate(
    path: Where, show: Annotated[int, typer.Option(min=0, help="Bad rows to print; all are counted.")] = 50
) -> None:
    """Check every row: its columns, that no field is empty, that its image is there. Ends with 1 where any is bad."""
    console = Console()
    library = open_library(path)
    census = _counted(library, console)
    for stranger in library.strangers:
        console.print(f"not read, no released name: {stranger}", markup=False, highlight=False, soft_wrap=True)
    for fault in census.faults[:show]:
        console.print(str(fault), markup=False, highlight=False, soft_wrap=True)
    if len(census.faults) > show:
        console.print(f"… and {len(census.faults) - show:,} more")
    console.print(f"{census.rows.total():,} good rows, {len(census.faults):,} bad")
    if census.faults:
        raise typer.Exit(1)


def _counted(library: Library, console: Console) -> Census:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("reading texts", total=sum(library.text_bytes.values()))
        return take_census(library, lambda size: progress.advance(task, size))


def _files(library: Library, census: Census) -> Table:
    table = Table("File", "Kind", "Split", title=library.where)
    table.add_column("Images", justify="right")
    table.add_column("Texts", justify="right")
    for part in library.parts:
        images, rows = len(census.images[part]), census.rows[part]
        table.add_row(part.path, part.variety, part.split, f"{images:,}", f"{rows:,}")
    return table


def _splits(census: Census) -> Table:
    table = Table("Split")
    for column in ("Train images", "Test images", "Train texts", "Test texts"):
        table.add_column(column, justify="right")
    for kind, counts in census.splits().items():
        table.add_row(kind, *_grouped(counts))
        table.add_row("as published", *_grouped(PUBLISHED_SPLITS[kind]), style="dim")
    return table


def _counts(
    heading: str, titles: Mapping[Name, str], counted: Counter[tuple[Name, Split]], published: Mapping[Name, int]
) -> Table:
    table = Table(heading)
    for column in ("Train", "Test", "Total", "As published"):
        table.add_column(column, justify="right")
    for name, title in titles.items():
        train, test = counted[name, "train"], counted[name, "test"]
        table.add_row(title, *_grouped((train, test, train + test, published[name])))
    train, test = (sum(counted[name, split] for name in titles) for split in ("train", "test"))
    table.add_section()
    table.add_row("Total", *_grouped((train, test, train + test, sum(published.values()))))
    return table


def _grouped(numbers: Iterable[int]) -> list[str]:
    return [f"{number:,}" for number in numbers]
