"""``sarbench score``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from sarbench.dataset.library import Library, open_library
from sarbench.errors import DatasetError, ScoreError
from sarbench.run.answers import Answer, read_answers
from sarbench.run.plan import Plan, read_about, read_plan
from sarbench.score.board import (
    Baselines,
    Board,
    CaptionScore,
    Rates,
    by_variety,
    caption_score,
    cases_to_judge,
    keep_board,
    majority_rates,
    paper_score,
    questions,
    strict_rates,
)
from sarbench.score.judge import PROMPT, Case, Judge, ask_judge
from sarbench.score.majority import majority_of_train, majority_within
from sarbench.score.retrieval import retrieve
from sarbench.score.tables import accuracy_table, caption_table


def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    train: Annotated[
        str | None, typer.Option(help="Data set whose train split the baselines learn from. [default: the run's]")
    ] = None,
    judge_base_url: Annotated[
        str | None, typer.Option(help="Endpoint of the judge that the paper's rule calls.")
    ] = None,
    judge_model: Annotated[str, typer.Option(help="Model that judges.")] = "gpt-4o-mini",
    judge_prompt: Annotated[
        Path | None, typer.Option(help="File with other words for the judge: {question}, {truth}, {answer}.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="The judge's bearer token.")] = None,
) -> None:
    """Score a run: captions, and questions by the paper's rule and a strict one; writes RUN/score.json."""
    console = Console()
    plan, answers = read_plan(run), read_answers(run)
    if not answers:
        raise ScoreError(f"{run} has no answers yet")
    asked = questions(answers)
    judge = None
    if judge_base_url:
        words = judge_prompt.read_text() if judge_prompt else PROMPT
        judge = Judge(judge_base_url, judge_model, api_key, words)
    with Progress(console=console, transient=True) as progress:
        verdicts = _verdicts(judge, cases_to_judge(asked), run, progress)
        board = Board(
            model=plan.model,
            blackout=plan.blackout,
            total=read_about(run).total,
            answered=len(answers),
            strict=strict_rates(asked),
            paper=paper_score(asked, verdicts, judge_model if judge else None),
            captions={variety: caption_score(captions) for variety, captions in by_variety(answers).items()},
            baselines=_baselines(plan, answers, train, progress),
        )
    keep_board(run, board)
    _show(board, console)


def _show(board: Board, console: Console) -> None:
    if board.strict:
        console.print(accuracy_table(board))
        console.print(f"majority: {board.baselines.majority_from}")
    if board.captions:
        console.print(caption_table(board))
    if left := board.paper.unjudged.get("overall"):
        console.print(f"[yellow]{left:,} answers need the paper's judge and have no verdict: they count as wrong[/]")
    if missing := board.total - board.answered:
        console.print(f"[yellow]{missing:,} of {board.total:,} texts have no answer and are in no score[/]")


def _verdicts(judge: Judge | None, cases: set[Case], run: Path, progress: Progress) -> Mapping[Case, bool]:
    if judge is None or not cases:
        return {}
    task = progress.add_task("judging", total=len(cases))
    return asyncio.run(ask_judge(judge, sorted(cases), run, lambda: progress.advance(task)))


def _baselines(plan: Plan, answers: Sequence[Answer], train: str | None, progress: Progress) -> Baselines:
    tested = _opened(plan.data, needed=False)
    learned = tested if train is None else _opened(train, needed=True)
    origin, rates = _majority(questions(answers), learned)
    found = _retrieval(answers, tested, learned, progress) if tested and learned else {}
    return Baselines(origin, rates, found)


def _opened(where: str, *, needed: bool) -> Library | None:
    """A data set; the run's own may have moved since, which leaves the baselines without it."""
    try:
        return open_library(where)
    except DatasetError:
        if needed:
            raise
        return None


def _majority(asked: Sequence[Answer], learned: Library | None) -> tuple[str, Rates]:
    majority = majority_of_train(learned) if learned else None
    if majority is None:
        return "by application, among the scored texts themselves", majority_rates(asked, majority_within(asked))
    return "by the question's wording, from the train split", majority_rates(asked, majority)


def _retrieval(
    answers: Sequence[Answer], tested: Library, learned: Library, progress: Progress
) -> dict[str, CaptionScore]:
    captions = by_variety(answers)
    if not captions:
        return {}
    task = progress.add_task("looking for the nearest images", total=None)
    found = retrieve(
        [answer for group in captions.values() for answer in group], tested, learned, lambda: progress.advance(task)
    )
    known = {variety: [answer for answer in group if answer.key in found] for variety, group in captions.items()}
    return {variety: caption_score(group, found) for variety, group in known.items() if group}
