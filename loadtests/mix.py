"""What a load asks: questions in the shares of SARLANG-1M's applications, about windows of scenes by Zipf's law."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sarbench.dataset.census import PUBLISHED
from sarlens.prompts.applications import Application
from sarlens.v1 import sar_pb2

CHAT, VQA, CAPTIONS, SURVEYS = "/v1/chat/completions", "/v1/sar/vqa", "/v1/sar/captions", "/v1/sar/surveys"
RPC = "/sarlens.v1.Sar/Vqa"
SEQUENCE = {"Accept": "application/geo+json-seq"}

QUESTIONS: Mapping[Application, str] = MappingProxyType(
    {
        Application.OBJECT_IDENTIFICATION: "Are there any ships in the image?",
        Application.OBJECT_CLASSIFICATION: "What type of area is mostly visible?",
        Application.INSTANCE_COUNTING: "How many ships are in the image?",
        Application.REGION_REFERRING: "What is the object present in the area [56, 191, 112, 122]?",
        Application.OBJECT_POSITIONING: "Where is the ship positioned within the image?",
        Application.OTHERS: "What is the land cover of the image?",
    }
)
"""A question of each application but Image Description, which is captions."""

SHARES: Mapping[str, float] = MappingProxyType({CHAT: 0.3, VQA: 0.5, SURVEYS: 0.1, RPC: 0.1})
"""The part of all questions that comes over each surface; how many questions one request has stands in ``ASKED``."""
ASKED: Mapping[str, int] = MappingProxyType({CHAT: 1, VQA: 8, SURVEYS: 4, RPC: 1, CAPTIONS: 1})

SIDE, STEP, SCENE = 256, 32, 512


def weights() -> dict[str, int]:
    """How often each surface is asked, in requests; a caption is as frequent among texts as SARLANG-1M has it."""
    captions = PUBLISHED[Application.IMAGE_DESCRIPTION] / sum(PUBLISHED.values())
    texts = {CAPTIONS: captions} | {surface: share * (1 - captions) for surface, share in SHARES.items()}
    return {surface: round(1000 * share / ASKED[surface]) for surface, share in texts.items()}


class Mix:
    """Bodies of requests to each surface.

    Args:
        model: who is asked.
        scenes: URLs of scenes of at least ``SCENE`` pixels a side.
        seed: of what is drawn; None, another one each time.
    """

    def __init__(self, model: str, scenes: Sequence[str], seed: int | None = None) -> None:
        corners = range(0, SCENE - SIDE + 1, STEP)
        self._windows = list(itertools.product(scenes, corners, corners))
        # The same images are popular whoever asks.
        random.Random(0).shuffle(self._windows)
        self._sums = list(itertools.accumulate(1 / rank for rank in range(1, len(self._windows) + 1)))
        self._scenes = scenes
        self._model = model
        self._random = random.Random(seed)

    def image(self) -> tuple[str, list[int]]:
        """A scene and a window of it; the n-th most popular one in proportion to 1/n."""
        at = bisect.bisect(self._sums, self._random.random() * self._sums[-1])
        scene, col, row = self._windows[min(at, len(self._windows) - 1)]
        return scene, [col, row, SIDE, SIDE]

    def question(self, applications: Sequence[Application] = tuple(QUESTIONS)) -> str:
        """A question of one of some applications."""
        drawn = self._random.choices(applications, [PUBLISHED[each] for each in applications])[0]
        return QUESTIONS[drawn]

    def surface(self) -> str:
        """Whom to ask next."""
        return self._random.choices(list(weights()), list(weights().values()))[0]

    def body(self, surface: str) -> dict[str, Any]:
        """A request to a surface of REST."""
        scene, window = self.image()
        image = {"url": scene, "sar": {"window": window}}
        if surface == CHAT:
            content = [{"type": "image_url", "image_url": image}, {"type": "text", "text": self.question()}]
            messages = [{"role": "user", "content": content}]
            body: dict[str, Any] = {"messages": messages, "max_tokens": 32, "stream": True}
            return {"model": self._model, **body, "stream_options": {"include_usage": True}}
        if surface == VQA:
            return {"model": self._model, "image": image, "questions": [self.question() for _ in range(ASKED[VQA])]}
        if surface == SURVEYS:
            # A question that names a region is asked of one tile alone.
            open_questions = [each for each in QUESTIONS if each != Application.REGION_REFERRING]
            part = {"url": self._random.choice(self._scenes), "sar": {"window": [0, 0, SCENE, SCENE]}}
            return {"model": self._model, "image": part, "questions": [self.question(open_questions)], "tile": SIDE}
        return {"model": self._model, "image": image}

    def rpc(self) -> sar_pb2.VqaRequest:
        """A request to ``RPC``."""
        scene, (col, row, width, height) = self.image()
        request = sar_pb2.VqaRequest(model=self._model, image=sar_pb2.Image(url=scene))
        request.image.render.window.CopyFrom(sar_pb2.Window(col=col, row=row, width=width, height=height))
        request.questions.add(question=self.question())
        return request
