"""LLM judge for answers that the paper's rule leaves open, called once per distinct case."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from sarbench.run.answers import Answer
from sarbench.run.endpoint import ChatEndpoint, RequestFailed
from sarbench.run.jsonl_log import JsonlLog, read_jsonl

VERDICTS_FILE = "judge.jsonl"
MAX_TOKENS = 100
"""Value of the paper's script, which sets no temperature."""
MAX_ATTEMPTS = 5
PROMPT = """A visual question was answered. Decide whether the prediction means the same as the reference answer.
Judge meaning, not wording: synonyms agree, such as football and soccer, or pond and swimming pool.

Question: {question}
Reference answer: {truth}
Prediction: {answer}

Reply with the single digit 1 if they agree or 0 if they do not, and nothing else."""
"""Default prompt, with the meaning of the paper's prompt in other words. ``--judge-prompt`` replaces it."""
PLACEHOLDER = re.compile(r"\{(question|truth|answer)\}")

JudgeCase = tuple[str, str, str]
"""Lower-cased question, truth, and answer, as the paper's script passes them to its judge."""


@dataclass(frozen=True)
class Judge:
    """The judge's endpoint, model, and prompt. ``prompt`` holds the placeholders {question}, {truth}, and {answer}."""

    base_url: str
    model: str = "gpt-4o-mini"
    api_key: str | None = None
    prompt: str = PROMPT
    concurrency: int = 16

    def request_body(self, case: JudgeCase) -> dict[str, object]:
        """Return the chat request body for one case."""
        values = dict(zip(("question", "truth", "answer"), case, strict=True))
        text = PLACEHOLDER.sub(lambda match: values[match[1]], self.prompt)
        content = [{"type": "text", "text": text}]
        return {"model": self.model, "messages": [{"role": "user", "content": content}], "max_tokens": MAX_TOKENS}


def judge_case(answer: Answer) -> JudgeCase:
    """Return the case that an answer presents to the judge."""
    return answer.question.lower(), answer.truth.lower(), answer.text.lower()


def load_verdicts(out: Path, judge_model: str) -> dict[JudgeCase, bool]:
    """Return the verdicts that a model already gave for a run.

    Raises:
        RunError: the file of verdicts is damaged.
    """
    records = (record for record in read_jsonl(out / VERDICTS_FILE) if record["model"] == judge_model)
    return {(record["question"], record["truth"], record["answer"]): record["right"] for record in records}


async def judge_cases(
    judge: Judge, cases: Collection[JudgeCase], out: Path, on_case: Callable[[], None]
) -> Mapping[JudgeCase, bool]:
    """Return the verdict on each case, reusing and extending the log in ``out``.

    A reply that Python's int() doesn't parse as 0 or 1 gives no verdict, and so does an unreachable judge. The paper's
    script fails on such a reply.
    """
    verdicts = load_verdicts(out, judge.model)
    semaphore = asyncio.Semaphore(judge.concurrency)

    async def decide(case: JudgeCase) -> None:
        async with semaphore:
            right = await _request_verdict(endpoint, judge, case)
        if right is not None:
            verdicts[case] = right
            question, truth, answer = case
            log.append({"model": judge.model, "question": question, "truth": truth, "answer": answer, "right": right})
        on_case()

    with JsonlLog(out / VERDICTS_FILE) as log:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            endpoint = ChatEndpoint(judge.base_url, session, judge.api_key)
            for case in cases:
                if case not in verdicts:
                    group.create_task(decide(case))
    return verdicts


async def _request_verdict(endpoint: ChatEndpoint, judge: Judge, case: JudgeCase) -> bool | None:
    try:
        return {0: False, 1: True}.get(
            int((await endpoint.complete_with_retries(judge.request_body(case), MAX_ATTEMPTS)).text)
        )
    except (RequestFailed, ValueError):
        return None
