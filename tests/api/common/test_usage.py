"""Tokens and their times, as the gateway counts them from the bytes of a stream."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from sarlens.admission.api_keys import generate_api_key
from sarlens.api.common import usage
from sarlens.api.common.usage import UsageMeter
from sarlens.errors import WorkerFailed
from sarlens.inference.worker_stream import CompletionChunk, StreamedResponse
from sarlens.observability.logging import AccessRecord, bind_access_record
from sarlens.observability.metrics import Metrics
from sarlens.observability.tracing import INVALID_SPAN
from sarlens.settings import KeysSettings, Settings, WorkerSettings
from sarlens.workers.clients.base import WorkerResponse
from sarlens.workers.event_stream import EventSplitter
from sarlens.workers.pool import WorkerPool
from sarlens.workers.worker import Worker
from support.gateway import gateway
from support.pictures import DATA_URL
from support.workers.fake_worker import MODEL, WORDS, FakeWorker, RawReply

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}], "stream": True}
USAGE = {"prompt_tokens": 70, "total_tokens": 74, "completion_tokens": 4}
POOL = cast("WorkerPool", SimpleNamespace(model_card={MODEL: {}}.get))


def event(document: dict[str, Any]) -> bytes:
    """A server-sent event in vLLM's compact JSON."""
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def delta(**fields: str) -> bytes:
    """An event with a part of the message."""
    return event({"model": MODEL, "choices": [{"index": 0, "delta": fields, "finish_reason": None}], "usage": None})


ROLE = delta(role="assistant", content="")
TOKENS = [delta(content=word) for word in ("There", " are", " 3", " ships")]
LAST = event({"model": MODEL, "choices": [], "usage": USAGE})
DONE = b"data: [DONE]\n\n"


class Replay:
    """A worker's response whose chunks arrive at their times."""

    first_chunk = b""

    def __init__(self, chunks: Iterable[tuple[float, bytes]], tick: Callable[[float], None]) -> None:
        self._chunks = iter(chunks)
        self._tick = tick
        splitter = EventSplitter()
        for at, chunk in self._chunks:
            tick(at)
            self.first_chunk += chunk
            if any(event.data for event in splitter.feed(chunk)):
                break

    async def forward(self, write: Callable[[bytes], bool]) -> bool:
        """Pass on the chunks after the first event."""
        for at, chunk in self._chunks:
            self._tick(at)
            if not write(chunk):
                return True
        return False


def feed(meter: UsageMeter, chunks: Iterable[tuple[float, bytes]], tick: Callable[[float], None]) -> UsageMeter:
    """Feed a stream; it may break off."""
    worker = cast("Worker", SimpleNamespace(record_outcome=lambda _: None))
    response = cast("WorkerResponse", Replay(chunks, tick))
    stream = StreamedResponse(response, worker, INVALID_SPAN)

    def deliver(chunks: list[CompletionChunk]) -> bool:
        meter.feed(chunks)
        return True

    def pass_on(_: bytes, tokens: int) -> bool:
        meter.count(tokens)
        return True

    with contextlib.suppress(StopIteration, WorkerFailed):
        while True:
            stream.forward(deliver, pass_on).send(None)
    return meter


class Clock:
    """A clock that shows the time of the chunk that is fed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(usage, "perf_counter", lambda: self.now)

    def feed(self, meter: UsageMeter, chunks: Iterable[tuple[float, bytes]]) -> UsageMeter:
        """Feed each chunk at its time."""
        return feed(meter, chunks, self._set)

    def _set(self, now: float) -> None:
        self.now = now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that advances only at chunks."""
    return Clock(monkeypatch)


def exported(meter: UsageMeter) -> dict[str, float]:
    """The samples that a meter adds, by their names and labels other than the model's."""
    metrics = Metrics()
    meter.export(metrics, POOL)
    return samples(metrics.registry)


