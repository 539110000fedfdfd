"""The assertions of OGC's executable test suite for Processes 1.0: core, job list and dismiss."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from ogc.conftest import SCENE
from stack.fake_worker import FakeWorker

HOW_MANY = "How many ships are in the image?"
ASYNC = {"Prefer": "respond-async"}
EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
SURVEY = {"inputs": {"image": SCENE, "question": HOW_MANY, "tile": 256, "filter": "none"}}


async def call(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any, Any]:
    """Status, document and headers of an answer."""
    async with aiohttp.ClientSession() as session, session.request(method, url, json=body, headers=headers) as got:
        text = await got.text()
        return got.status, json.loads(text) if "json" in got.content_type else text, got.headers


async def over(base: str, name: str) -> dict[str, Any]:
    """A job when it is over."""
    async with asyncio.timeout(60):
        while True:
            _, told, _ = await call("GET", f"{base}/jobs/{name}")
            if told["status"] not in {"accepted", "running"}:
                return dict(told)
            await asyncio.sleep(0.05)


async def echoed(base: str, **inputs: Any) -> str:
    """The id of an echo that runs as a job."""
    status, told, _ = await call("POST", f"{base}/processes/echo/execution", {"inputs": inputs}, ASYNC)
    assert status == 201, told
    return str(told["jobID"])


async def test_the_landing_page_leads_everywhere(base: str) -> None:
    """GET / is 200 and links to API, conformance, processes, jobs and features; each link answers."""
    status, told, _ = await call("GET", base + "/")
    assert status == 200
    rels = {each["rel"]: each["href"] for each in told["links"]}
    assert {"self", "service-desc", "service-doc", "conformance", "data", f"{REL}conformance"} <= set(rels)
    assert {f"{REL}processes", f"{REL}job-list"} <= set(rels)
    for href in rels.values():
        assert (await call("GET", href))[0] == 200


async def test_the_conformance_is_declared(base: str) -> None:
    """GET /conformance names the classes of Processes 1.0 that hold, and not those of callbacks or OpenAPI 3.0."""
    status, told, _ = await call("GET", f"{base}/conformance")
    assert status == 200
    names = {each.rpartition("/")[2] for each in told["conformsTo"] if "ogcapi-processes-1/1.0/conf/" in each}
    assert names == {"core", "json", "html", "ogc-process-description", "job-list", "dismiss"}


async def test_the_process_list_holds_summaries(base: str) -> None:
    """GET /processes lists id, version, job control and links of each; limit cuts the list."""
    status, told, _ = await call("GET", f"{base}/processes")
    assert status == 200
    assert {each["id"] for each in told["processes"]} == {"vqa", "caption", "survey", "echo"}
    for each in told["processes"]:
        assert {"version", "jobControlOptions", "outputTransmission", "links"} <= set(each)
    assert any(each["rel"] == "self" for each in told["links"])
    assert len((await call("GET", f"{base}/processes?limit=2"))[1]["processes"]) == 2
    assert (await call("GET", f"{base}/processes?limit=0"))[0] == 400


@pytest.mark.parametrize("name", ["vqa", "caption", "survey", "echo"])
async def test_a_process_is_described(base: str, name: str) -> None:
    """GET /processes/ID has a schema for each input and output, and a link that executes it."""
    status, told, _ = await call("GET", f"{base}/processes/{name}")
    assert status == 200
    assert told["inputs"]
    assert all("schema" in each for each in (*told["inputs"].values(), *told["outputs"].values()))
    assert {"sync-execute", "async-execute"} <= set(told["jobControlOptions"])
    (execute,) = (each["href"] for each in told["links"] if each["rel"] == f"{REL}execute")
    assert execute.endswith(f"/processes/{name}/execution")


@pytest.mark.parametrize("path", ["/processes/none", "/processes/none/execution"])
async def test_an_unknown_process_is_a_404(base: str, path: str) -> None:
    """A process that is not there is a problem of OGC's own type."""
    status, told, headers = await call("POST" if "execution" in path else "GET", base + path, {"inputs": {}})
    assert (status, told["type"]) == (404, f"{EXCEPTIONS}no-such-process")
    assert headers["content-type"].startswith("application/problem+json")
    assert told["status"] == 404
    assert told["detail"]


async def test_echo_comes_back_at_once(base: str) -> None:
    """Without a preference execution is synchronous: 200 and the raw value, or a document where that is asked for."""
    url = f"{base}/processes/echo/execution"
    status, told, _ = await call("POST", url, {"inputs": {"echoInput": "hallo"}})
    assert (status, told) == (200, "hallo")
    wrapped = {"inputs": {"echoInput": {"value": "hallo"}}, "outputs": {"echoOutput": {}}, "response": "document"}
    status, told, _ = await call("POST", url, wrapped)
    assert (status, told) == (200, {"echoOutput": {"value": "hallo"}})


