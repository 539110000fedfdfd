"""LLM judge for answers that the paper's rule leaves open, called once per distinct case."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp

from sarbench.run.answers import Answer
from sarbench.run.endpoint import ChatEndpoint, RequestFailed
from sarbench.run.jsonl_log import JsonlLog, read_jsonl
from sarbench.score.judge_prompts import PROMPTS, JudgePrompt
from sarlens.prompts.final_answer import final_answer
from sarlens.prompts.normalize import parse_integer

VERDICTS_FILE = "judge.jsonl"
ERRORS_FILE = "judge_errors.jsonl"
MAX_TOKENS = 100
"""Value of the paper's script, which sets no temperature."""
MAX_ATTEMPTS = 5
MAX_REPLIES = 3
"""Requests for one case whose reply is no verdict."""
MAX_CONSECUTIVE_FAILURES = 10
"""Consecutive cases without a verdict after which the judge is given up."""

JudgeCase = tuple[str, str, str]
"""Lower-cased question, truth, and answer, as the paper's script passes them to its judge."""


@dataclass(frozen=True)
class Judge:
    """The judge's endpoint, model, prompt, and further fields of each request; a null value removes a field."""

    base_url: str
    model: str = "gpt-4o-mini"
    api_key: str | None = field(default=None, repr=False)
    prompt: JudgePrompt = PROMPTS["default"]
    body: dict[str, Any] = field(default_factory=dict)
    endpoint: str = ""
    """``base_url`` without credentials, for the log."""
    concurrency: int = 16

    def request_body(self, case: JudgeCase) -> dict[str, Any]:
        """Return the chat request body for one case."""
        content = [{"type": "text", "text": self.prompt.fill(*case)}]
        body = {"model": self.model, "messages": [{"role": "user", "content": content}], "max_tokens": MAX_TOKENS}
        return {name: value for name, value in {**body, **self.body}.items() if value is not None}

    def cache_key(self, case: JudgeCase) -> str:
        """Return the hash of the endpoint and the whole request: model, prompt, case, and sampling."""
        document = {"endpoint": self.endpoint.rstrip("/"), "body": self.request_body(case)}
        return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def description(self) -> dict[str, Any]:
        """Return the endpoint, the model, the prompt with its hash, and the sampling, for logs and scores."""
        sampling = {
            name: value for name, value in self.request_body(("", "", "")).items() if name not in {"model", "messages"}
        }
        return {
            "endpoint": self.endpoint,
            "model": self.model,
            "prompt": self.prompt.name,
            "prompt_sha256": sha256(self.prompt.template.encode()).hexdigest(),
            "sampling": sampling,
        }


@dataclass
class Judgment:
    """Verdicts by case, and the number of cases that each error left without one."""

    verdicts: dict[JudgeCase, bool] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    given_up: bool = False
    """Whether the judge failed too often in a row, so that the remaining cases were not sent."""


def judge_case(answer: Answer) -> JudgeCase:
    """Return the case that an answer presents to the judge."""
    return answer.question.lower(), answer.truth.lower(), answer.text.lower()


def parse_verdict(reply: str) -> bool | None:
    """Return the verdict in a reply: its final answer must be the number 0 or 1 and nothing else.

    Reasoning, Markdown, ``Answer:``, ``Score:``, and a JSON object with one value around the number don't count.
    """
    answer = final_answer(reply)
    label, colon, value = answer.partition(":")
    number = parse_integer(value if colon and label.strip().isalpha() else answer)
    return {0: False, 1: True}.get(number) if number is not None else None


def load_verdicts(out: Path, judge: Judge, cases: Collection[JudgeCase]) -> dict[JudgeCase, bool]:
    """Return the verdicts that this judge already gave on some cases of a run.

    Raises:
        RunError: the file of verdicts is damaged.
    """
    saved = {record.get("cache_key"): record.get("right") for record in read_jsonl(out / VERDICTS_FILE)}
    keys = {case: judge.cache_key(case) for case in cases}
    return {case: right for case, key in keys.items() if isinstance(right := saved.get(key), bool)}


async def judge_cases(judge: Judge, cases: Collection[JudgeCase], out: Path, on_case: Callable[[], None]) -> Judgment:
    """Return the verdict on each case, reusing and extending the log in ``out``. Errors are logged beside it.

    A reply without a verdict is requested again. The judge is given up after too many failures in a row; the same
    command resumes later.

    Raises:
        RunError: a log is damaged or cannot be written.
    """
    judgment = Judgment(load_verdicts(out, judge, cases))
    open_cases = iter([case for case in cases if case not in judgment.verdicts])
    for _ in judgment.verdicts:
        on_case()
    with JsonlLog(out / VERDICTS_FILE) as verdicts, JsonlLog(out / ERRORS_FILE) as errors:
        async with aiohttp.ClientSession(trust_env=True) as session, asyncio.TaskGroup() as group:
            endpoint = ChatEndpoint(judge.base_url, session, judge.api_key)
            session_of_judge = _JudgeSession(judge, endpoint, judgment, verdicts, errors, on_case)
            for _ in range(judge.concurrency):
                group.create_task(session_of_judge.work(open_cases))
    return judgment


@dataclass
class _JudgeSession:
    """The state that concurrent requests to a judge share."""

    judge: Judge
    endpoint: ChatEndpoint
    judgment: Judgment
    verdicts: JsonlLog
    errors: JsonlLog
    on_case: Callable[[], None]
    consecutive_failures: int = 0

    async def work(self, cases: Iterator[JudgeCase]) -> None:
        """Judge cases until none is left or the judge is given up."""
        for case in cases:
            await self._decide(case)
            if self.consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
                self.judgment.given_up = True
            if self.judgment.given_up:
                return

    async def _decide(self, case: JudgeCase) -> None:
        body = self.judge.request_body(case)
        reason = ""
        for _ in range(MAX_REPLIES):
            try:
                completion = await self.endpoint.complete_with_retries(body, MAX_ATTEMPTS)
            except RequestFailed as failure:
                reason = f"{failure.status}: {failure.reason}" if failure.status else failure.reason
                self._log_error(case, reason, None)
                break
            right = parse_verdict(completion.text) if completion.refusal is None else None
            if right is not None:
                self._log_verdict(case, completion.text, right=right)
                return
            reason = "the reply is neither 0 nor 1"
            self._log_error(case, reason, completion.refusal or completion.text)
        self.consecutive_failures += 1
        self.judgment.errors[reason] += 1

    def _log_verdict(self, case: JudgeCase, reply: str, *, right: bool) -> None:
        self.verdicts.append(self._record(case) | {"reply": reply, "right": right})
        self.judgment.verdicts[case] = right
        self.consecutive_failures = 0
        self.on_case()

    def _log_error(self, case: JudgeCase, reason: str, reply: str | None) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.errors.append(self._record(case) | {"error": reason, "reply": reply, "at": at})

    def _record(self, case: JudgeCase) -> dict[str, Any]:
        question, truth, answer = case
        texts = {"question": question, "truth": truth, "answer": answer}
        return {"cache_key": self.judge.cache_key(case), **self.judge.description(), **texts}
