"""Locust users of a gateway: streamed chats, batches of questions, captions, surveys, and questions over gRPC.

``workload_mix.py`` defines the requests and their frequencies. ``make load`` starts a local stack. To load a running
gateway, run Locust itself, with its web page on port 8089, or headless with surveys only:

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

import gevent
import grpc
import grpc.experimental.gevent
from locust import HttpUser, LoadTestShape, constant, events, tag, task
from locust.stats import CSV_STATS_INTERVAL_SEC

from response_parts import FIRST_FEATURE, PARTS, PER_TOKEN, TTFT, record_part, write_parts
from sarlens.api.grpc.v1 import sar_pb2_grpc
from workload_mix import CAPTIONS, CHAT, RPC, SEQUENCE, SURVEYS, VQA, Mix, weights

grpc.experimental.gevent.init_gevent()

OFTEN = weights()
STARTED = count()


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument("--shape", choices=sorted(SHAPES), default="steady", help="Number of users over time.")
    parser.add_argument(
        "--scenes", default="s3://scenes/port.tif", help="Comma-separated URLs of scenes, 512 pixels or more a side."
    )
    parser.add_argument("--grpc", default="", help="gRPC address; default: port 8081 of the host.")
    parser.add_argument("--model", default="sarlens-nano", help="Model name in the requests.")
    parser.add_argument("--max-failed", type=float, default=0.0, help="Maximum fraction of failed requests.")
    parser.add_argument(
        "--max-p95-ms", type=float, default=2000.0, help="Maximum 95th percentile of the response time."
    )
    parser.add_argument(
        "--max-ttft-ms", type=float, default=2000.0, help="Maximum 95th percentile of the time to first token."
    )
    parser.add_argument(
        "--max-token-ms", type=float, default=500.0, help="Maximum 95th percentile of the time per token."
    )


class Analyst(HttpUser):
    """User that sends requests of every type, each as soon as the previous one is answered."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Open a gRPC channel, and send a first request."""
        options = self.environment.parsed_options
        self.mix = Mix(options.model, options.scenes.split(","))
        address = options.grpc or f"{urlsplit(self.environment.host).hostname}:8081"
        self.stub = sar_pb2_grpc.SarStub(grpc.insecure_channel(address))
        # The first users begin with a different surface each, so that a short run covers all of them.
        surfaces = (Analyst.chat, Analyst.vqa, Analyst.caption, Analyst.survey, Analyst.rpc)
        enabled = [surface for surface in surfaces if surface in self.tasks]
        enabled[next(STARTED) % len(enabled)](self)

    @tag("chat")
    @task(OFTEN[CHAT])
    def chat(self) -> None:
        """Stream the answer to one question, and record the time to first token and the time per token."""
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
                response.failure("the stream ended early")
        if times:
            record_part(TTFT, CHAT, times[0] - began)
        if times and tokens > 1:
            # The last token has no text: its time is the end of the stream.
            record_part(PER_TOKEN, CHAT, (time.perf_counter() - times[0]) / (tokens - 1))

    @tag("vqa")
    @task(OFTEN[VQA])
    def vqa(self) -> None:
        """Ask eight questions about an image; the request fails unless all are answered."""
        with self.client.post(VQA, json=self.mix.body(VQA), catch_response=True) as response:
            if response.status_code == 200 and b'"error"' in response.content:
                response.failure("a question was not answered")

    @tag("caption")
    @task(OFTEN[CAPTIONS])
    def caption(self) -> None:
        """Request a concise caption."""
        self.client.post(CAPTIONS, json=self.mix.body(CAPTIONS))

    @tag("survey")
    @task(OFTEN[SURVEYS])
    def survey(self) -> None:
        """Stream the features of a small survey, and record the time to the first one."""
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
            record_part(FIRST_FEATURE, SURVEYS, first - began)

    @tag("grpc")
    @task(OFTEN[RPC])
    def rpc(self) -> None:
        """Ask one question over gRPC."""
        error: Exception | None = None
        began = time.perf_counter()
        try:
            self.stub.Vqa(self.mix.rpc(), timeout=60)
        except grpc.RpcError as rpc_error:
            error = RuntimeError(rpc_error.code().name)
        self.environment.events.request.fire(
            request_type="gRPC",
            name=RPC,
            response_time=1000 * (time.perf_counter() - began),
            response_length=0,
            exception=error,
            context={},
        )


def _lines(response: Any, began: float) -> Iterator[bytes]:
    """Yield the lines of a stream, and set its response time, which Locust measures to the headers only."""
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
"""Fraction of all users that are active, by the elapsed fraction of the run."""


class Load(LoadTestShape):
    """Up to ``--users`` users, for ``--run-time``, in the shape ``--shape``."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Return the current number of users, and how many may start per second."""
        # Locust types the runner as optional; it exists while a shape runs.
        load: Any = self
        options, elapsed_s = load.runner.environment.parsed_options, load.get_run_time()
        users, length = options.num_users or 10, options.run_time or 120
        if elapsed_s >= length:
            return None
        return max(1, round(users * SHAPES[options.shape](elapsed_s / length))), options.spawn_rate or users


@events.quitting.add_listener
def _judge(environment: Any, **_: Any) -> None:
    """Print the times within responses, and fail the run if a threshold is exceeded."""
    options, answers, parts = environment.parsed_options, environment.stats.entries.values(), PARTS.entries.values()
    if options.csv_prefix:
        gevent.sleep(CSV_STATS_INTERVAL_SEC)  # Locust writes its own CSV file at this interval, and not at the end
    write_parts(options.csv_prefix)
    requests, failed = (sum(getattr(entry, name) for entry in answers) for name in ("num_requests", "num_failures"))
    reasons = [] if requests else ["no requests were sent"]
    if requests and failed / requests > options.max_failed:
        reasons.append(f"{failed} of {requests} requests failed")
    limits = {TTFT: options.max_ttft_ms, PER_TOKEN: options.max_token_ms}
    limited = [(entry, options.max_p95_ms) for entry in answers]
    limited += [(entry, limits[entry.method]) for entry in parts if entry.method in limits]
    for entry, limit in limited:
        p95 = entry.get_response_time_percentile(0.95)
        if p95 > limit:
            reasons.append(f"{entry.method} {entry.name} took {p95:.0f} ms (p95), more than {limit:.0f}")
    for reason in reasons:
        print(f"FAILED: {reason}")
    environment.process_exit_code = 1 if reasons else 0
