"""Questions by batch: what a worker gets, what each question gets, and when questions go one by one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from sarlens.settings import AdmissionSettings, RoutingSettings, Settings, WorkerSettings
from support.fleet import fleet, metric
from support.gateway import gateway
from support.pictures import DATA_URL
from support.workers.fake_worker import BATCH_PATH, FakeWorker, RawReply, fake_worker

CHATS_PATH = "/v1/chat/completions"
KINDS = ("ships", "cars", "tanks", "bridges", "harbors", "aircraft", "cows", "sheep")
JSON = {"Content-Type": "application/json"}


def yes_no(number: int = 8) -> list[str]:
    """Return questions of one answer type."""
    return [f"Are there any {kind} in the image?" for kind in KINDS[:number]]


def prompt_of(messages: Sequence[Any]) -> str:
    """Return the text of a chat."""
    return str(messages[0]["content"][1]["text"])


def chats(worker: FakeWorker) -> list[int]:
    """Return the number of chats of each request of a worker; 1 for a request to the route of single chats."""
    sizes = [len(body["messages"]) for body in worker.requests]
    return [size if path == BATCH_PATH else 1 for path, size in zip(worker.paths, sizes, strict=True)]


async def vqa(
    http: aiohttp.ClientSession, url: str, questions: Sequence[str], headers: dict[str, str] | None = None, **more: Any
) -> tuple[int, Any]:
    """Ask questions about the picture; return the status, and the items or the error."""
    body = {"image": DATA_URL, "questions": questions, **more}
    async with http.post(f"{url}/v1/sar/vqa", json=body, headers=headers) as response:
        answer = await response.json()
    return response.status, answer.get("data", answer)


async def test_questions_of_a_type_are_one_request() -> None:
    """Eight questions are one request with eight chats, of which the first has the image; answers keep the order."""
    async with fleet(1) as (url, [worker], http):
        worker.says = lambda chat: "Yes" if "cars" in prompt_of(chat["messages"]) else "No"
        status, items = await vqa(http, url, yes_no(), seed=7)
        assert status == 200
        assert [item["answer"]["value"] for item in items] == [False, True, *[False] * 6]
        (body,) = worker.requests
        assert worker.paths == [BATCH_PATH]
        assert all(kind in prompt_of(chat) for kind, chat in zip(KINDS, body["messages"], strict=True))
        assert (body["structured_outputs"], body["seed"]) == ({"choice": ["Yes", "No"]}, 7)
        images = [messages[0]["content"][0] for messages in body["messages"]]
        assert images[0]["image_url"]["url"].startswith("data:image/png;base64,")
        assert [image["image_url"] for image in images[1:]] == [None] * 7
        assert len({image["uuid"] for image in images}) == 1
        assert await metric(http, url, 'sarlens_batch_questions_sum{result="answered"}') == 8
        assert await metric(http, url, 'sarlens_pictures_sent_total{form="data"}') == 1
        assert await metric(http, url, 'sarlens_pictures_sent_total{form="id"}') == 7


async def test_each_answer_type_is_a_request_of_its_own() -> None:
    """Three yes/no questions and two counts are two batches, and a single question has the route of single chats."""
    async with fleet(1) as (url, [worker], http):
        counts = ["How many ships are in the image?", "How many cars are in the image?"]
        await vqa(http, url, [*yes_no(3), *counts, "Describe the image."])
        assert sorted(chats(worker)) == [1, 2, 3]
        assert sorted(worker.paths) == [CHATS_PATH, BATCH_PATH, BATCH_PATH]


async def test_a_known_image_is_sent_by_id() -> None:
    """The second batch about an image has no data; if the worker has evicted it, the first chat of a third one has."""
    async with fleet(1) as (url, [worker], http):
        for evicted in (False, False, True):
            if evicted:
                worker.known.clear()
            assert (await vqa(http, url, yes_no(2)))[0] == 200
        sent = [[messages[0]["content"][0]["image_url"] for messages in body["messages"]] for body in worker.requests]
        data = sent[0][0]
        assert sent == [[data, None], [None, None], [None, None], [data, None]]
        assert await metric(http, url, 'sarlens_retries_total{reason="cache_miss"}') == 1


async def test_usage_adds_up_to_that_of_the_batch() -> None:
    """The tokens of an answer are its own, the prompt tokens are divided evenly, and the metrics have the totals."""
    async with fleet(1) as (url, [worker], http):
        worker.says = lambda chat: "No no no" if "cars" in prompt_of(chat["messages"]) else "Yes"
        _, items = await vqa(http, url, yes_no(3))
        assert [item["usage"] for item in items] == [
            {"prompt_tokens": 70, "completion_tokens": tokens, "total_tokens": 70 + tokens} for tokens in (1, 3, 1)
        ]
        assert await metric(http, url, 'sarlens_tokens_total{kind="prompt"') == 210
        assert await metric(http, url, 'sarlens_tokens_total{kind="completion"') == 5


async def test_a_rejected_question_fails_alone() -> None:
    """If a worker rejects a batch for one question, each is sent by itself, and the others have answers.

    The rejected one is sent twice, since the rejection of an image's id may be a cache miss.
    """
    async with fleet(1) as (url, [worker], http):
        worker.says = lambda chat: "" if "tanks" in prompt_of(chat["messages"]) else "No"
        _, items = await vqa(http, url, yes_no(4))
        assert [item.get("text", item.get("error", {}).get("code")) for item in items] == [
            *("No", "No", "bad_request", "No")
        ]
        assert chats(worker) == [4, 1, 1, 1, 1, 1]
        assert await metric(http, url, 'sarlens_batch_questions_sum{result="rejected"}') == 4
        assert await metric(http, url, 'sarlens_retries_total{reason="batch"}') == 4


async def test_the_batch_route_is_found_out_once() -> None:
    """A worker without the route gets one batch in all; its questions go one by one, and the image stays known."""
    async with fleet(1) as (url, [worker], http):
        worker.has_batch_route = False
        for number in (1, 2, 2, 2):
            _, items = await vqa(http, url, yes_no(number))
            assert [item["text"] for item in items] == ["There are 3 ships."] * number
        assert worker.paths == [CHATS_PATH, BATCH_PATH, *[CHATS_PATH] * 6]
        assert worker.shown == 1


@pytest.mark.parametrize(
    "reply",
    [
        RawReply([b"{}"], 200, JSON),
        RawReply([b'{"choices": [{"index": 0, "message": {"content": "3"}}]}'], 200, JSON),
        RawReply([b"not found"], 405, {"Content-Type": "text/plain"}),
        RawReply([b'{"error": {"message": "forbidden path"}}'], 403, JSON),
        RawReply([b"<html>"], 200, {"Content-Type": "text/html"}),
        RawReply([b"oops"], 500, {"Content-Type": "text/plain"}),
    ],
)
async def test_other_servers_get_no_second_batch(reply: RawReply) -> None:
    """A server that answers batches otherwise than vLLM gets one, and its questions have answers one by one."""
    async with fleet(2) as (url, workers, http):
        for worker in workers:
            worker.batch_reply = reply
        for _ in range(3):
            _, items = await vqa(http, url, yes_no(2))
            assert [item["text"] for item in items] == ["There are 3 ships."] * 2
        assert all(worker.paths.count(BATCH_PATH) <= 1 for worker in workers)
        assert sum(worker.paths.count(CHATS_PATH) for worker in workers) == 6


@pytest.mark.parametrize("budget", [10_000, 0])
async def test_a_batch_that_crashes_workers_visits_two(budget: int) -> None:
    """Of three workers that close the connection, one gets the batch and one its questions; without budget, none."""
    async with fleet(3, RoutingSettings(max_retry_budget=budget, retry_budget_ratio=0)) as (url, workers, http):
        for worker in workers:
            worker.resets = True
        status, error = await vqa(http, url, yes_no(4))
        assert (status, error["error"]["code"]) == (502, "worker_failed")
        visits = sorted((chats(worker) for worker in workers), key=len)
        assert visits == ([[], [4], [1, 1, 1, 1]] if budget else [[], [], [4]])
        assert await metric(http, url, 'sarlens_batch_questions_sum{result="failed"}') == 4


@pytest.mark.parametrize("workers_number", [1, 2])
async def test_a_question_that_breaks_a_worker_fails_alone(workers_number: int) -> None:
    """If a batch is a 500, its questions go to another worker, or to the same if there's no other: one is a 502."""
    async with fleet(workers_number) as (url, workers, http):
        for worker in workers:
            worker.breaks_on = "cars"
        _, items = await vqa(http, url, yes_no(3))
        assert [item.get("error", {}).get("code") for item in items] == [None, "worker_failed", None]
        assert sorted(size for worker in workers for size in chats(worker)) == [1, 1, 1, 3]
        assert sorted(len(worker.bodies) for worker in workers) == ([4] if workers_number == 1 else [1, 3])


