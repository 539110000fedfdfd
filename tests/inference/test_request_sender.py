"""Sending one request to one worker: images as data or by id, and what is sent again."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from sarlens.errors import WorkerFailed
from sarlens.inference.worker_response import CompleteResponse, RejectedResponse
from sarlens.observability import tracing
from sarlens.observability.route_receipt import RouteReceipt
from support.workers.scripted_worker import PATH, Reply, ScriptedFleet, batch, rejection, request, stream

CHUNK: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": "3"}}]}


def data_parts(body: dict[str, Any]) -> list[bool]:
    """Return for each image of a request whether its data was sent."""
    parts = body["messages"][0]["content"]
    return [part["image_url"] is not None for part in parts if part["type"] == "image_url"]


async def ask(fleet: ScriptedFleet, *images: str, **fields: Any) -> Any:
    """Send a request; return the response, closed."""
    dispatched = await fleet.dispatcher.dispatch("scripted", request(*images, **fields))
    dispatched.close()
    return dispatched.response


async def test_the_data_of_an_image_is_sent_once() -> None:
    """The first request sends two images as data, the second one of them by id and a third as data."""
    fleet = ScriptedFleet([[Reply()]])
    (worker,) = await fleet.start()
    assert isinstance(await ask(fleet, "a", "b"), CompleteResponse)
    await ask(fleet, "b", "c")
    await ask(fleet, "a", "b", "c")
    assert [data_parts(body) for body in fleet.clients[0].bodies] == [[True, True], [False, True], [False] * 3]
    assert fleet.counts("images_sent") == {"data": 3, "id": 4}
    assert worker.known_images.total_bytes(request("a", "b", "c").image_ids) == 15
    assert fleet.clients[0].calls == [(PATH, "req-7", False)] * 3
    assert fleet.clients[0].traces == [{}] * 3  # tracing is off
    load = worker.load
    assert (load.in_flight, load.unsent, load.sent_pixels, load.pending_pixels, len(fleet.coalescer)) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "refusal",
    [rejection(400), rejection(404), rejection(422), stream({"error": {"message": "not in cache", "code": 500}})],
)
async def test_an_evicted_image_is_sent_again(refusal: Reply) -> None:
    """After a rejection, the data of both images follows; the first response is closed, and one retry counts."""
    fleet = ScriptedFleet([[Reply(), refusal, Reply()]])
    (worker,) = await fleet.start()
    receipt = RouteReceipt()
    await ask(fleet, "a", "b")
    again = request("a", "b")
    again.receipt = receipt
    (await fleet.dispatcher.dispatch("scripted", again)).close()
    assert [data_parts(body) for body in fleet.clients[0].bodies] == [[True] * 2, [False] * 2, [True] * 2]
    assert refusal.closed == 1
    assert fleet.counts("images_sent") == {"data": 4, "id": 2, "missed": 2}
    assert fleet.counts("retries") == {"cache_miss": 1}
    assert len(worker.known_images) == 2
    assert (receipt.attempts, receipt.hits, receipt.misses, receipt.bytes_saved) == (2, 0, 1, 0)
    assert (receipt.workers, receipt.policies) == ({"<http://a>"}, {"least_load"})


async def test_a_rejected_request_with_data_is_not_sent_again() -> None:
    """A status 400 for a request with its data reaches the caller, and the worker holds no image of it."""
    fleet = ScriptedFleet([[rejection(400, "too long")]])
    (worker,) = await fleet.start()
    response = await ask(fleet, "a")
    assert isinstance(response, RejectedResponse)
    assert (response.status, response.error["message"]) == (400, "too long")
    assert len(fleet.clients[0].bodies) == 1
    assert len(worker.known_images) == 0
    assert fleet.counts("images_sent") == {"data": 1}


async def test_other_rejections_of_cached_images_are_no_misses() -> None:
    """A status 413 for a request by id reaches the caller, and the image stays known."""
    fleet = ScriptedFleet([[Reply(), rejection(413)]])
    (worker,) = await fleet.start()
    await ask(fleet, "a")
    assert (await ask(fleet, "a")).status == 413
    assert (len(fleet.clients[0].bodies), len(worker.known_images)) == (2, 1)
    assert fleet.counts("retries") == {}


async def test_a_request_that_stores_has_its_images_as_data() -> None:
    """A request with ``store: true`` never names an image by id, since it can't be sent again."""
    fleet = ScriptedFleet([[Reply()]])
    await fleet.start()
    await ask(fleet, "a")
    await ask(fleet, "a", store=True)
    assert [data_parts(body) for body in fleet.clients[0].bodies] == [[True], [True]]


async def test_a_worker_without_ids_gets_data() -> None:
    """A worker whose protocol has no image ids gets the data of an image with every request."""
    fleet = ScriptedFleet([[Reply()]])
    await fleet.start()
    fleet.clients[0].supports_image_ids = False
    await ask(fleet, "a")
    await ask(fleet, "a")
    assert [data_parts(body) for body in fleet.clients[0].bodies] == [[True], [True]]
    assert fleet.counts("images_sent") == {"data": 2}


