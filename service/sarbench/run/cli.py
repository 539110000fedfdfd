"""The ``sarbench run`` command."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import aiohttp
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sarbench.dataset.release_files import Subset
from sarbench.dataset.rows import Sample
from sarbench.dataset.sarlang import SarlangDataset, open_dataset
from sarbench.errors import RunError
from sarbench.preflight import prepare_directory
from sarbench.run.answers import ANSWERS_FILE, ERRORS_FILE, Outcome, count_outcomes, read_answers, write_texts
from sarbench.run.config import RunConfig, RunMetadata, Selection, load_metadata, save_run, select_samples
from sarbench.run.endpoint import ChatEndpoint
from sarbench.run.images import RequestImages
from sarbench.run.jsonl_log import JsonlLog, read_jsonl
from sarbench.run.options import parse_json_object, redacted_url
from sarbench.run.runner import Runner, RunProgress, run_all
from sarlens.prompts.applications import Application
from sarlens.types.render_params import BoxPixels

MAX_SHOWN_ERRORS = 5


@dataclass(frozen=True)
class _RequestOptions:
    """Options of requests that can change if a run is resumed."""

    base_url: str
    api_key: str | None
    concurrency: int
    attempts: int
    timeout_s: float


def run(
    base_url: Annotated[str, typer.Option(help="Base URL of the API, such as http://localhost:8080/v1.")],
    model: Annotated[str, typer.Option(help="Name of the model.")],
    data: Annotated[str, typer.Option(help="Directory or s3://bucket/prefix of the data set.")],
    out: Annotated[Path, typer.Option(help="Directory of the run. An existing run is resumed.")],
    split: Annotated[Literal["train", "test", "all"], typer.Option(help="Split of the texts.")] = "test",
    application: Annotated[
        list[Application] | None, typer.Option(help="Application to include; repeatable. [default: all]")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Number of texts, selected at random by the seed. [default: all]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the selection.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Maximum number of concurrent requests.")] = 16,
    blackout: Annotated[bool, typer.Option("--blackout", help="Send black images: a question-only baseline.")] = False,
    image_url_prefix: Annotated[
        str | None,
        typer.Option(help="Send image URLs with this prefix, such as s3://bucket/SARimages, instead of bytes."),
    ] = None,
    sar: Annotated[
        str | None, typer.Option(help="JSON object with render parameters of Sarlens for each image.")
    ] = None,
    boxes: Annotated[
        BoxPixels,
        typer.Option(
            help="image: the endpoint is Sarlens and converts the boxes of questions to those that the model sees. "
            "picture: send them unchanged, to any other endpoint."
        ),
    ] = "image",
    class_prefix: Annotated[
        Literal["auto", "always", "never"],
        typer.Option(help="Put the class list before SARVQA1 questions. auto does so if SARVQA2 is included."),
    ] = "auto",
    max_tokens: Annotated[int, typer.Option(min=1, help="Maximum number of tokens per answer.")] = 128,
    body: Annotated[str, typer.Option(help="JSON object merged into every request; null removes a field.")] = "{}",
    attempts: Annotated[int, typer.Option(min=1, help="Maximum number of attempts per text.")] = 5,
    timeout: Annotated[float, typer.Option(min=0.1, help="Timeout of a request in seconds.")] = 300.0,
    api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="Bearer token for the endpoint.")] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Skip invalid rows instead of stopping.")
    ] = False,
) -> None:
    """Send every text of a data set to a model and save the answers. An interrupted run resumes."""
    console = Console()
    endpoint = redacted_url("--base-url", base_url, api_key)
    sar_parameters = None if sar is None else parse_json_object("--sar", sar)
    extra_fields = parse_json_object("--body", body)
    dataset = open_dataset(data)
    chosen_split = None if split == "all" else split
    subsets = {file.subset for file in dataset.files_of_split(chosen_split)}
    mixed = {Subset.SARVQA1, Subset.SARVQA2} <= subsets
    config = RunConfig(
        model=model,
        data=data if "://" in data else str(Path(data).absolute()),
        texts={file.path: dataset.text_sha256(file) for file in dataset.files_of_split(chosen_split)},
        split=chosen_split,
        applications=application or [],
        limit=limit,
        seed=seed,
        blackout=blackout,
        prefix_classes=mixed if class_prefix == "auto" else class_prefix == "always",
        image_url_prefix=image_url_prefix,
        sar=sar_parameters,
        max_tokens=max_tokens,
        body=extra_fields,
        boxes=boxes,
    )
    prepare_directory(out)
    selection = _select_valid(dataset, config, console, skip_bad_rows=skip_bad_rows)
    config = replace(config, images=selection.images)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    save_run(
        out, config, RunMetadata(version("sarlens"), started_at, endpoint, selection.total, len(selection.invalid_rows))
    )
    if (earlier := load_metadata(out).endpoint) != endpoint:
        console.print(
            f"[yellow]The answers so far are from {earlier}; the others come from {endpoint}.[/]", soft_wrap=True
        )
    write_texts(out, selection)
    request_options = _RequestOptions(base_url, api_key, concurrency, attempts, timeout)
    progress = asyncio.run(_run_selection(dataset, config, selection, request_options, out, console))
    console.print(
        f"{progress.answered:,} new answers, {progress.failed:,} failed, {selection.total:,} texts in total: {out}"
    )
    _warn_of_unanswered(out, config, console)
    if progress.failed:
        console.print(f"The errors are in {out / ERRORS_FILE}. To retry the failed texts, run the same command.")
        raise typer.Exit(1)


def _warn_of_unanswered(out: Path, config: RunConfig, console: Console) -> None:
    """Print the number of answers that are cut off, refused, or empty. Each counts as wrong in the scores."""
    outcomes = count_outcomes(read_answers(out))
    if cut_off := outcomes[Outcome.CUT_OFF]:
        limit = f"the limit of {config.max_tokens} tokens" if "max_tokens" not in config.body else "the limit of tokens"
        console.print(
            f"[yellow]{cut_off:,} of {outcomes.total():,} answers are cut off by {limit} and count as wrong. For a new "
            "run, choose a larger --max-tokens; a reasoning model needs room for its reasoning.[/]"
        )
    for cause in (Outcome.REFUSED, Outcome.EMPTY):
        if outcomes[cause]:
            console.print(
                f"[yellow]{outcomes[cause]:,} of {outcomes.total():,} answers are {cause} and count as wrong.[/]"
            )


async def _run_selection(
    dataset: SarlangDataset,
    config: RunConfig,
    selection: Selection,
    request_options: _RequestOptions,
    out: Path,
    console: Console,
) -> RunProgress:
    columns = (
        TextColumn("running"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    connector = aiohttp.TCPConnector(limit=request_options.concurrency)
    with (
        JsonlLog(out / ANSWERS_FILE) as answers,
        JsonlLog(out / ERRORS_FILE) as errors,
        Progress(*columns, console=console) as bar,
    ):
        answered = {answer.key for answer in read_answers(out)}
        failed = {record["key"] for record in read_jsonl(out / ERRORS_FILE)}
        task = bar.add_task("running", total=selection.total, completed=len(answered), note="")
        progress = RunProgress()

        def on_sample() -> None:
            counts = {**progress.outcomes, Outcome.FAILED: progress.failed}
            causes = [
                f"{counts[cause]:,} {cause}" for cause in Outcome if cause != Outcome.ANSWERED and counts.get(cause)
            ]
            if progress.rate_limited:
                causes.append(f"{progress.rate_limited:,} waits for a rate limit")
            bar.update(task, advance=1, note=", ".join(causes))

        async with aiohttp.ClientSession(connector=connector, trust_env=True) as session:
            endpoint = ChatEndpoint(
                request_options.base_url, session, request_options.api_key, request_options.timeout_s
            )
            runner = Runner(
                config, RequestImages(dataset, config), endpoint, request_options.attempts, answers, errors, progress
            )
            await run_all(_unanswered(selection, answered, failed), runner, request_options.concurrency, on_sample)
    return progress


def _unanswered(selection: Selection, answered: set[str], failed: set[str]) -> Iterator[Sample]:
    """Yield unanswered samples. Those that failed before come last, so that they don't block the others."""
    for failed_before in (False, True):
        yield from (
            sample for sample in selection if sample.key not in answered and (sample.key in failed) is failed_before
        )


def _select_valid(dataset: SarlangDataset, config: RunConfig, console: Console, *, skip_bad_rows: bool) -> Selection:
    with console.status("reading the texts"):
        selection = select_samples(dataset, config)
    for invalid_row in selection.invalid_rows[:MAX_SHOWN_ERRORS]:
        console.print(str(invalid_row), markup=False, highlight=False, soft_wrap=True)
    if selection.invalid_rows and not skip_bad_rows:
        raise RunError(
            f"{len(selection.invalid_rows):,} invalid rows: list them with sarbench validate, or pass --skip-bad-rows"
        )
    if not selection.total:
        split = f"{config.split} split" if config.split else "data set"
        raise RunError(f"the {split} has no texts of the selected applications: see sarbench info")
    return selection
