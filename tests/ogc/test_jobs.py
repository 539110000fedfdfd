"""OGC API - Processes 1.0: the assertions of OGC's test suite for job list and dismiss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ogc.client import ASYNC, EXCEPTIONS, SURVEY, call, submit, submit_echo, wait_until_done
from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import KeysSettings, Settings, SurveySettings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import FakeWorker


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/results")])
async def test_an_unknown_job_is_a_404(base: str, method: str, path: str) -> None:
    """An unknown job is a problem document with OGC's exception type."""
    status, document, _ = await call(method, f"{base}/jobs/none{path}")
    assert (status, document["type"]) == (404, f"{EXCEPTIONS}no-such-job")
    assert document["detail"] == "Job 'none' doesn't exist."


async def test_jobs_are_listed_and_filtered(base: str) -> None:
    """GET /jobs lists all jobs, and each parameter of the standard filters them."""
    fast = [await submit_echo(base, echoInput=str(number)) for number in range(3)]
    slow = await submit_echo(base, echoInput="slow", pause=1.2)
    for job_id in (*fast, slow):
        await wait_until_done(base, job_id)

    async def ids(query: str) -> list[str]:
        status, document, _ = await call("GET", f"{base}/jobs?{query}")
        assert status == 200, document
        return [job["jobID"] for job in document["jobs"]]

    newest_first = [slow, *reversed(fast)]
    assert await ids("") == newest_first
    assert await ids("limit=2") == newest_first[:2]
    assert await ids("processID=echo&type=process") == newest_first
    assert await ids("processID=survey") == await ids("type=wps") == await ids("status=failed") == []
    assert await ids("status=successful,failed") == newest_first
    assert await ids("minDuration=1") == [slow]
    assert await ids("maxDuration=1") == newest_first[1:]
    assert await ids("datetime=2020-01-01T00:00:00Z/..") == newest_first
    assert await ids("datetime=../2020-01-01T00:00:00Z") == []
    for query in ("limit=0", "status=lost", "datetime=yesterday", "datetime=../..", "color=red"):
        assert (await call("GET", f"{base}/jobs?{query}"))[0] == 400, query


async def test_a_dismissed_job_has_no_results(base: str) -> None:
    """DELETE is 200 with the status dismissed; the results are a 404 without Retry-After."""
    job_id = await submit_echo(base, echoInput="x", pause=30)
    status, document, _ = await call("DELETE", f"{base}/jobs/{job_id}")
    assert (status, document["status"], document["jobID"]) == (200, "dismissed", job_id)
    assert (await call("GET", f"{base}/jobs/{job_id}"))[1]["status"] == "dismissed"
    status, _, headers = await call("GET", f"{base}/jobs/{job_id}/results")
    assert (status, "retry-after" in headers) == (404, False)


async def test_results_of_a_failed_job_are_its_error(base: str, worker: FakeWorker) -> None:
    """The results of a failed survey are a 400 with the worker's message."""
    worker.says = lambda _: ""
    job_id = await submit(base, "survey", {"inputs": SURVEY["inputs"] | {"tile": 128}})
    assert (await wait_until_done(base, job_id))["status"] == "failed"
    status, document, _ = await call("GET", f"{base}/jobs/{job_id}/results")
    assert (status, document["code"]) == (400, "bad_request")
    assert document["detail"].startswith("The job failed: 16 tiles failed and none was answered.")
    assert "This cannot be answered." in document["detail"]


async def test_an_echo_job_has_no_answers(base: str) -> None:
    """The answers of an echo are a 400."""
    job_id = await submit_echo(base, echoInput="x")
    await wait_until_done(base, job_id)
    status, document, _ = await call("GET", f"{base}/jobs/{job_id}/results/answers")
    assert (status, document["detail"]) == (400, "An echo job has no answers.")


async def test_an_echo_costs_a_request(tmp_path: Path, worker: FakeWorker) -> None:
    """A key for two requests a minute submits two echoes, of which a limit of one unfinished job rejects the second."""
    secret, digest = generate_api_key()
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([{"name": "gis", "sha256": digest, "requests_per_minute": 2}]))
    survey = SurveySettings(database=Settings().survey.database, max_unfinished_jobs_per_key=1)
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), keys=KeysSettings(file=file), survey=survey)
    headers = ASYNC | {"Authorization": f"Bearer {secret}"}
    async with gateway(settings) as base:
        responses = [
            await call("POST", f"{base}/processes/echo/execution", {"inputs": {"echoInput": "x", "pause": 60}}, headers)
            for _ in range(3)
        ]
    assert [status for status, _, _ in responses] == [201, 429, 429]
    details = [document["detail"] for _, document, _ in responses[1:]]
    assert details[0].startswith("Unfinished jobs of the caller: 1; the limit is 1.")
    assert details[1].startswith("Rate limit reached: this API key allows 2 requests per minute.")