def samples(registry: CollectorRegistry) -> dict[str, float]:
    """Sums, counts and totals of token metrics."""
    names = {"sarlens_time_to_first_token_seconds": "ttft", "sarlens_time_per_output_token_seconds": "tpot"}
    found = {}
    for family in registry.collect():
        for sample in family.samples:
            base, _, kind = sample.name.rpartition("_")
            if base in names and kind in {"sum", "count"}:
                found[f"{names[base]}_{kind}"] = sample.value
            elif sample.name == "sarlens_tokens_total":
                found[sample.labels["kind"]] = sample.value
    return found


def test_times_are_those_of_the_first_and_last_token(clock: Clock) -> None:
    """The time to the first token ends with the first event that has one; the time per token is divided by n - 1."""
    times = [(10.5, ROLE), (11.0, TOKENS[0]), (11.2, TOKENS[1]), (11.3, TOKENS[2]), (11.9, TOKENS[3]), (13.0, DONE)]
    meter = clock.feed(UsageMeter(10.0), times)
    assert exported(meter) == pytest.approx(
        {"ttft_sum": 1.0, "ttft_count": 1, "tpot_sum": 0.9 / 3, "tpot_count": 1, "prompt": 0, "completion": 4}
    )
    assert meter.tokens == 4


def test_the_usage_of_a_stream_is_counted(clock: Clock) -> None:
    """Tokens are those of the usage in the last event, which isn't a token and has no time."""
    times = [(11.0, ROLE + TOKENS[0]), (11.2, TOKENS[1] + TOKENS[2]), (11.6, TOKENS[3]), (14.0, LAST), (15.0, DONE)]
    meter = clock.feed(UsageMeter(10.0), times)
    assert exported(meter) == pytest.approx(
        {"ttft_sum": 1.0, "ttft_count": 1, "tpot_sum": 0.2, "tpot_count": 1, "prompt": 70, "completion": 4}
    )
    assert (meter.tokens, meter.usage, meter.model) == (74, USAGE, MODEL)


def test_an_event_may_hold_several_tokens(clock: Clock) -> None:
    """If the worker states more tokens than it sent events, the time per token is divided by the stated number - 1."""
    stated = event({"model": MODEL, "choices": [], "usage": {**USAGE, "completion_tokens": 9}})
    meter = clock.feed(UsageMeter(0.0), [(1.0, TOKENS[0]), (3.0, TOKENS[1]), (3.0, stated + DONE)])
    assert exported(meter)["tpot_sum"] == pytest.approx(2.0 / 8)


def test_one_token_has_no_time_between_tokens(clock: Clock) -> None:
    """A stream of one token adds a time to the first token only."""
    meter = clock.feed(UsageMeter(0.0), [(0.25, ROLE + TOKENS[0]), (0.5, DONE)])
    assert exported(meter) == {"ttft_sum": 0.25, "ttft_count": 1, "prompt": 0, "completion": 1}


def test_a_stream_that_breaks_off_is_charged_by_its_tokens(clock: Clock) -> None:
    """Without usage, the tokens streamed are what the key is charged."""
    meter = clock.feed(UsageMeter(0.0), [(1.0, ROLE), (1.1, TOKENS[0]), (1.2, TOKENS[1])])
    assert meter.tokens == 2


def test_a_body_states_its_usage() -> None:
    """A response in one piece has usage and no times."""
    meter = UsageMeter(0.0)
    meter.record({"model": MODEL, "choices": [], "usage": USAGE})
    assert exported(meter) == {"prompt": 70, "completion": 4}
    assert meter.tokens == 74
    assert exported(UsageMeter.of_usage(MODEL, USAGE)) == {"prompt": 70, "completion": 4}


def test_the_access_log_gets_the_tokens() -> None:
    """Prompt and completion tokens of every response of a request are added up for its line of the access log."""
    record = AccessRecord()
    bind_access_record(record)
    for _ in range(2):
        UsageMeter.of_usage(MODEL, USAGE).export(Metrics(), POOL)
    bind_access_record(None)
    assert (record.prompt_tokens, record.completion_tokens) == (140, 8)


