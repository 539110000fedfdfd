"""What becomes of the tasks about an image: one item each, as REST sends it and gRPC translates it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter
from typing import Any

from sarlens.admission.keys import Key
from sarlens.errors import SarlensError
from sarlens.inference import Inference
from sarlens.ingress.bodies import Assignment
from sarlens.ingress.caller import Caller
from sarlens.ingress.door import Door
from sarlens.ingress.replies import error_object
from sarlens.ingress.tally import Tally
from sarlens.metrics import Metrics
from sarlens.request import View, radiometry
from sarlens.tasks import Outcome, Subject, Task, ask_all, examine, in_context

Item = dict[str, Any]


class Items:
    """Has the tasks of a request done, and writes down what comes of them."""

    def __init__(self, inference: Inference, door: Door, metrics: Metrics) -> None:
        self._inference = inference
        self._door = door
        self._metrics = metrics

    async def of(self, asked: Assignment, caller: Caller, arrived: float) -> AsyncGenerator[Item]:
        """The items of the answer to a request whose image is there, each as soon as it is ready.

        Raises:
            SarlensError: the model or the image cannot be had; from the items: all tasks failed with it.
        """
        model = self._inference.pool.resolve(asked.model)
        await self._door.admit(caller.key, model, [View(asked.place, asked.render)], len(asked.tasks))
        subject = await examine(self._inference, asked.model, asked.place, asked.render, caller.terms)
        if asked.context:
            asked = asked._replace(tasks=in_context(asked.tasks, subject.acquisition))
        return self._answers(caller, asked, subject, arrived)

    async def _answers(
        self, caller: Caller, asked: Assignment, subject: Subject, arrived: float
    ) -> AsyncGenerator[Item]:
        tasks, name, terms = asked.tasks, caller.request_id, caller.terms
        async with aclosing(ask_all(self._inference, subject, tasks, asked.sampling, name, terms)) as outcomes:
            async for outcome in outcomes:
                await self._count(outcome, subject.model, caller.key)
                item = _item(outcome, tasks[outcome.index], subject, name)
                item["timings"]["total_ms"] = _milliseconds(perf_counter() - arrived)
                yield item

    async def _count(self, outcome: Outcome, model: str, key: Key | None) -> None:
        if isinstance(outcome.result, SarlensError):
            self._metrics.errors.labels(outcome.result.code).inc()
        else:
            tally = Tally.of_usage(model, outcome.result.usage)
            tally.observe(self._metrics, self._inference.pool)
            await self._door.charge(key, tally.tokens)


def _item(outcome: Outcome, task: Task, subject: Subject, request_id: str) -> Item:
    """One item of an answer: what was asked, of which picture, and what came of it."""
    drawn = dict(subject.parameters)
    item: Item = {"index": outcome.index, "id": task.id, "question": task.question}
    item |= {"application": task.application, "model": subject.model}
    item["image"] = {"id": subject.id, "window": drawn.pop("window"), "render": drawn}
    item["image"]["radiometry"] = radiometry(drawn["calibration"])
    if subject.acquisition is not None:
        item["image"]["acquisition"] = subject.acquisition.document
    item["timings"] = {"total_ms": 0.0, "picture_ms": _milliseconds(subject.seconds)}
    if task.id is None:
        del item["id"]
    if isinstance(outcome.result, SarlensError):
        return item | error_object(outcome.result, request_id)
    found = outcome.result
    item |= {"text": found.text, "answer": {"type": task.form.type, "value": task.form.read(found.text)}}
    item["timings"]["answer_ms"] = _milliseconds(found.seconds)
    return item | {"usage": found.usage}


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)
