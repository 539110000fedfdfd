"""What locust asks a gateway: chats that stream, many questions at once, captions, surveys, and questions over gRPC.

What is asked, and how often each, stands in ``mix.py``. ``make load`` starts all that it needs; a gateway that runs
already is asked with locust itself, here with its web page on port 8089, and here about surveys alone:

    .venv/bin/locust -f loadtests/locustfile.py --host http://localhost:8080 --shape step
    .venv/bin/locust -f loadtests/locustfile.py --host http://localhost:8080 --headless --tags survey
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.experimental.gevent
from locust import HttpUser, LoadTestShape, constant, events, tag, task

from mix import CAPTIONS, CHAT, RPC, SEQUENCE, SURVEYS, VQA, Mix, weights
from sarlens.v1 import sar_pb2_grpc

grpc.experimental.gevent.init_gevent()

ANSWERS = ("POST", "gRPC")
TTFT, PER_TOKEN, FIRST_FEATURE = "TTFT", "per token", "first feature"
OFTEN = weights()
STARTED = count()


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument("--shape", choices=sorted(SHAPES), default="steady", help="How many users there are, and when.")
    parser.add_argument("--scenes", default="s3://scenes/port.tif", help="Scenes of 512 pixels or more, by commas.")
    parser.add_argument("--grpc", default="", help="Address of gRPC; left out, port 8081 of the host.")
    parser.add_argument("--model", default="sarlens-nano", help="Model to ask.")
    parser.add_argument("--max-failed", type=float, default=0.0, help="Share of requests that may fail.")
    parser.add_argument("--max-p95-ms", type=float, default=2000.0, help="Longest 95th percentile of an answer.")
    parser.add_argument("--max-ttft-ms", type=float, default=2000.0, help="The same to the first token of a stream.")
    parser.add_argument("--max-token-ms", type=float, default=500.0, help="The same between two tokens of a stream.")


class Analyst(HttpUser):
    """Asks on every surface, the next thing as soon as one is answered."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Look at the options, open a channel for gRPC."""
        options = self.environment.parsed_options
        self.mix = Mix(options.model, options.scenes.split(","))
        address = options.grpc or f"{urlsplit(self.environment.host).hostname}:8081"
        self.stub = sar_pb2_grpc.SarStub(grpc.insecure_channel(address))
        # The first users begin with one surface each, so that a short run has all of them.
        surfaces = (Analyst.chat, Analyst.vqa, Analyst.caption, Analyst.survey, Analyst.rpc)
        wanted = [surface for surface in surfaces if surface in self.tasks]
        wanted[next(STARTED) % len(wanted)](self)

    @tag("chat")
    @task(OFTEN[CHAT])
    def chat(self) -> None:
        """Stream the answer to one question; time to first token and time per token become metrics of their own."""
        began, times, tokens, done = time.perf_counter(), list[float](), 0, False
        with self.client.post(CHAT, json=self.mix.body(CHAT), stream=True, catch_response=True) as response:
            for line in _lines(response, began):
                if line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    if "error" in event:
                        response.failure(line.decode(errors="replace")[:200])
                    if any(choice["delta"].get("content") for choice in event.get("choices", ())):
                        times.append(time.perf_counter())
                    tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
                done = done or line == b"data: [DONE]"
            if response.status_code == 200 and not done:
                response.failure("the stream ended before it was complete")
        if times:
            self.took(TTFT, CHAT, times[0] - began)
        if times and tokens > 1:
            # The last token ends the answer and has no text, so that its time is that of the end.
            self.took(PER_TOKEN, CHAT, (time.perf_counter() - times[0]) / (tokens - 1))

    @tag("vqa")
    @task(OFTEN[VQA])
    def vqa(self) -> None:
        """Ask eight questions about an image at once; each of them has to be answered."""
        with self.client.post(VQA, json=self.mix.body(VQA), catch_response=True) as response:
            if response.status_code == 200 and b'"error"' in response.content:
                response.failure("a question was not answered")

    @tag("caption")
    @task(OFTEN[CAPTIONS])
    def caption(self) -> None:
        """Want a concise caption."""
        self.client.post(CAPTIONS, json=self.mix.body(CAPTIONS))

    @tag("survey")
    @task(OFTEN[SURVEYS])
    def survey(self) -> None:
        """Take the features of a small survey as they come, each an answer; time to the first is a metric."""
        began, first, features = time.perf_counter(), 0.0, 0
        body = self.mix.body(SURVEYS)
        with self.client.post(SURVEYS, json=body, headers=SEQUENCE, stream=True, catch_response=True) as response:
            for line in _lines(response, began):
                feature = json.loads(line.lstrip(b"\x1e") or b"{}")
                first = first or time.perf_counter()
                features += "properties" in feature
                if "error" in feature.get("properties", feature):
                    response.failure(line.decode(errors="replace")[:200])
            if response.status_code == 200 and features < int(response.headers["Sarlens-Tiles"]):
                response.failure(f"{features} features of {response.headers['Sarlens-Tiles']} tiles")
        if features:
            self.took(FIRST_FEATURE, SURVEYS, first - began)

    @tag("grpc")
    @task(OFTEN[RPC])
    def rpc(self) -> None:
        """Ask one question over gRPC."""
        error: Exception | None = None
        began = time.perf_counter()
        try:
            self.stub.Vqa(self.mix.rpc(), timeout=60)
        except grpc.RpcError as failed:
            error = RuntimeError(failed.code().name)
        self.took("gRPC", RPC, time.perf_counter() - began, error)

    def took(self, kind: str, name: str, seconds: float, error: Exception | None = None) -> None:
        """Record something that took a time."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=1000 * seconds,
            response_length=0,
            exception=error,
            context={},
        )


def _lines(response: Any, began: float) -> Iterator[bytes]:
    """The lines of a stream as they come; locust, which times a stream to its head, is told when it ended."""
    yield from response.iter_lines(chunk_size=None)
    response.request_meta["response_time"] = 1000 * (time.perf_counter() - began)


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
    answers = [entry for entry in entries if entry.method in ANSWERS]
    asked, failed = (sum(getattr(entry, name) for entry in answers) for name in ("num_requests", "num_failures"))
    reasons = [] if asked else ["nothing was asked"]
    if asked and failed / asked > options.max_failed:
        reasons.append(f"{failed} of {asked} requests failed")
    limits = {TTFT: options.max_ttft_ms, PER_TOKEN: options.max_token_ms, **dict.fromkeys(ANSWERS, options.max_p95_ms)}
    for entry in entries:
        limit = limits.get(entry.method)
        took = entry.get_response_time_percentile(0.95)
        if limit is not None and took > limit:
            reasons.append(f"{entry.method} {entry.name} took {took:.0f} ms (p95), more than {limit:.0f}")
    for reason in reasons:
        print(f"FAILED: {reason}")
    environment.process_exit_code = 1 if reasons else 0
