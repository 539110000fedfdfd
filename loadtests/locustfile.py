"""What locust asks a gateway: chats that stream, many questions at once, captions, and the same over gRPC.

Questions come in the shares that the applications have in SARLANG-1M, images by Zipf's law. ``make load`` starts all
that it needs; a gateway that runs already is asked with locust itself, here with its web page on port 8089:

    .venv/bin/locust -f loadtests/locustfile.py --host http://localhost:8080 --shape step
"""

from __future__ import annotations

import bisect
import itertools
import random
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.experimental.gevent
from locust import FastHttpUser, HttpUser, LoadTestShape, User, constant, events, task

from sarlens.v1 import sar_pb2, sar_pb2_grpc

grpc.experimental.gevent.init_gevent()

QUESTIONS = {
    "Are there any ships in the image?": 484_620,
    "What is the object present in the area [56, 191, 112, 122]?": 221_450,
    "What type of area is mostly visible?": 132_525,
    "How many ships are in the image?": 117_382,
    "Where is the ship positioned within the image?": 106_171,
    "What is the land cover of the image?": 18_479,
}
"""A question of each application, and how many of its kind SARLANG-1M has."""
CAPTIONS = 45_650
SIDE, STEP, SCENE = 256, 32, 512
KINDS = ("POST", "gRPC")


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument("--shape", choices=sorted(SHAPES), default="steady", help="How many users there are, and when.")
    parser.add_argument("--scenes", default="s3://scenes/port.tif", help="Scenes of 512 pixels or more, by commas.")
    parser.add_argument("--grpc", default="", help="Address of gRPC; left out, port 8081 of the host.")
    parser.add_argument("--model", default="sarlens-nano", help="Model to ask.")
    parser.add_argument("--max-failed", type=float, default=0.0, help="Share of requests that may fail.")
    parser.add_argument("--max-p95-ms", type=float, default=2000.0, help="Longest 95th percentile of an answer.")
    parser.add_argument("--max-ttft-ms", type=float, default=2000.0, help="The same to the first token of a stream.")


class Images:
    """Windows of the scenes, the n-th most popular one asked for in proportion to 1/n."""

    def __init__(self, scenes: list[str]) -> None:
        corners = range(0, SCENE - SIDE + 1, STEP)
        self._windows = list(itertools.product(scenes, corners, corners))
        random.Random(0).shuffle(self._windows)
        self._sums = list(itertools.accumulate(1 / rank for rank in range(1, len(self._windows) + 1)))

    def any(self) -> tuple[str, list[int]]:
        """A scene and a window of it."""
        at = bisect.bisect(self._sums, random.random() * self._sums[-1])
        scene, col, row = self._windows[min(at, len(self._windows) - 1)]
        return scene, [col, row, SIDE, SIDE]


def any_question() -> str:
    """A question of some application."""
    return random.choices(list(QUESTIONS), list(QUESTIONS.values()))[0]