@pytest.mark.parametrize(
    "stated", [None, {}, [1], "usage", {"total_tokens": "9", "prompt_tokens": -1, "completion_tokens": 1.5}]
)
def test_nonsense_usage_counts_nothing(stated: Any) -> None:
    """Usage that is missing, negative, no integer or no object adds no tokens."""
    meter = UsageMeter(0.0)
    meter.record({"model": MODEL, "usage": stated})
    assert exported(meter) == {"prompt": 0, "completion": 0}
    assert meter.tokens == 0


def test_an_unknown_model_is_no_label() -> None:
    """A model that no worker serves adds nothing to the metrics."""
    assert exported(UsageMeter.of_usage("other", USAGE)) == {}
    assert exported(UsageMeter.of_usage(None, USAGE)) == {}


def test_a_model_that_is_no_text_is_ignored() -> None:
    """A model that isn't a text adds nothing to the metrics."""
    meter = UsageMeter(0.0)
    meter.record({"model": ["x"], "usage": USAGE})
    assert exported(meter) == {}


FRAMINGS: dict[str, Callable[[bytes], bytes]] = {
    "vllm": lambda stream: stream,
    "no space": lambda stream: stream.replace(b"data: ", b"data:"),
    "carriage returns": lambda stream: stream.replace(b"\n", b"\r\n"),
    "comments": lambda stream: b": ping\n\n" + stream.replace(b"\n\n", b"\n\n: ping\n\n"),
    "lines": lambda stream: stream.replace(b',"choices"', b',\ndata: "choices"'),
    "spaces": lambda stream: stream.replace(b'":', b'": '),
    "ids": lambda stream: stream.replace(b"data: ", b"id: 7\nevent: message\ndata: "),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@given(st.lists(st.integers(0, 2000), max_size=12), st.integers(0, 20))
def test_framing_and_cuts_change_nothing(framing: str, cuts: list[int], long: int) -> None:
    """However a stream is framed and cut, its model, usage and tokens are found; only times of tokens may change."""
    stream = FRAMINGS[framing](ROLE + b"".join(TOKENS) + delta(content="x" * long) + LAST + DONE)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [(0.0, stream[start:end]) for start, end in itertools.pairwise(edges)]
    meter = feed(UsageMeter(0.0), chunks, lambda _: None)
    assert (meter.model, meter.usage, meter.tokens, meter._streamed) == (MODEL, USAGE, 74, 5)


@pytest.mark.parametrize("cut", range(1, len(b"".join(TOKENS))))
def test_a_token_is_counted_once_wherever_it_is_cut(cut: int) -> None:
    """A stream in two chunks has as many tokens as it has events, and its model, also if it breaks off."""
    stream = b"".join(TOKENS)
    meter = feed(UsageMeter(0.0), [(0.0, stream[:cut]), (0.0, stream[cut:])], lambda _: None)
    assert (meter.tokens, meter.model) == (4, MODEL)


def test_the_first_event_names_the_model(clock: Clock) -> None:
    """The model of a stream that breaks off is that of its first event, spaces in its text included."""
    meter = clock.feed(UsageMeter(0.0), [(0.5, TOKENS[1] + event({"choices": [{}]}))])
    assert exported(meter)["ttft_sum"] == 0.5
    assert meter.model == MODEL


def test_two_tokens_have_one_time_between_them(clock: Clock) -> None:
    """The time per token of two tokens is the time between them."""
    meter = clock.feed(UsageMeter(0.0), [(0.5, TOKENS[0]), (0.75, TOKENS[1])])
    assert exported(meter)["tpot_sum"] == 0.25


def test_generated_text_is_not_taken_for_the_protocol(clock: Clock) -> None:
    """A model that writes what looks like events changes neither the count nor the usage."""
    text = 'data: {"choices":[],"role":"assistant","content":"","usage":{"total_tokens":1}} data: [DONE'
    meter = clock.feed(UsageMeter(0.0), [(1.0, delta(content=text)), (2.0, delta(content="x")), (3.0, DONE)])
    assert meter.tokens == 2
    assert exported(meter)["ttft_sum"] == 1.0


@pytest.fixture
async def metered(worker: FakeWorker, tmp_path: Path) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """A gateway whose only API key may use 100 tokens a minute, and the key's header."""
    secret, digest = generate_api_key()
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "gis", "sha256": digest, "tokens_per_minute": 100}]))
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), keys=KeysSettings(file=keys))
    async with gateway(settings) as url:
        yield url, {"Authorization": f"Bearer {secret}"}