@pytest.mark.parametrize("breaks_again", [False, True])
async def test_questions_of_a_lost_worker_wait_for_another_once(breaks_again: bool) -> None:
    """If the last worker is lost with a batch, each question goes to one of those that are ready next, and no more."""
    async with fleet(2, probe_interval_s=0.05) as (url, workers, http):
        workers[1].health_status = 500
        async with asyncio.timeout(60):
            while await metric(http, url, "sarlens_worker_ready") != 1:
                await asyncio.sleep(0.02)
            workers[0].hangs, workers[0].health_status = True, 500
            asking = asyncio.create_task(vqa(http, url, yes_no(3)))
            while await metric(http, url, "sarlens_worker_ready"):
                await asyncio.sleep(0.02)
            workers[0].hangs = False
            for worker in workers:
                worker.fails_with = (500, '{"error": {"message": "CUDA error"}}') if breaks_again else None
                worker.health_status = 200
            status, _ = await asking
        assert status == (502 if breaks_again else 200)
        assert sorted(size for worker in workers for size in chats(worker)) == [1, 1, 1, 3]


async def test_a_full_fleet_gets_no_single_questions() -> None:
    """If all workers decline the batch, that is the answer to each question, and nothing is sent again."""
    async with fleet(2) as (url, workers, http):
        for worker in workers:
            worker.fails_with = (429, "{}")
        status, error = await vqa(http, url, yes_no(4))
        assert (status, error["error"]["code"]) == (429, "workers_full")
        assert [chats(worker) for worker in workers] == [[4], [4]]


