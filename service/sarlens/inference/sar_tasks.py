"""SAR tasks: questions and captions about one image, each of which is a chat request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

from sarlens.chat.parse import IMAGE_PART, ChatRequest
from sarlens.chat.paths import CHAT_PATH
from sarlens.chat.reasoning import split_reasoning
from sarlens.errors import BadRequest, SarlensError
from sarlens.imagery.core.turn import NO_TURN, Turn
from sarlens.inference.picture_boxes import PictureBoxes
from sarlens.inference.pipeline import InferencePipeline
from sarlens.inference.question_batch import QuestionBatches
from sarlens.inference.reply_parser import Completion
from sarlens.profiles.profile import ModelProfile
from sarlens.profiles.registry import DEFAULT_PROFILE
from sarlens.prompts.answer_types import FREE_TEXT, AnswerType, Value, answer_type_for
from sarlens.prompts.applications import Application
from sarlens.prompts.classify import classify
from sarlens.prompts.templates import Style, acquisition_sentence, caption_prompt
from sarlens.stac import Acquisition
from sarlens.types.caller import CallerPolicy
from sarlens.types.cfar_params import CfarParams
from sarlens.types.image_request import ImageLocation, ImageRef, ImageRequest, has_own_bytes
from sarlens.types.render_params import RenderParams, radiometry_label


@dataclass(frozen=True, slots=True)
class Task:
    """One question or caption request about an image."""

    question: str
    """The caller's question."""
    application: Application
    prompt: str
    """The text that the model gets."""
    answer_type: AnswerType
    id: str | None = None
    """The caller's id of the question."""

    style: Style | None = None
    """Style of the caption that the task requests."""
    context: str = ""
    """Sentence about the acquisition before the prompt."""

    def for_model(self, profile: ModelProfile) -> Task:
        """Return the task in the words of a model."""
        prompts = profile.prompts
        text = prompts.for_caption(self.style) if self.style else prompts.for_question(self.question, self.application)
        return replace(self, prompt=f"{self.context} {text}".lstrip())

    def for_picture(self, boxes: PictureBoxes) -> Task:
        """Return the task with the boxes of the picture in its prompt; its question keeps those of the image.

        Raises:
            BadRequest: a box is outside the window that the picture shows.
        """
        prompt = boxes.to_picture_text(self.prompt, "questions")
        return self if prompt == self.prompt else replace(self, prompt=prompt)


def vqa_task(question: str, application: Application | None, task_id: str | None = None) -> Task:
    """Return the task for a question, in the paper's prompt; without ``application``, the question is classified.

    A request for a description keeps its own words, since the paper's prompt requests a concise answer.
    """
    application = application or classify(question)
    prompt = DEFAULT_PROFILE.prompts.for_question(question, application)
    is_description = application is Application.IMAGE_DESCRIPTION
    answer_type = FREE_TEXT if is_description else answer_type_for(question, application)
    return Task(question, application, prompt, answer_type, task_id)


def caption_task(style: Style) -> Task:
    """Return the task for a caption."""
    prompt = caption_prompt(style)
    return Task(prompt, Application.IMAGE_DESCRIPTION, prompt, FREE_TEXT, style=style)


def with_acquisition_context(tasks: Sequence[Task], acquisition: Acquisition | None) -> tuple[Task, ...]:
    """Return the tasks with a sentence about the acquisition before each prompt.

    Raises:
        BadRequest: the image has no acquisition metadata.
    """
    if acquisition is None:
        raise BadRequest("context requires an image that is a STAC Item with acquisition metadata.", param="context")
    sentence = acquisition_sentence(acquisition)
    return tuple(replace(task, prompt=f"{sentence} {task.prompt}".lstrip(), context=sentence) for task in tasks)


