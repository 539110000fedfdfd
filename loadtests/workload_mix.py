"""Requests of the load tests: questions with the frequencies of SARLANG-1M, about windows that follow Zipf's law."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sarbench.dataset.counts import PUBLISHED
from sarlens.api.grpc.v1 import sar_pb2
from sarlens.prompts.applications import Application

CHAT, VQA, CAPTIONS, SURVEYS = "/v1/chat/completions", "/v1/sar/vqa", "/v1/sar/captions", "/v1/sar/surveys"
RPC = "/sarlens.v1.Sar/Vqa"
SEQUENCE = {"Accept": "application/geo+json-seq"}

QUESTIONS: Mapping[Application, str] = MappingProxyType(
    {
        Application.OBJECT_IDENTIFICATION: "Are there any ships in the image?",
        Application.OBJECT_CLASSIFICATION: "What type of area is mostly visible?",
        Application.INSTANCE_COUNTING: "How many ships are in the image?",
        Application.REGION_REFERRING: "What is the object present in the area {region}?",
        Application.OBJECT_POSITIONING: "Where is the ship positioned within the image?",
        Application.OTHERS: "What is the land cover of the image?",
    }
)
"""One question per application; ``{region}`` is a box in pixels of the image. Captions cover Image Description."""

SHARES: Mapping[str, float] = MappingProxyType({CHAT: 0.3, VQA: 0.5, SURVEYS: 0.1, RPC: 0.1})
"""Fraction of all questions per surface."""
QUESTIONS_PER_REQUEST: Mapping[str, int] = MappingProxyType({CHAT: 1, VQA: 8, SURVEYS: 4, RPC: 1, CAPTIONS: 1})
"""Number of questions in a request to each surface."""

SIDE, STEP, SCENE = 256, 32, 512


def weights() -> dict[str, int]:
    """Return the relative number of requests per surface; captions are as frequent among texts as in SARLANG-1M."""
    captions = PUBLISHED[Application.IMAGE_DESCRIPTION] / sum(PUBLISHED.values())
    texts = {CAPTIONS: captions} | {surface: share * (1 - captions) for surface, share in SHARES.items()}
    return {surface: round(1000 * share / QUESTIONS_PER_REQUEST[surface]) for surface, share in texts.items()}


class Mix:
    """Generator of random requests to each surface.

    Args:
        model: model name in the requests.
        scenes: URLs of scenes of at least ``SCENE`` pixels a side.
        seed: random seed; None draws a new one.
        side: side of the windows, in pixels, at most ``SCENE``.
    """

    def __init__(self, model: str, scenes: Sequence[str], seed: int | None = None, side: int = SIDE) -> None:
        corners = range(0, SCENE - side + 1, STEP)
        self._windows = list(itertools.product(scenes, corners, corners))
        # The same images are popular in every Mix.
        random.Random(0).shuffle(self._windows)
        self._cumulative_weights = list(itertools.accumulate(1 / rank for rank in range(1, len(self._windows) + 1)))
        self._scenes = scenes
        self._side = side
        self._drawn = set[str]()
        self._model = model
        self._random = random.Random(seed)

    def image(self) -> tuple[str, list[int]]:
        """Draw a scene and a window; the n-th most popular one has a weight of 1/n."""
        index = bisect.bisect(self._cumulative_weights, self._random.random() * self._cumulative_weights[-1])
        scene, col, row = self._windows[min(index, len(self._windows) - 1)]
        return scene, [col, row, self._side, self._side]

    def is_new(self, request: Mapping[str, Any] | sar_pb2.VqaRequest) -> bool:
        """Return whether ``request`` is the first one about its image, and count the image as known."""
        if isinstance(request, sar_pb2.VqaRequest):
            window = request.image.render.window
            key = f"{request.image.url} {window.col} {window.row}"
        else:
            content = request["messages"][0]["content"] if "messages" in request else [{"image_url": request["image"]}]
            image = content[0]["image_url"]
            col, row, width, _ = image["sar"]["window"]
            key = f"{image['url']} {col} {row}" if width == self._side else image["url"]
        new = key not in self._drawn
        self._drawn.add(key)
        return new

    def question(self, window: Sequence[int], applications: Sequence[Application] = tuple(QUESTIONS)) -> str:
        """Draw a question about a window, with the frequencies of the applications in SARLANG-1M."""
        frequencies = [PUBLISHED[application] for application in applications]
        col, row, width, height = window
        region = [col + width * 7 // 32, row + height * 3 // 8, width * 7 // 16, height * 15 // 32]
        return QUESTIONS[self._random.choices(applications, frequencies)[0]].format(region=region)

    def surface(self) -> str:
        """Draw the surface of the next request."""
        return self._random.choices(list(weights()), list(weights().values()))[0]

    def body(self, surface: str) -> dict[str, Any]:
        """Return the body of a request to a REST surface."""
        scene, window = self.image()
        image = {"url": scene, "sar": {"window": window}}
        if surface == CHAT:
            content = [{"type": "image_url", "image_url": image}, {"type": "text", "text": self.question(window)}]
            messages = [{"role": "user", "content": content}]
            body: dict[str, Any] = {"messages": messages, "max_tokens": 32, "stream": True}
            return {"model": self._model, **body, "stream_options": {"include_usage": True}}
        if surface == VQA:
            return {
                "model": self._model,
                "image": image,
                "questions": [self.question(window) for _ in range(QUESTIONS_PER_REQUEST[VQA])],
            }
        if surface == SURVEYS:
            # A question that names a region applies to a single tile.
            applications = [application for application in QUESTIONS if application != Application.REGION_REFERRING]
            area = [0, 0, SCENE, SCENE]
            scene_window = {"url": self._random.choice(self._scenes), "sar": {"window": area}}
            return {
                "model": self._model,
                "image": scene_window,
                "questions": [self.question(area, applications)],
                "tile": SIDE,
            }
        return {"model": self._model, "image": image}

    def rpc(self) -> sar_pb2.VqaRequest:
        """Return a request to ``RPC``."""
        scene, window = self.image()
        col, row, width, height = window
        request = sar_pb2.VqaRequest(model=self._model, image=sar_pb2.Image(url=scene))
        request.image.render.window.CopyFrom(sar_pb2.Window(col=col, row=row, width=width, height=height))
        request.questions.add(question=self.question(window))
        return request