async def test_echo_comes_back_as_a_job(base: str) -> None:
    """With respond-async execution is 201, a Location, the preference applied and a statusInfo that is valid."""
    status, told, headers = await call(
        "POST", f"{base}/processes/echo/execution", {"inputs": {"echoInput": "hallo", "pause": 0.5}}, ASYNC
    )
    assert status == 201
    assert headers["location"] == f"{base}/jobs/{told['jobID']}"
    assert headers["preference-applied"] == "respond-async"
    assert (told["type"], told["processID"]) == ("process", "echo")
    assert told["status"] in {"accepted", "running"}
    status, early, _ = await call("GET", f"{headers['location']}/results")
    assert (status, early["type"]) == (404, f"{EXCEPTIONS}result-not-ready")
    done = await over(base, told["jobID"])
    assert (done["status"], done["progress"]) == ("successful", 100)
    assert {"created", "started", "finished", "updated"} <= set(done)
    (results,) = (each["href"] for each in done["links"] if each["rel"] == f"{REL}results")
    assert (await call("GET", results))[:2] == (200, "hallo")


BAD_EXECUTIONS: list[tuple[str, Any]] = [
    ("echo", {"inputs": {}}),
    ("echo", {"inputs": {"echoInput": 7}}),
    ("echo", {"inputs": {"echoInput": "x", "other": 1}}),
    ("echo", {"inputs": "x"}),
    ("echo", {"inputs": {"echoInput": "x"}, "outputs": {"other": {}}}),
    ("echo", {"inputs": {"echoInput": "x"}, "response": "poem"}),
    ("echo", {"inputs": {"echoInput": "x"}, "outputs": {"echoOutput": {"transmissionMode": "reference"}}}),
    ("vqa", {"inputs": {"image": SCENE}}),
    ("vqa", {"inputs": {"image": SCENE, "question": HOW_MANY, "bbox": {"bbox": [1, 2, 3]}}}),
    ("vqa", {"inputs": {"image": SCENE, "question": HOW_MANY, "bbox": {"bbox": [100, 2, 101, 3]}}}),
    ("vqa", {"inputs": {"image": "data:image/png;base64,AAAA", "question": HOW_MANY}}),
    ("vqa", {"inputs": {"image": SCENE, "question": HOW_MANY, "window": [0, 0, 9, 9], "bbox": {"bbox": [1, 2, 3, 4]}}}),
    ("survey", {"inputs": {"image": SCENE, "question": HOW_MANY, "tile": 1}}),
]


@pytest.mark.parametrize(("process", "body"), BAD_EXECUTIONS)
async def test_a_wrong_execution_is_a_400(base: str, process: str, body: Any) -> None:
    """Inputs that are missing, unknown or of the wrong type, and outputs that there are not, are 400, never 422."""
    status, told, headers = await call("POST", f"{base}/processes/{process}/execution", body)
    assert status == 400, told
    assert headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/results")])
async def test_an_unknown_job_is_a_404(base: str, method: str, path: str) -> None:
    """A job that is not there is a problem of OGC's own type."""
    status, told, _ = await call(method, f"{base}/jobs/none{path}")
    assert (status, told["type"]) == (404, f"{EXCEPTIONS}no-such-job")


async def test_jobs_are_listed_and_filtered(base: str) -> None:
    """GET /jobs has a statusInfo for each job; every parameter of the standard chooses among them."""
    names = [await echoed(base, echoInput=str(number)) for number in range(3)]
    slow = await echoed(base, echoInput="slow", pause=1.2)
    for name in (*names, slow):
        await over(base, name)

    async def found(query: str) -> set[str]:
        status, told, _ = await call("GET", f"{base}/jobs?{query}")
        assert status == 200, told
        return {each["jobID"] for each in told["jobs"]}

    everything = {*names, slow}
    assert await found("") == everything
    assert len(await found("limit=2")) == 2
    assert await found("processID=echo&type=process") == everything
    assert await found("processID=survey") == await found("type=wps") == await found("status=failed") == set()
    assert await found("status=successful,failed") == everything
    assert await found("minDuration=1") == {slow}
    assert await found("maxDuration=1") == set(names)
    assert await found("datetime=2020-01-01T00:00:00Z/..") == everything
    assert await found("datetime=../2020-01-01T00:00:00Z") == set()
    for query in ("limit=0", "status=lost", "datetime=yesterday", "datetime=../..", "colour=red"):
        assert (await call("GET", f"{base}/jobs?{query}"))[0] == 400, query


async def test_dismissing_a_job(base: str) -> None:
    """DELETE answers 200 and a statusInfo that says dismissed; results of such a job are a 404."""
    name = await echoed(base, echoInput="x", pause=30)
    status, told, _ = await call("DELETE", f"{base}/jobs/{name}")
    assert (status, told["status"], told["jobID"]) == (200, "dismissed", name)
    assert (await call("GET", f"{base}/jobs/{name}"))[1]["status"] == "dismissed"
    assert (await call("GET", f"{base}/jobs/{name}/results"))[0] == 404


async def test_a_failed_job_answers_with_its_exception(base: str, worker: FakeWorker) -> None:
    """The results of a job that failed are an error with what went wrong."""
    worker.says = lambda _: ""
    many = {"inputs": SURVEY["inputs"] | {"tile": 128}}
    _, told, _ = await call("POST", f"{base}/processes/survey/execution", many, ASYNC)
    assert (await over(base, told["jobID"]))["status"] == "failed"
    status, problem, _ = await call("GET", f"{base}/jobs/{told['jobID']}/results")
    assert status == 500
    assert "This cannot be answered." in problem["detail"]