@dataclass(frozen=True, slots=True)
class TaskImage:
    """A resolved image, for tasks of one model."""

    model: str
    profile: ModelProfile
    """Profile of the model."""
    id: str
    """Image id."""
    render_params: Mapping[str, Any]
    """All render parameters, including the resolved window, as JSON."""
    location: ImageLocation
    """URL, or the bytes of the rendered image."""
    render: RenderParams
    """Parameters that render ``location`` to the image that the model sees."""
    seconds: float
    """Time spent on fetching and rendering, in seconds."""
    boxes: PictureBoxes | None = None
    """How boxes of the image become those that the model sees; None if tasks and answers have the latter."""
    version: str | None = None
    """If set, the version of the source that the tasks require."""
    acquisition: Acquisition | None = None
    """Acquisition metadata of the STAC Item, if the image is one."""
    reduction: float | None = None
    """Pixels of the window per pixel of the picture along the longest side, after looks; None if unknown."""
    targets: int | None = None
    """Targets of the detector in the window; None if its pixels have no power, or if they weren't searched."""
    turn_on_map: Turn | None = None
    """Turn of the rendered image after which north is up, if a task has a position and the image is georeferenced."""

    @property
    def radiometry(self) -> str:
        """The radiometry of the image that the model sees, as ``radiometry_label``."""
        return radiometry_label(self.render_params["calibration"], self.render_params.get("noise", "remove"))


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters of a completion."""

    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    confidence: bool = False
    """Whether to request log probabilities."""


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """A model's answer to one task."""

    text: str
    """Text without reasoning; empty if the model refused, or if the limit on tokens ended its reasoning."""
    usage: dict[str, Any] | None
    """OpenAI's usage object, if the worker sent one."""
    seconds: float
    """Time until the response was complete, in seconds."""
    confidence: float | None = None
    """Probability that the model gave to the text, 0 to 1, if the task requested log probabilities.

    None for an answer after reasoning, whose log probabilities are also those of the reasoning.
    """
    finish_reason: str | None = None
    """OpenAI's ``finish_reason``, if the worker sent one: ``length`` is a text that is cut off."""
    refusal: str | None = None
    """Text with which the model refused to answer, if it did."""
    reasoning: str | None = None
    """Reasoning before the answer, if the model has any."""

    @classmethod
    def of(cls, completion: Completion, seconds: float, profile: ModelProfile = DEFAULT_PROFILE) -> TaskAnswer:
        """Return the answer in a completion of a model with this profile, apart from its reasoning."""
        block, text = split_reasoning(completion.text)
        reasoning = "\n".join(part for part in (completion.reasoning, block) if part) or None
        confidence = completion.probability if reasoning is None else None
        text = profile.answer_in(text)
        return cls(text, completion.usage, seconds, confidence, completion.finish_reason, completion.refusal, reasoning)

    def value(self, answer_type: AnswerType) -> Value:
        """Return the typed value; None if the text has none, is cut off, or if the model refused to answer."""
        if self.refusal is not None or self.finish_reason not in {None, "stop"}:
            return None
        return answer_type.parse(self.text)


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """The answer to one task, or its error."""

    index: int
    """Index of the task in the request."""
    result: TaskAnswer | SarlensError


async def prepare_image(
    inference: InferencePipeline,
    model: str | None,
    location: ImageLocation,
    render: RenderParams | None,
    policy: CallerPolicy,
    *,
    on_map: bool = False,
    cfar: CfarParams | None = None,
) -> TaskImage:
    """Resolve and render an image, so that an unreadable image fails before any task runs.

    With ``on_map``, the turn of the rendered image to north is found too; with ``cfar``, the targets of the detector.

    Raises:
        SarlensError: no worker serves the model, or the image can't be read or rendered.
    """
    started_at = perf_counter()
    image_request = ImageRequest(location, render)
    model = await inference.resolve_model(model, [image_request], policy)
    profile = inference.profile(model)
    size, image_request = profile.size, profile.image_request(image_request)
    resolved = await inference.image_service.resolve(image_request, size, policy)
    rendered = await inference.image_service.render(resolved)
    targets = None if cfar is None else await inference.image_service.count_targets(resolved, cfar)
    turn_on_map = await inference.image_service.turn_to_north(resolved) if on_map else None
    if turn_on_map is not None and resolved.render.orient == "north":
        turn_on_map = NO_TURN
    boxes = None
    location, render = resolved.location, resolved.render
    if render.boxes != "picture":
        boxes = PictureBoxes(rendered.frame, profile.boxes.format)
    if render.boxes is not None:  # the prompts have the boxes that the model sees
        render = render.model_copy(update={"boxes": None})
    if has_own_bytes(location):
        # Each task would decode the bytes again and hold its own copy; the rendered image is small.
        location, render = rendered.data, profile.rendered_params(resolved.render.size)
    params = resolved.render.canonical_params(size)
    seconds = perf_counter() - started_at
    return TaskImage(
        model,
        profile,
        resolved.id,
        params,
        location,
        render,
        seconds,
        boxes,
        acquisition=resolved.acquisition,
        reduction=round(rendered.frame.reduction(resolved.render.looks or (1, 1)), 3),
        targets=targets,
        turn_on_map=turn_on_map,
    )


