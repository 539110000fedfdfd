"""``sarbench run``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import aiohttp
import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from yarl import URL

from sarbench.dataset.layout import Variety
from sarbench.dataset.library import Library, open_library
from sarbench.dataset.rows import Item
from sarbench.errors import RunError
from sarbench.run.answers import ANSWERS, read_answers
from sarbench.run.asking import ERRORS, Asker, Tally, ask_all
from sarbench.run.endpoint import Endpoint
from sarbench.run.ledger import Ledger, read_ledger
from sarbench.run.pictures import Pictures
from sarbench.run.plan import About, Plan, Selection, keep_plan, select
from sarlens.prompts.applications import Application

SHOWN_FAULTS = 5


@dataclass(frozen=True)
class _Manner:
    """How the endpoint is asked, which may change when a run goes on."""

    base_url: str
    api_key: str | None
    concurrency: int
    attempts: int
    timeout_s: float


def run(
    base_url: Annotated[str, typer.Option(help="Where the API begins, such as http://localhost:8080/v1.")],
    model: Annotated[str, typer.Option(help="Name of the model to ask.")],
    data: Annotated[str, typer.Option(help="Directory or s3://bucket/prefix that holds the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; one that is there is gone on with.")],
    split: Annotated[Literal["train", "test", "all"], typer.Option(help="Which texts to ask.")] = "test",
    application: Annotated[list[Application] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask this many, drawn at random by the seed.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Requests at once.")] = 16,
    blackout: Annotated[
        bool, typer.Option("--blackout", help="Send black pictures: a question-only baseline.")
    ] = False,
    image_url_prefix: Annotated[
        str | None, typer.Option(help="Send addresses that begin so, such as s3://bucket/SARimages, not bytes.")
    ] = None,
    sar: Annotated[str | None, typer.Option(help="JSON object beside each image's url, as Sarlens reads it.")] = None,
    class_prefix: Annotated[
        Literal["auto", "always", "never"],
        typer.Option(help="Name the classes before SARVQA1 questions; auto does where SARVQA2 is asked too."),
    ] = "auto",
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 128,
    body: Annotated[str, typer.Option(help="JSON object merged into every request; null drops a field.")] = "{}",
    attempts: Annotated[int, typer.Option(min=1, help="Times to ask before a text counts as failed.")] = 5,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for one answer.")] = 300.0,
    api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="Sent as a bearer token.")] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Ask the good rows of flawed data.")] = False,
) -> None:
    """Ask a model every text of a data set; each answer is on disk as it comes, and a run that was cut off goes on."""
    console = Console()
    endpoint = _endpoint(base_url, api_key)
    library = open_library(data)
    chosen_split = None if split == "all" else split
    varieties = {part.variety for part in library.of_split(chosen_split)}
    mixed = {Variety.SARVQA1, Variety.SARVQA2} <= varieties
    plan = Plan(
        model=model,
        data=data if "://" in data else str(Path(data).absolute()),
        texts={part.path: library.text_bytes[part.path] for part in library.of_split(chosen_split)},
        split=chosen_split,
        applications=application or [],
        limit=limit,
        seed=seed,
        blackout=blackout,
        prefix_classes=mixed if class_prefix == "auto" else class_prefix == "always",
        image_url_prefix=image_url_prefix,
        sar=None if sar is None else _object("--sar", sar),
        max_tokens=max_tokens,
        body=_object("--body", body),
    )
    selection = _sound_selection(library, plan, console, skip_bad_rows=skip_bad_rows)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    keep_plan(out, plan, About(version("sarlens"), began, endpoint, selection.total, len(selection.faults)))
    manner = _Manner(base_url, api_key, concurrency, attempts, timeout)
    tally = asyncio.run(_ask(library, plan, selection, manner, out, console))
    console.print(f"{tally.answered:,} answers more, {tally.failed:,} failed; {selection.total:,} texts in all: {out}")
    if tally.failed:
        console.print(f"{out / ERRORS} says why; the same command asks them again")
        raise typer.Exit(1)


async def _ask(
    library: Library, plan: Plan, selection: Selection, manner: _Manner, out: Path, console: Console
) -> Tally:
    bar = (
        TextColumn("asking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    connector = aiohttp.TCPConnector(limit=manner.concurrency)
    with Ledger(out / ANSWERS) as answers, Ledger(out / ERRORS) as errors, Progress(*bar, console=console) as progress:
        already = {answer.key for answer in read_answers(out)}
        failed = {record["key"] for record in read_ledger(out / ERRORS)}
        task = progress.add_task("asking", total=selection.total, completed=len(already), note="")
        tally = Tally()

        def done() -> None:
            progress.update(task, advance=1, note=f"{tally.failed} failed" if tally.failed else "")

        async with aiohttp.ClientSession(connector=connector) as session:
            endpoint = Endpoint(manner.base_url, session, manner.api_key, manner.timeout_s)
            asker = Asker(plan, Pictures(library, plan), endpoint, manner.attempts, answers, errors, tally)
            await ask_all(_unanswered(selection, already, failed), asker, manner.concurrency, done)
    return tally


def _unanswered(selection: Selection, already: set[str], failed: set[str]) -> Iterator[Item]:
    """What failed before comes last, so that texts which always fail do not keep the others from being asked."""
    for again in (False, True):
        yield from (item for item in selection if item.key not in already and (item.key in failed) is again)


def _sound_selection(library: Library, plan: Plan, console: Console, *, skip_bad_rows: bool) -> Selection:
    with console.status("reading the texts"):
        selection = select(library, plan)
    for fault in selection.faults[:SHOWN_FAULTS]:
        console.print(str(fault), markup=False, highlight=False, soft_wrap=True)
    if selection.faults and not skip_bad_rows:
        raise RunError(
            f"{len(selection.faults):,} bad rows: sarbench validate names them; --skip-bad-rows asks the others"
        )
    if not selection.total:
        raise RunError("no text of the data set is of this split and application")
    return selection


def _endpoint(base_url: str, api_key: str | None) -> str:
    """The address without credentials, fit to be written down."""
    try:
        url = URL(base_url)
    except ValueError as error:
        raise RunError(f"--base-url is no address: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise RunError("--base-url must begin with http:// or https://, as http://localhost:8080/v1 does")
    if url.user and api_key:
        raise RunError("the address holds credentials and there is an API key: give one of them")
    return str(url.with_user(None))


def _object(option: str, text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RunError(f"{option} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{option} must be a JSON object")
    return value