class Asking(User):
    """What all users know."""

    abstract = True
    wait_time = constant(0)

    def on_start(self) -> None:
        """Look at the options."""
        self.options = self.environment.parsed_options
        self.images = Images(self.options.scenes.split(","))

    def took(self, kind: str, name: str, began: float, until: float, error: Exception | None = None) -> None:
        """Record something that took a time."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=1000 * (until - began),
            response_length=0,
            exception=error,
            context={},
        )


class Chat(Asking, HttpUser):
    """Streams the answer to one question."""

    weight = 48

    @task
    def ask(self) -> None:
        """Time to first token and time per token become metrics of their own."""
        scene, window = self.images.any()
        image = {"type": "image_url", "image_url": {"url": scene, "sar": {"window": window}}}
        content = [image, {"type": "text", "text": any_question()}]
        body = {"model": self.options.model, "messages": [{"role": "user", "content": content}], "stream": True}
        began, times = time.perf_counter(), []
        path = "/v1/chat/completions"
        with self.client.post(path, json=body | {"max_tokens": 32}, stream=True, catch_response=True) as response:
            done = False
            for line in response.iter_lines(chunk_size=None):
                if line.startswith(b"data: {"):
                    if b'"error"' in line:
                        response.failure(line.decode(errors="replace")[:200])
                    times.append(time.perf_counter())
                done = done or line == b"data: [DONE]"
            # Locust times a stream to its head.
            response.request_meta["response_time"] = 1000 * (time.perf_counter() - began)
            if response.status_code == 200 and not done:
                response.failure("the stream ended before it was complete")
        if times:
            self.took("TTFT", path, began, times[0])
        if len(times) > 1:
            self.took("per token", path, 0, (times[-1] - times[0]) / (len(times) - 1))


class Vqa(Asking, FastHttpUser):
    """Asks eight questions about an image at once."""

    weight = 32

    @task
    def ask(self) -> None:
        """Each of them has to be answered."""
        scene, window = self.images.any()
        body = {"model": self.options.model, "image": {"url": scene, "sar": {"window": window}}}
        body |= {"questions": [any_question() for _ in range(8)]}
        with self.client.post("/v1/sar/vqa", json=body, catch_response=True) as response:
            if response.status_code == 200 and b'"error"' in response.content:
                response.failure("a question was not answered")


class Caption(Asking, FastHttpUser):
    """Wants a caption."""

    weight = max(1, round(100 * CAPTIONS / (CAPTIONS + sum(QUESTIONS.values()))))

    @task
    def ask(self) -> None:
        """A concise one."""
        scene, window = self.images.any()
        image = {"url": scene, "sar": {"window": window}}
        self.client.post("/v1/sar/captions", json={"model": self.options.model, "image": image})


class Rpc(Asking):
    """Asks over gRPC."""

    weight = 16

    def on_start(self) -> None:
        """Open a channel."""
        super().on_start()
        address = self.options.grpc or f"{urlsplit(self.environment.host).hostname}:8081"
        self.stub = sar_pb2_grpc.SarStub(grpc.insecure_channel(address))

    @task
    def ask(self) -> None:
        """One question."""
        scene, (col, row, width, height) = self.images.any()
        request = sar_pb2.VqaRequest(model=self.options.model, image=sar_pb2.Image(url=scene))
        request.image.render.window.CopyFrom(sar_pb2.Window(col=col, row=row, width=width, height=height))
        request.questions.add(question=any_question())
        error: Exception | None = None
        began = time.perf_counter()
        try:
            self.stub.Vqa(request, timeout=60)
        except grpc.RpcError as failed:
            error = RuntimeError(failed.code().name)
        self.took("gRPC", "/sarlens.v1.Sar/Vqa", began, time.perf_counter(), error)


def _step(share: float) -> float:
    return (int(share * 5) + 1) / 5


def _spike(share: float) -> float:
    return 1.0 if 0.4 <= share < 0.6 else 0.2


SHAPES: dict[str, Callable[[float], float]] = {
    "steady": lambda _: 1.0,
    "step": _step,
    "spike": _spike,
    "soak": lambda share: min(1.0, share / 0.05),
}
"""The share of all users that there are when a share of the time is over."""


class Load(LoadTestShape):
    """As many users as ``--users``, for ``--run-time``, in the shape of ``--shape``."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Users now, and how many may begin in a second."""
        # Locust's types say that there may be no runner; there is one while a shape is asked.
        load: Any = self
        options, gone = load.runner.environment.parsed_options, load.get_run_time()
        users, length = options.num_users or 10, options.run_time or 120
        if gone >= length:
            return None
        return max(1, round(users * SHAPES[options.shape](gone / length))), options.spawn_rate or users


@events.quitting.add_listener
def _judge(environment: Any, **_: Any) -> None:
    """Fail the run where a threshold is crossed."""
    options, entries = environment.parsed_options, environment.stats.entries.values()
    answers = [entry for entry in entries if entry.method in KINDS]
    asked, failed = (sum(getattr(entry, name) for entry in answers) for name in ("num_requests", "num_failures"))
    reasons = [] if asked else ["nothing was asked"]
    if asked and failed / asked > options.max_failed:
        reasons.append(f"{failed} of {asked} requests failed")
    for entry in entries:
        limit = {"TTFT": options.max_ttft_ms, **dict.fromkeys(KINDS, options.max_p95_ms)}.get(entry.method)
        took = entry.get_response_time_percentile(0.95)
        if limit is not None and took > limit:
            reasons.append(f"{entry.method} {entry.name} took {took:.0f} ms (p95), more than {limit:.0f}")
    for reason in reasons:
        print(f"FAILED: {reason}")
    environment.process_exit_code = 1 if reasons else 0