async def page_of(url: str, headers: dict[str, str] | None = None) -> dict[str, float]:
    """The samples of the metrics page without labels of routes, models and workers."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics", headers=headers) as response:
        lines = (await response.text()).splitlines()
    wanted = ("sarlens_time", "sarlens_tokens", "sarlens_request_duration_seconds_sum")
    chosen = [line.rsplit(" ", 1) for line in lines if line.startswith(wanted) and "bucket" not in line]
    return {name: float(value) for name, value in chosen if "/health" not in name}


async def test_a_streams_times_and_usage_reach_the_metrics(
    metered: tuple[str, dict[str, str]], worker: FakeWorker
) -> None:
    """With a pause between tokens, first token, time per token and duration are the sums of these pauses."""
    url, headers = metered
    worker.pause_s = 0.06
    body = {**CHAT, "stream_options": {"include_usage": True}}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer,
    ):
        assert (await answer.text()).endswith("data: [DONE]\n\n")
    page = await page_of(url, headers)
    label = f'{{model="{MODEL}"}}'
    first = page[f"sarlens_time_to_first_token_seconds_sum{label}"]
    each = page[f"sarlens_time_per_output_token_seconds_sum{label}"]
    whole = page['sarlens_request_duration_seconds_sum{outcome="answered",route="/v1/chat/completions"}']
    pauses = len(WORDS) - 1
    assert first >= 0.058
    assert each >= 0.058
    # From the last token on there are two more pauses, one before the usage and one before [DONE].
    assert whole - first - pauses * each >= 0.115
    assert page[f'sarlens_tokens_total{{kind="prompt",model="{MODEL}"}}'] == 70
    assert page[f'sarlens_tokens_total{{kind="completion",model="{MODEL}"}}'] == 4


@pytest.mark.parametrize("options", [{"stream_options": {"include_usage": True}}, {}])
async def test_a_streams_usage_is_charged(metered: tuple[str, dict[str, str]], options: dict[str, Any]) -> None:
    """A key pays the 74 tokens that the worker states, whether it has requested the usage or not."""
    url, headers = metered
    found = []
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            async with http.post(f"{url}/v1/chat/completions", json={**CHAT, **options}, headers=headers) as answer:
                await answer.read()
                found.append(answer.status)
                retry_after = answer.headers.get("Retry-After")
    assert found == [200, 200, 429]
    # 148 of 100 tokens are used; a request needs one, and the bucket gains 100 in 60 s.
    assert 28 <= int(retry_after or 0) <= 30


async def read(url: str, body: dict[str, Any] | bytes) -> bytes:
    """Send a chat; return the whole stream, with the time of its creation replaced."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/chat/completions", data=data) as answer:
        assert answer.status == 200
        return re.sub(rb'"created":\d+', b'"created":0', await answer.read())