async def test_questions_of_a_stream_go_one_by_one() -> None:
    """In NDJSON no answer waits for another one, so there is no batch."""
    async with fleet(1) as (url, [worker], http):
        body = {"image": DATA_URL, "questions": yes_no(4)}
        async with http.post(f"{url}/v1/sar/vqa", json=body, headers={"Accept": "application/x-ndjson"}) as response:
            assert len((await response.read()).splitlines()) == 4
        assert worker.paths == [CHATS_PATH] * 4


@pytest.mark.parametrize(
    ("slots", "max_questions", "batches"),
    [(256, 3, [3, 3, 2]), (256, 1, [1] * 8), (4, 16, [4, 4]), (1, 16, [1] * 8)],
)
async def test_batches_respect_slots_and_the_maximum(slots: int, max_questions: int, batches: list[int]) -> None:
    """Each question of a batch has a slot of its own, and a batch has no more questions than the setting allows."""
    async with fake_worker(pause_s=0.01) as worker:
        settings = Settings(
            worker=WorkerSettings(urls=(worker.url,), max_batch_questions=max_questions),
            admission=AdmissionSettings(max_requests_per_worker=slots),
        )
        async with gateway(settings) as url, aiohttp.ClientSession() as http:
            assert (await vqa(http, url, yes_no(8)))[0] == 200
        assert sorted(chats(worker), reverse=True) == batches


async def test_a_deadline_ends_a_batch() -> None:
    """At the deadline each question is a 408, the worker's request is aborted, and nothing is sent again."""
    async with fleet(1) as (url, [worker], http):
        worker.pause_s = 20.0
        deadline = {"X-Request-Deadline": f"{time.time() + 1.0:.3f}"}
        status, error = await vqa(http, url, yes_no(3), deadline)
        assert (status, error["error"]["code"]) == (408, "deadline_passed")
        async with asyncio.timeout(30):
            while worker.running:
                await asyncio.sleep(0.01)
        assert (chats(worker), worker.aborted) == ([3], 1)


async def test_batches_of_an_image_stay_at_its_worker() -> None:
    """Of four workers, one gets all batches about an image, and its image once."""
    async with fleet(4) as (url, workers, http):
        for _ in range(5):
            assert (await vqa(http, url, yes_no(3)))[0] == 200
        assert sorted(len(worker.bodies) for worker in workers) == [0, 0, 0, 5]
        assert sum(worker.shown for worker in workers) == 1


async def test_a_hedged_gateway_sends_a_batch_once() -> None:
    """A slow batch isn't hedged: a second worker gets nothing."""
    async with fleet(2, RoutingSettings(hedge_after_s=0.02)) as (url, workers, http):
        for worker in workers:
            worker.pause_s = 0.1
        assert (await vqa(http, url, yes_no(3)))[0] == 200
        assert sorted(len(worker.bodies) for worker in workers) == [0, 1]


async def test_a_batch_is_one_attempt_of_a_route_receipt() -> None:
    """The route receipt of a batch has one attempt at one worker."""
    async with fleet(1) as (url, _, http):
        body = {"image": DATA_URL, "questions": yes_no(3)}
        async with http.post(f"{url}/v1/sar/vqa", json=body, headers={"Sarlens-Route": "1"}) as response:
            assert "attempts=1" in response.headers["Sarlens-Route"]
