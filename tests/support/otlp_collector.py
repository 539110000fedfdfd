"""Collector of traces: OTLP over HTTP on the loopback address, decoded with OpenTelemetry's own messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ReceivedSpan:
    """A received span. Ids are hexadecimal; times are nanoseconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    kind: int
    started_ns: int
    ended_ns: int
    failed: bool
    state: str
    service: dict[str, Any]
    attributes: dict[str, Any]
    events: list[str]


@dataclass
class Collector:
    """Received spans and request bodies."""

    url: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def wait(self, enough: Callable[[list[ReceivedSpan]], bool]) -> list[ReceivedSpan]:
        """Wait until ``enough`` is true of the spans, at most 20 s, and return them."""
        deadline = time.monotonic() + 20
        while not enough(self.spans):
            assert time.monotonic() < deadline, [span.name for span in self.spans]
            time.sleep(0.05)
        return self.spans

    def take(self, body: bytes) -> None:
        """Decode one export."""
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _plain(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_received(span, service) for span in scope.spans]


def _received(span: Any, service: dict[str, Any]) -> ReceivedSpan:
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    times = span.start_time_unix_nano, span.end_time_unix_nano
    return ReceivedSpan(
        *(span.name, *ids, span.kind, *times, span.status.code == 2, span.trace_state),
        service=service,
        attributes=_plain(span.attributes),
        events=[event.name for event in span.events],
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector in a thread."""
    running = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            running.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
