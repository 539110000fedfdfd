"""The tasks of SARLANG-1M over one image: questions asked side by side, and captions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from math import exp
from time import perf_counter
from typing import Any

import orjson

from sarlens.chat import IMAGE_PART, Ask
from sarlens.errors import BadRequest, ModelNotFound, NoWorker, SarlensError, TooLarge, WorkerFailed
from sarlens.inference import Inference
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import classify, made_from_boxes
from sarlens.prompts.context import context_of
from sarlens.prompts.form import FREE, Form, form_of
from sarlens.prompts.wording import Style, caption_prompt, question_prompt
from sarlens.request import ImageRef, Place, Render, Terms
from sarlens.stac import Acquisition
from sarlens.workers.client import Reply

PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of an image: the words that the model gets, and the form of the answer that they lead to.

    ``id`` is the caller's name for it.
    """

    question: str
    application: Application
    prompt: str
    form: Form
    id: str | None = None


def question_task(question: str, application: Application | None, name: str | None = None) -> Task:
    """A question in the paper's words; its application is recognised where none is named.

    A wish for a description is passed on in its own words: the paper's would ask for a concise answer.
    """
    application = application or classify(question)
    if application is Application.IMAGE_DESCRIPTION:
        return Task(question, application, question.strip(), FREE, name)
    prompt = question_prompt(question, application, classes=made_from_boxes(question, application))
    return Task(question, application, prompt, form_of(question, application), name)


def caption_task(style: Style) -> Task:
    """A wish for a caption."""
    prompt = caption_prompt(style)
    return Task(prompt, Application.IMAGE_DESCRIPTION, prompt, FREE)


def in_context(tasks: Sequence[Task], acquisition: Acquisition | None) -> tuple[Task, ...]:
    """Tasks with a sentence before their words of how the image was taken.

    Raises:
        BadRequest: nobody has said how.
    """
    if acquisition is None:
        raise BadRequest("context needs an image that is a STAC Item, which says how it was taken.", param="context")
    said = context_of(acquisition)
    return tuple(replace(task, prompt=f"{said} {task.prompt}".lstrip()) for task in tasks)