async def test_a_question_becomes_a_feature(base: str) -> None:
    """vqa answers with a FeatureCollection, raw or in a document, one feature a question, at the window's place."""
    url = f"{base}/processes/vqa/execution"
    inputs = {"image": {"href": SCENE, "type": "image/tiff"}, "question": [HOW_MANY], "window": [0, 0, 256, 256]}
    status, raw, headers = await call("POST", url, {"inputs": inputs | {"filter": "none"}})
    assert status == 200, raw
    assert headers["content-type"].startswith("application/geo+json")
    (feature,) = raw["features"]
    assert isinstance(feature["properties"]["value"], int)
    assert feature["geometry"]["type"] == "Polygon"
    _, wrapped, _ = await call("POST", url, {"inputs": inputs, "response": "document"})
    assert wrapped["answers"]["value"]["type"] == "FeatureCollection"
    assert wrapped["answers"]["mediaType"] == "application/geo+json"


async def test_a_place_on_the_map_is_asked_about(base: str) -> None:
    """A bbox with a CRS and a polygon become the window that covers them."""
    url = f"{base}/processes/caption/execution"
    box = {"bbox": [500_000, 4_995_000, 502_560, 4_997_560], "crs": "http://www.opengis.net/def/crs/EPSG/0/32631"}
    status, found, _ = await call("POST", url, {"inputs": {"image": SCENE, "bbox": box}})
    assert status == 200, found
    at = found["features"][0]["properties"]
    assert (at["col"], at["row"], at["width"], at["height"]) == (0, 244, 256, 256)
    assert at["answer"] == "Ships on the sea."


async def test_a_survey_is_a_process(base: str) -> None:
    """survey gives one feature a tile, and its answers alone can be had as a bare FeatureCollection."""
    body = SURVEY | {"response": "document"}
    _, told, _ = await call("POST", f"{base}/processes/survey/execution", body, ASYNC)
    assert (await over(base, told["jobID"]))["status"] == "successful"
    _, wrapped, _ = await call("GET", f"{base}/jobs/{told['jobID']}/results")
    assert len(wrapped["answers"]["value"]["features"]) == 12
    _, bare, _ = await call("GET", f"{base}/jobs/{told['jobID']}/results/answers")
    assert bare["type"] == "FeatureCollection"


async def test_people_get_pages(base: str) -> None:
    """Every resource is a page where HTML is preferred, and what callers wrote is escaped in it."""
    name = await echoed(base, echoInput="<script>alert(1)</script>")
    await over(base, name)
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    paths = ("/", "/conformance", "/processes", "/processes/vqa", "/jobs", f"/jobs/{name}", "/collections")
    for path in (*paths, "/collections/answers", "/collections/answers/items"):
        status, page, headers = await call("GET", base + path, headers=browser)
        assert status == 200
        assert headers["content-type"].startswith("text/html")
        assert "<script>" not in page
        assert (await call("GET", f"{base}{path}?f=html"))[2]["content-type"].startswith("text/html")
        assert isinstance((await call("GET", f"{base}{path}?f=json", headers=browser))[1], dict)
    assert (await call("GET", f"{base}/processes?f=xml"))[0] == 400


async def test_answers_are_a_layer(base: str) -> None:
    """The collection of answers is paged, and filtered by place, time and job; unknown parameters are 400."""
    await call("POST", f"{base}/processes/survey/execution", SURVEY)
    items = f"{base}/collections/answers/items"
    status, first, _ = await call("GET", f"{items}?limit=5")
    assert status == 200
    assert (first["numberMatched"], first["numberReturned"]) == (12, 5)
    seen = [each["id"] for each in first["features"]]
    page = first
    while more := [each["href"] for each in page["links"] if each["rel"] == "next"]:
        _, page, _ = await call("GET", more[0])
        seen += [each["id"] for each in page["features"]]
    assert len(seen) == len(set(seen)) == 12
    feature = first["features"][0]
    _, alone, _ = await call("GET", f"{items}/{feature['id']}")
    assert {name: alone[name] for name in feature} == feature
    ring = feature["geometry"]["coordinates"][0]
    lon, lat = ring[0][0] + 0.001, ring[0][1] - 0.001
    _, near, _ = await call("GET", f"{items}?bbox={lon},{lat},{lon + 1e-4},{lat + 1e-4}")
    assert [each["id"] for each in near["features"]] == [feature["id"]]
    job = feature["properties"]["survey"]
    assert (await call("GET", f"{items}?job={job}"))[1]["numberMatched"] == 12
    assert (await call("GET", f"{items}?datetime=../2020-01-01T00:00:00Z"))[1]["numberMatched"] == 0
    for query in ("bbox=1,2,3", "bbox=a,b,c,d", "limit=0", "colour=red", "datetime=x"):
        assert (await call("GET", f"{items}?{query}"))[0] == 400, query
    assert (await call("GET", f"{base}/collections/none/items"))[0] == 404