async def test_an_old_worker_gets_no_stream_options() -> None:
    """A worker that rejects ``stream_options`` gets the stream again without, once, and later streams without."""
    fleet = ScriptedFleet([[rejection(400), stream(CHUNK)]])
    (worker,) = await fleet.start()
    first = await ask(fleet, stream=True)
    assert (first.adds_usage, worker.accepts_usage) == (False, False)
    await ask(fleet, stream=True)
    assert ["stream_options" in body for body in fleet.clients[0].bodies] == [True, False, False]
    assert fleet.counts("retries") == {"stream_options": 1}
    assert fleet.clients[0].calls == [(PATH, "req-7", True)] * 3


async def test_a_worker_that_accepts_stream_options_keeps_them() -> None:
    """Once a stream shows that the worker accepts ``stream_options``, a rejection has another reason.

    A request with ``store: true`` has them only from then on.
    """
    fleet = ScriptedFleet([[stream(CHUNK), stream(CHUNK), stream(CHUNK), rejection(400)]])
    (worker,) = await fleet.start()
    assert (await ask(fleet, stream=True, store=True)).adds_usage is False
    worker.accepts_usage = None
    assert (await ask(fleet, stream=True)).adds_usage is True
    assert worker.accepts_usage is True
    assert (await ask(fleet, stream=True, store=True)).adds_usage is True
    assert (await ask(fleet, stream=True)).status == 400
    assert ["stream_options" in body for body in fleet.clients[0].bodies] == [False, True, True, True]


async def test_usage_that_the_caller_requests_says_nothing_about_the_worker() -> None:
    """A stream whose caller requests the usage itself leaves open what the worker accepts."""
    fleet = ScriptedFleet([[stream(CHUNK)]])
    (worker,) = await fleet.start()
    response = await ask(fleet, stream=True, stream_options={"include_usage": True})
    assert (response.adds_usage, worker.accepts_usage) == (False, None)


async def test_a_response_that_is_no_answer_is_closed() -> None:
    """A response that is neither JSON nor a stream is closed, and the caller's request fails."""
    reply = Reply(first_chunk=b"<html>", content_type="text/html")
    fleet = ScriptedFleet([[reply]])
    await fleet.start()
    with pytest.raises(WorkerFailed, match="neither JSON nor a stream"):
        await ask(fleet)
    assert reply.closed == 1


async def test_each_attempt_is_announced() -> None:
    """``on_sent`` is called before each of the two requests to the worker."""
    fleet = ScriptedFleet([[Reply(), rejection(400), Reply()]])
    await fleet.start()
    await ask(fleet, "a")
    sent: list[int] = []
    again = request("a")
    again.on_sent = lambda: sent.append(len(fleet.clients[0].bodies))
    (await fleet.dispatcher.dispatch("scripted", again)).close()
    assert sent == [1, 2]


async def test_a_batch_counts_an_image_for_each_chat() -> None:
    """Of three chats about a new image, one has it as data and two by its id; the second batch has it by id thrice."""
    answers = b'{"choices": [%s]}' % b", ".join(
        b'{"index": %d, "message": {"content": "3"}}' % index for index in range(3)
    )
    fleet = ScriptedFleet([[Reply(first_chunk=answers)]])
    await fleet.start()
    for _ in range(2):
        assert len(await fleet.dispatcher.dispatch_batch("scripted", batch(3, "a"))) == 3
    assert fleet.counts("images_sent") == {"data": 1, "id": 5}
    assert fleet.counts("batches") == {"answered": 6}


@pytest.mark.parametrize(
    ("url", "reply", "address", "port"),
    [
        ("http://gpu-1:8000", Reply(), "gpu-1", 8000),
        ("http://gpu-2", Reply(first_chunk=b"<html>"), "gpu-2", 80),
    ],
)
async def test_a_request_has_a_span(url: str, reply: Reply, address: str, port: int) -> None:
    """The span of a request is a client's, with the worker, the status, the images and chats, and its error.

    The worker gets the context of this span, which ends when the response is closed.
    """
    recorder, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(recorder))
    fleet = ScriptedFleet([[reply]], urls=[url])
    await fleet.start()
    fails = reply.first_chunk == b"<html>"
    with tracing.start_trace(provider.get_tracer("test"), "request"):
        if fails:
            with pytest.raises(WorkerFailed):
                await fleet.dispatcher.dispatch("scripted", request("a", "b"))
        else:
            dispatched = await fleet.dispatcher.dispatch("scripted", request("a", "b"))
            assert "worker" not in {span.name for span in recorder.get_finished_spans()}
            dispatched.close()
    (span,) = [span for span in recorder.get_finished_spans() if span.name == "worker"]
    assert span.kind is tracing.SpanKind.CLIENT
    attributes = {
        "server.address": address,
        "server.port": port,
        "sarlens.request_id": "req-7",
        "sarlens.pictures": 2,
        "sarlens.chats": 1,
        "http.response.status_code": 200,
    }
    assert span.attributes is not None
    assert attributes.items() <= dict(span.attributes).items()
    assert span.status.status_code is (StatusCode.ERROR if fails else StatusCode.UNSET)
    context = span.get_span_context()
    assert context is not None
    ids = f"00-{context.trace_id:032x}-{context.span_id:016x}-"
    assert fleet.clients[0].traces[0]["traceparent"].startswith(ids)
