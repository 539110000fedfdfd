"""The ``sarbench score`` command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from sarbench.dataset.sarlang import open_dataset
from sarbench.errors import ScoreError
from sarbench.preflight import prepare_directory
from sarbench.run.answers import Outcome, read_outcomes
from sarbench.run.config import load_config
from sarbench.run.imported import import_predictions
from sarbench.run.options import parse_json_object, redacted_url
from sarbench.score.baselines import open_data, score_baselines
from sarbench.score.breakdown import break_down, count_assignments
from sarbench.score.calibration import calibrate
from sarbench.score.coverage import OVERALL, coverage_of, coverages
from sarbench.score.judge import ERRORS_FILE as JUDGE_ERRORS_FILE
from sarbench.score.judge import MAX_CONSECUTIVE_FAILURES, Judge, JudgeCase, Judgment, judge_cases
from sarbench.score.judge_prompts import load_prompt
from sarbench.score.scorecard import (
    Scorecard,
    caption_score,
    captions_by_subset,
    cases_to_judge,
    lenient_accuracies,
    paper_score,
    question_answers,
    save_scorecard,
    strict_accuracies,
)
from sarbench.score.tables import accuracy_table, caption_table, caption_warnings

MAX_SHOWN_ERRORS = 5


def score(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Directory of the run, or a file of predictions: JSON Lines, CSV, TSV, or VQA_result.csv.",
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="Data set of the predictions, which has their images and the texts without one.")
    ] = None,
    split: Annotated[
        Literal["train", "test", "all"], typer.Option(help="Split of the predictions, with --data.")
    ] = "test",
    model: Annotated[str | None, typer.Option(help="Model of the predictions. [default: name of the file]")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the run of the predictions. [default: beside the file]")
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Skip invalid rows of the predictions instead of stopping.")
    ] = False,
    train: Annotated[
        str | None, typer.Option(help="Data set whose train split the baselines use. [default: the run's data set]")
    ] = None,
    judge_base_url: Annotated[
        str | None,
        typer.Option(help="Base URL of the LLM judge for the paper's rule. Without it, such answers count as wrong."),
    ] = None,
    judge_model: Annotated[str, typer.Option(help="Model of the judge.")] = "gpt-4o-mini",
    judge_prompt: Annotated[
        str,
        typer.Option(
            metavar="default|authors|FILE",
            help="Prompt of the judge: ours, the paper's, or a file with {question}, {truth}, and {answer}.",
        ),
    ] = "default",
    judge_body: Annotated[
        str, typer.Option(help="JSON object merged into every request to the judge; null removes a field.")
    ] = "{}",
    api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="Bearer token for the judge.")] = None,
) -> None:
    """Score captions, and questions by a strict, a lenient, and the paper's rule. The scores go to RUN/score.json.

    The exit code is 1 if the judge left answers without a verdict.
    """
    console = Console()
    if run.is_file():
        predictions, run = run, out or run.with_name(f"{run.stem}-run")
        prepare_directory(run)
        dataset, chosen_split = open_dataset(data) if data else None, None if split == "all" else split
        name = model or predictions.stem
        invalid = import_predictions(predictions, run, name, dataset, chosen_split, skip_invalid=skip_bad_rows)
        console.print(f"{len(invalid):,} invalid rows skipped. Directory of the run: {run}", soft_wrap=True)
    config, answers = load_config(run), read_outcomes(run)
    coverage = coverage_of(answers)
    if not coverage.texts - coverage.outcomes.get(Outcome.FAILED, 0) - coverage.outcomes.get(Outcome.NOT_SENT, 0):
        raise ScoreError(f"{run} has no answers yet: continue the run with sarbench run")
    vqa_answers = question_answers(answers)
    judge = None
    if judge_base_url:
        redacted = redacted_url("--judge-base-url", judge_base_url, api_key)
        more = parse_json_object("--judge-body", judge_body)
        judge = Judge(judge_base_url, judge_model, api_key, load_prompt(judge_prompt), more, redacted)
    test_dataset = open_data(config.data, required=False)
    train_dataset = test_dataset if train is None else open_data(train, required=True)
    with Progress(console=console, transient=True) as progress:
        judgment = _collect_verdicts(judge, cases_to_judge(vqa_answers), run, progress)
        scorecard = Scorecard(
            model=config.model,
            blackout=config.blackout,
            all_texts=coverage,
            coverage=coverages(answers),
            strict=strict_accuracies(vqa_answers),
            lenient=lenient_accuracies(vqa_answers),
            paper=paper_score(vqa_answers, judgment, judge),
            captions={subset: caption_score(captions) for subset, captions in captions_by_subset(answers).items()},
            baselines=score_baselines(answers, test_dataset, train_dataset, progress),
            breakdown=break_down(vqa_answers),
            assignments=count_assignments(vqa_answers),
            calibration=calibrate(vqa_answers),
        )
    save_scorecard(run, scorecard)
    _print_scores(scorecard, console)
    if judge and scorecard.paper.unjudged.get(OVERALL):
        _print_judge_errors(judgment, run, console)
        raise typer.Exit(1)


def _print_judge_errors(judgment: Judgment, run: Path, console: Console) -> None:
    if judgment.given_up:
        console.print(f"[red]The judge failed for {MAX_CONSECUTIVE_FAILURES} cases in a row and was given up.[/]")
    for reason, count in judgment.errors.most_common(MAX_SHOWN_ERRORS):
        console.print(f"{count:,} cases: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)
    path = run / JUDGE_ERRORS_FILE
    console.print(f"The errors of the judge are in {path}. To judge the other cases, run the same command.")


def _print_scores(scorecard: Scorecard, console: Console) -> None:
    console.print(accuracy_table(scorecard))
    console.print(f"Majority baseline: {scorecard.baselines.majority_from}")
    console.print(caption_table(scorecard))
    for warning in caption_warnings(scorecard):
        console.print(warning)
    if unjudged := scorecard.paper.unjudged.get(OVERALL):
        console.print(f"[yellow]{unjudged:,} answers need a judge but have no verdict: they count as wrong[/]")
    coverage = scorecard.all_texts
    if missing := coverage.texts - coverage.answered:
        console.print(
            f"[yellow]{missing:,} of {coverage.texts:,} texts have no answer and count as wrong: {coverage.causes}[/]"
        )


def _collect_verdicts(judge: Judge | None, cases: set[JudgeCase], run: Path, progress: Progress) -> Judgment:
    if judge is None or not cases:
        return Judgment()
    task = progress.add_task("judging", total=len(cases))
    return asyncio.run(judge_cases(judge, sorted(cases), run, lambda: progress.advance(task)))