@pytest.mark.parametrize("options", [{"include_usage": True}, {"include_usage": False}, {}, None])
async def test_a_stream_is_what_its_worker_sends(url: str, worker: FakeWorker, options: dict[str, bool] | None) -> None:
    """With or without the usage, the caller gets the bytes that the worker sends to a caller of its own."""
    body = CHAT if options is None else {**CHAT, "stream_options": options}
    through = await read(url, body)
    assert (through, b'"usage"' in through) == (await read(worker.url, body), options == {"include_usage": True})
    page = await page_of(url)
    assert page[f'sarlens_tokens_total{{kind="prompt",model="{MODEL}"}}'] == 70
    assert page[f'sarlens_tokens_total{{kind="completion",model="{MODEL}"}}'] == 4


async def test_a_streamed_body_is_forwarded_with_one_insertion(url: str, worker: FakeWorker) -> None:
    """The request for the usage is inserted before the last brace; all other bytes reach the worker unchanged."""
    body = b' {"seed": 1.0, "stream":true ,"messages":[{"role":"user","content":"}"}] } \n'
    await read(url, body)
    assert worker.bodies == [body.replace(b"}] } ", b'}] ,"stream_options":{"include_usage":true}} ')]


async def test_an_old_worker_needs_no_stream_options(url: str, worker: FakeWorker) -> None:
    """A worker that rejects ``stream_options`` gets the caller's body, and later requests get it at once."""
    worker.knows_stream_options = False
    for _ in range(2):
        assert (await read(url, CHAT)).endswith(DONE)
    assert [b"stream_options" in body for body in worker.bodies] == [True, False, False]
    page = await page_of(url)
    assert page[f'sarlens_tokens_total{{kind="completion",model="{MODEL}"}}'] == 8


async def test_usage_in_other_events_is_removed(url: str, worker: FakeWorker) -> None:
    """Usage that a worker adds to other events is removed too, if the caller hasn't requested it."""
    first = {"model": MODEL, "choices": [{"index": 0, "delta": {"content": "3"}}]}
    worker.replies = RawReply(
        [
            b'data: {"usage": null , "model": "sarlens-nano","choices":[]}\n\n',
            event({**first, "usage": USAGE}),
            LAST,
            DONE,
        ],
        200,
        {"Content-Type": "text/event-stream"},
    )
    assert await read(url, CHAT) == b'data: {"model": "sarlens-nano","choices":[]}\n\n' + event(first) + DONE
    page = await page_of(url)
    assert page[f'sarlens_tokens_total{{kind="prompt",model="{MODEL}"}}'] == 70


async def test_a_client_that_leaves_is_charged_its_prompt_and_tokens(
    metered: tuple[str, dict[str, str]], worker: FakeWorker
) -> None:
    """A client that leaves after 2 of 4 tokens is charged both, and an estimated prompt of 240 bytes: 80 tokens."""
    url, headers = metered
    worker.pause_s = 0.2
    body = {**CHAT, "messages": [{"role": "user", "content": "ships " * 40}]}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
            received = b""
            while received.count(b'"content"') < 3:  # the first one has the role and no text
                received += await answer.content.readany()
        async with asyncio.timeout(30):
            while (tokens := await tokens_of(http, url, headers)) == 0:
                await asyncio.sleep(0.02)
    assert 82 <= tokens < 84


async def tokens_of(http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> int:
    """The tokens that a key has been charged."""
    async with http.get(f"{url}/v1/usage", headers=headers) as response:
        return int((await response.json())["tokens"])


async def test_a_client_that_leaves_before_the_first_token_is_charged_its_prompt(
    metered: tuple[str, dict[str, str]], worker: FakeWorker
) -> None:
    """A client that leaves while the worker has its request, with or without a stream, is charged 80 tokens."""
    url, headers = metered
    worker.hangs = True
    charged: list[int] = []
    async with aiohttp.ClientSession() as http:
        for stream in (True, False):
            body = {**CHAT, "messages": [{"role": "user", "content": "ships " * 40}], "stream": stream}
            asking = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=body, headers=headers))
            async with asyncio.timeout(30):
                while not worker.running:
                    await asyncio.sleep(0.01)
                asking.cancel()
                while worker.running or await tokens_of(http, url, headers) == sum(charged):
                    await asyncio.sleep(0.01)
            charged.append(await tokens_of(http, url, headers) - sum(charged))
    assert charged == [80, 80]