async def run_tasks(
    inference: InferencePipeline,
    image: TaskImage,
    tasks: Sequence[Task],
    sampling: Sampling,
    request_id: str,
    policy: CallerPolicy,
    *,
    batched: bool = True,
    on_sent: Callable[[int, ChatRequest], object] | None = None,
) -> AsyncGenerator[TaskOutcome]:
    """Run all tasks concurrently and yield each outcome as soon as it is known.

    Tasks of one answer type are sent to the worker together, which costs it less, unless ``batched`` is false: then no
    outcome waits for another. Identical errors are held back until an outcome differs from them. ``on_sent`` is called
    with the index of a task and its request before each attempt to send it to a worker.

    Raises:
        SarlensError: all tasks failed with this same error.
    """
    max_questions = inference.max_batch_questions if batched else 1
    batches: dict[AnswerType, QuestionBatches] = {
        task.answer_type: QuestionBatches(inference, max_questions) for task in tasks
    }

    async def run_task(index: int, task: Task) -> TaskOutcome:
        # Workers require unique request ids.
        chat_request = _to_chat_request(image, task, sampling, f"{request_id}-{index}", policy)
        sent = partial(on_sent, index, chat_request) if on_sent is not None else None
        return TaskOutcome(index, await _answer(batches[task.answer_type], chat_request, image.profile, sent))

    held: list[TaskOutcome] | None = []
    async with aclosing(_as_completed([run_task(index, task) for index, task in enumerate(tasks)])) as outcomes:
        async for outcome in outcomes:
            if held is None:
                yield outcome
                continue
            held.append(outcome)
            if _shared_error(held) is None:
                for held_outcome in held:
                    yield held_outcome
                held = None
    if held and (error := _shared_error(held)):
        raise error


async def _as_completed(coroutines: Iterable[Coroutine[Any, Any, TaskOutcome]]) -> AsyncGenerator[TaskOutcome]:
    running = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        for done in asyncio.as_completed(running):
            yield await done
    finally:
        for pending in running:
            pending.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _shared_error(outcomes: Sequence[TaskOutcome]) -> SarlensError | None:
    """Return the error that all outcomes share, or None."""
    errors = [outcome.result for outcome in outcomes if isinstance(outcome.result, SarlensError)]
    distinct = {(error.code, error.message, error.param) for error in errors}
    return errors[0] if len(errors) == len(outcomes) and len(distinct) == 1 else None


async def _answer(
    batches: QuestionBatches, chat_request: ChatRequest, profile: ModelProfile, on_sent: Callable[[], object] | None
) -> TaskAnswer | SarlensError:
    started_at = perf_counter()
    try:
        completion = await batches.answer(chat_request, on_sent)
    except SarlensError as error:
        return error
    return TaskAnswer.of(completion, perf_counter() - started_at, profile)


def _to_chat_request(
    image: TaskImage, task: Task, sampling: Sampling, request_id: str, policy: CallerPolicy
) -> ChatRequest:
    """Return the chat request of a task."""
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [IMAGE_PART, {"type": "text", "text": task.prompt}]},
    ]
    if image.profile.system_prompt is not None:
        messages.insert(0, {"role": "system", "content": image.profile.system_prompt})
    document: dict[str, Any] = {
        "model": image.model,
        "messages": messages,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
    }
    if sampling.seed is not None:
        document["seed"] = sampling.seed
    if sampling.confidence:
        document["logprobs"] = True
    if image.profile.structured_output and task.answer_type.constraint is not None:
        document["structured_outputs"] = task.answer_type.constraint
    refs = (ImageRef(image.location, image.render, len(messages) - 1, 0, image.version),)
    return ChatRequest(
        CHAT_PATH, None, 0, document, image.model, stream=False, images=refs, request_id=request_id, policy=policy
    )