@dataclass(frozen=True, slots=True)
class Subject:
    """An image that a model can be asked about: it has been found and drawn.

    ``place`` and ``render`` lead to the picture again; ``id`` and ``parameters`` say which it is and how it was drawn.
    Where ``version`` names one, no other version of the image will do. ``acquisition`` is what a STAC Item says of it.
    """

    model: str
    id: str
    parameters: Mapping[str, Any]
    place: Place
    render: Render
    seconds: float
    version: str | None = None
    acquisition: Acquisition | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model chooses its words, and whether it is asked how sure it is of them."""

    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    confidence: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A model's answer, what it cost in tokens, and how long it took.

    ``confidence`` is the probability that the model gave to these words, from 0 to 1, where it was asked and told.
    """

    text: str
    usage: dict[str, Any] | None
    seconds: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the task at this place of the request."""

    index: int
    result: Finding | SarlensError


async def examine(
    inference: Inference, model: str | None, place: Place, render: Render | None, terms: Terms
) -> Subject:
    """Find and draw an image, so that one that cannot be had fails before anything is asked.

    Raises:
        SarlensError: no worker serves the model, or the image cannot be had.
    """
    begun = perf_counter()
    model = inference.pool.resolve(model)
    size = inference.picture_size(model)
    negative = await inference.pictures.find(place, render, size, terms)
    shown = negative.shown(await inference.pictures.draw(negative))
    again, rendered = negative.place, negative.render
    if isinstance(again, bytes) or again.startswith("data:"):
        # Unpacking it for every question would hold it in memory as often as there are questions.
        again, rendered = shown.data, Render(size=negative.render.size)
    seconds = perf_counter() - begun
    drawn = negative.render.parameters(size)
    return Subject(model, shown.id, drawn, again, rendered, seconds, acquisition=negative.acquisition)


async def ask_all(
    inference: Inference,
    subject: Subject,
    tasks: Sequence[Task],
    sampling: Sampling,
    request_id: str,
    terms: Terms,
) -> AsyncGenerator[Outcome]:
    """Ask all at the same time, and yield each outcome as it is there.

    Failures are held back until something else has happened.

    Raises:
        SarlensError: all tasks failed with this one.
    """
    held: list[Outcome] | None = []
    async with aclosing(_as_they_come(inference, subject, tasks, sampling, request_id, terms)) as outcomes:
        async for outcome in outcomes:
            if held is None:
                yield outcome
                continue
            held.append(outcome)
            if _shared_error(held) is None:
                for each in held:
                    yield each
                held = None
    if held and (error := _shared_error(held)):
        raise error


async def _as_they_come(
    inference: Inference,
    subject: Subject,
    tasks: Sequence[Task],
    sampling: Sampling,
    request_id: str,
    terms: Terms,
) -> AsyncGenerator[Outcome]:
    async def outcome(index: int, task: Task) -> Outcome:
        try:
            # Workers tell requests apart by their ids.
            return Outcome(index, await _ask(inference, subject, task, sampling, f"{request_id}-{index}", terms))
        except SarlensError as error:
            return Outcome(index, error)

    asked = [asyncio.create_task(outcome(index, task)) for index, task in enumerate(tasks)]
    try:
        for done in asyncio.as_completed(asked):
            yield await done
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def _shared_error(outcomes: Sequence[Outcome]) -> SarlensError | None:
    """The error that all of them are."""
    errors = [outcome.result for outcome in outcomes if isinstance(outcome.result, SarlensError)]
    kinds = {(error.code, error.message, error.param) for error in errors}
    return errors[0] if len(errors) == len(outcomes) and len(kinds) == 1 else None


async def _ask(
    inference: Inference, subject: Subject, task: Task, sampling: Sampling, request_id: str, terms: Terms
) -> Finding:
    begun = perf_counter()
    async with inference.answer(_as_chat(subject, task, sampling, request_id, terms)) as reply:
        text, usage = said(reply)
        confidence = sure(reply) if sampling.confidence else None
    return Finding(text, usage, perf_counter() - begun, confidence)


def _as_chat(subject: Subject, task: Task, sampling: Sampling, request_id: str, terms: Terms) -> Ask:
    """The chat that puts the task to a model; it has no bytes, since its image is put in on the way."""
    content = [IMAGE_PART, {"type": "text", "text": task.prompt}]
    document: dict[str, Any] = {
        "model": subject.model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
    }
    if sampling.seed is not None:
        document["seed"] = sampling.seed
    if sampling.confidence:
        document["logprobs"] = True
    if task.form.constraint is not None:
        document["structured_outputs"] = task.form.constraint
    refs = (ImageRef(subject.place, subject.render, 0, 0, subject.version),)
    return Ask(PATH, b"", document, subject.model, stream=False, images=refs, request_id=request_id, terms=terms)


def said(reply: Reply) -> tuple[str, dict[str, Any] | None]:
    """The text and the usage of a worker's answer.

    Raises:
        SarlensError: the worker refused, or answered something else.
    """
    try:
        document = orjson.loads(reply.first)
        if reply.status >= 400:
            raise _refusal(reply.status, str(document["error"]["message"]), document["error"].get("param"))
        return document["choices"][0]["message"]["content"] or "", document.get("usage")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise WorkerFailed("The worker answered something that is no chat completion.") from None


def sure(reply: Reply) -> float | None:
    """The probability of all tokens of an answer together, where the worker tells it."""
    try:
        tokens = orjson.loads(reply.first)["choices"][0]["logprobs"]["content"]
        return round(exp(sum(min(0.0, float(token["logprob"])) for token in tokens)), 6) if tokens else None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None


def _refusal(status: int, message: str, param: str | None) -> SarlensError:
    """A worker's error as one of ours, in the worker's words."""
    if status in {429, 503}:
        return NoWorker(message, param=param, retry_after=2)
    if status >= 500:
        return WorkerFailed(message, param=param)
    kind = {404: ModelNotFound, 413: TooLarge}.get(status, BadRequest)
    return kind(message, param=param)