@pytest.mark.parametrize(
    ("route", "given", "prompts", "streamed"),
    [
        ("vqa", {"questions": ["Describe the image."]}, 1, False),
        ("vqa", {"questions": ["Describe the image."] * 3}, 3, False),
        ("vqa", {"questions": ["Describe the image."] * 3}, 3, True),
        ("captions", {}, 1, False),
    ],
)
async def test_tasks_that_a_client_leaves_are_charged_their_prompts(
    metered: tuple[str, dict[str, str]],
    worker: FakeWorker,
    route: str,
    given: dict[str, Any],
    prompts: int,
    *,
    streamed: bool,
) -> None:
    """Each question that a worker has costs its text and its image, in a batch and by itself; 256 pixels are 84."""
    url, headers = metered
    worker.hangs = True
    body = {"image": {"url": DATA_URL, "sar": {"size": 256}}, **given}
    accept = {"Accept": "application/x-ndjson"} if streamed else {}
    async with aiohttp.ClientSession() as http:
        asking = asyncio.create_task(http.post(f"{url}/v1/sar/{route}", json=body, headers=headers | accept))
        async with asyncio.timeout(30):
            while worker.running < (prompts if streamed else 1):
                await asyncio.sleep(0.01)
            asking.cancel()
            while worker.running or await tokens_of(http, url, headers) < prompts * 84:
                await asyncio.sleep(0.01)
        text_tokens = (await tokens_of(http, url, headers) - prompts * 84) / prompts
    assert text_tokens == (math.ceil(len("Describe the image.") / 3) if route == "vqa" else text_tokens)
    assert 7 <= text_tokens < 50


async def test_answers_before_a_client_leaves_are_charged_as_the_worker_states(
    metered: tuple[str, dict[str, str]], worker: FakeWorker
) -> None:
    """Of two questions, one is answered and charged its usage, and the one that hangs is charged its prompt."""
    url, headers = metered
    worker.hangs_on = "Ships?"
    body = {"image": {"url": DATA_URL, "sar": {"size": 256}}, "questions": ["Describe the image.", "Ships?"]}
    accept = {"Accept": "application/x-ndjson"}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}/v1/sar/vqa", json=body, headers=headers | accept) as answer:
            assert json.loads(await answer.content.readline())["index"] == 0
        answered = 70 + len(WORDS)
        async with asyncio.timeout(30):
            while worker.running or await tokens_of(http, url, headers) <= answered:
                await asyncio.sleep(0.01)
        assert answered + 84 < await tokens_of(http, url, headers) < answered + 84 + 50


async def test_a_rejected_request_is_charged_nothing(metered: tuple[str, dict[str, str]], worker: FakeWorker) -> None:
    """A request that the worker rejects has used no tokens."""
    url, headers = metered
    worker.fails_with = (400, '{"error": {"message": "no"}}')
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}/v1/chat/completions", json=CHAT, headers=headers) as answer:
            assert answer.status == 400
        assert await tokens_of(http, url, headers) == 0


def test_an_estimate_is_used_only_without_usage() -> None:
    """The prompt is what the worker states, and the estimate if it states nothing; it is made once."""
    estimates: list[int] = []

    def estimate() -> int:
        estimates.append(40)
        return 40

    meter = feed(UsageMeter(0.0), [(0.0, ROLE + TOKENS[0])], lambda _: None)
    meter.expect_prompt(estimate)
    assert (meter.tokens, exported(meter)["prompt"], estimates) == (41, 40, [40])
    meter.record({"usage": USAGE})
    assert (meter.tokens, exported(meter)["prompt"]) == (74, 70)
