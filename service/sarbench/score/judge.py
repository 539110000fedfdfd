"""A language model as judge, asked only where the paper's rule asks one, and once for each distinct answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from sarbench.run.answers import Answer
from sarbench.run.endpoint import Endpoint, NoAnswer
from sarbench.run.ledger import Ledger, read_ledger

VERDICTS = "judge.jsonl"
MAX_TOKENS = 100
"""As in the authors' script, which sets no temperature."""
ATTEMPTS = 5
PROMPT = """A visual question was answered. Decide whether the prediction means the same as the reference answer.
Judge meaning, not wording: synonyms agree, such as football and soccer, or pond and swimming pool.

Question: {question}
Reference answer: {truth}
Prediction: {answer}

Reply with the single digit 1 if they agree or 0 if they do not, and nothing else."""
"""Says what the authors' prompt says, in other words; theirs can be given instead."""
PLACEHOLDER = re.compile(r"\{(question|truth|answer)\}")

Case = tuple[str, str, str]
"""Question, truth and answer in lower case, as their script passes them on."""


@dataclass(frozen=True)
class Judge:
    """Which model judges, where, and in which words; ``prompt`` holds {question}, {truth} and {answer}."""

    base_url: str
    model: str = "gpt-4o-mini"
    api_key: str | None = None
    prompt: str = PROMPT
    concurrency: int = 16

    def body(self, case: Case) -> dict[str, object]:
        """The chat body for one case."""
        told = dict(zip(("question", "truth", "answer"), case, strict=True))
        text = PLACEHOLDER.sub(lambda found: told[found[1]], self.prompt)
        content = [{"type": "text", "text": text}]
        return {"model": self.model, "messages": [{"role": "user", "content": content}], "max_tokens": MAX_TOKENS}


def case_of(answer: Answer) -> Case:
    """What the judge is shown of an answer."""
    return answer.question.lower(), answer.truth.lower(), answer.answer.lower()


def known_verdicts(out: Path, judge_model: str) -> dict[Case, bool]:
    """The verdicts that a model has already given on a run.

    Raises:
        RunError: the file of verdicts is damaged.
    """
    kept = (record for record in read_ledger(out / VERDICTS) if record["model"] == judge_model)
    return {(record["question"], record["truth"], record["answer"]): record["right"] for record in kept}


async def ask_judge(judge: Judge, cases: Collection[Case], out: Path, done: Callable[[], None]) -> Mapping[Case, bool]:
    """The verdict on each case; kept in ``out``, so that scoring again asks nothing twice.

    A reply that Python's int() does not read as 0 or 1 would end the authors' script; here it leaves no verdict, as
    does a judge that cannot be reached.
    """
    verdicts = known_verdicts(out, judge.model)
    gate = asyncio.Semaphore(judge.concurrency)

    async def decide(case: Case) -> None:
        async with gate:
            right = await _verdict(endpoint, judge, case)
        if right is not None:
            verdicts[case] = right
            question, truth, answer = case
            ledger.append(
                {"model": judge.model, "question": question, "truth": truth, "answer": answer, "right": right}
            )
        done()

    with Ledger(out / VERDICTS) as ledger:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            endpoint = Endpoint(judge.base_url, session, judge.api_key)
            for case in cases:
                if case not in verdicts:
                    group.create_task(decide(case))
    return verdicts


async def _verdict(endpoint: Endpoint, judge: Judge, case: Case) -> bool | None:
    try:
        return {0: False, 1: True}.get(int(await endpoint.ask_patiently(judge.body(case), ATTEMPTS)))
    except (NoAnswer, ValueError):
        return None
