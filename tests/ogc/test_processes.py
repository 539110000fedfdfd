"""OGC API - Processes 1.0: the assertions of OGC's test suite for core, and executions of each process."""

from __future__ import annotations

from typing import Any

import pytest

from ogc.client import ASYNC, EXCEPTIONS, HOW_MANY, REL, SCENE, SURVEY, call, submit, wait_until_done

PROCESSES = ["vqa", "caption", "survey", "echo"]


async def test_the_process_list_has_summaries(base: str) -> None:
    """GET /processes has id, version, job control and links of four processes; limit shortens the list."""
    status, document, _ = await call("GET", f"{base}/processes")
    assert status == 200
    assert [process["id"] for process in document["processes"]] == PROCESSES
    for process in document["processes"]:
        assert {"version", "jobControlOptions", "outputTransmission", "links"} <= set(process)
    assert any(link["rel"] == "self" for link in document["links"])
    assert len((await call("GET", f"{base}/processes?limit=2"))[1]["processes"]) == 2
    assert (await call("GET", f"{base}/processes?limit=0"))[0] == 400


@pytest.mark.parametrize("process_id", PROCESSES)
async def test_a_process_is_described(base: str, process_id: str) -> None:
    """GET /processes/ID has a schema for each input and output, and a link to its execution."""
    status, document, _ = await call("GET", f"{base}/processes/{process_id}")
    assert status == 200
    assert document["inputs"]
    assert all("schema" in value for value in (*document["inputs"].values(), *document["outputs"].values()))
    assert all(value["description"] for value in document["inputs"].values())
    assert {"sync-execute", "async-execute"} <= set(document["jobControlOptions"])
    (execute,) = (link["href"] for link in document["links"] if link["rel"] == f"{REL}execute")
    assert execute == f"{base}/processes/{process_id}/execution"


@pytest.mark.parametrize("path", ["/processes/none", "/processes/none/execution"])
async def test_an_unknown_process_is_a_404(base: str, path: str) -> None:
    """An unknown process is a problem document with OGC's exception type."""
    method = "POST" if "execution" in path else "GET"
    status, document, headers = await call(method, base + path, {"inputs": {}})
    assert (status, document["type"]) == (404, f"{EXCEPTIONS}no-such-process")
    assert headers["content-type"].startswith("application/problem+json")
    assert document["status"] == 404
    assert document["detail"] == "Process 'none' doesn't exist. The processes are vqa, caption, survey, echo."


async def test_echo_returns_its_input(base: str) -> None:
    """A synchronous echo is 200 with the raw text, or with a document if the request has response=document."""
    url = f"{base}/processes/echo/execution"
    status, result, _ = await call("POST", url, {"inputs": {"echoInput": "hallo"}})
    assert (status, result) == (200, "hallo")
    body = {"inputs": {"echoInput": {"value": "hallo"}}, "outputs": {"echoOutput": {}}, "response": "document"}
    status, result, _ = await call("POST", url, body)
    assert (status, result) == (200, {"echoOutput": {"value": "hallo"}})


async def test_echo_as_a_job(base: str) -> None:
    """An echo with respond-async is 201 with Location and statusInfo; its results are a 404 until it is successful."""
    body = {"inputs": {"echoInput": "hallo", "pause": 0.5}}
    status, document, headers = await call("POST", f"{base}/processes/echo/execution", body, ASYNC)
    assert status == 201
    assert headers["location"] == f"{base}/jobs/{document['jobID']}"
    assert headers["preference-applied"] == "respond-async"
    assert (document["type"], document["processID"]) == ("process", "echo")
    assert document["status"] in {"accepted", "running"}
    status, problem, problem_headers = await call("GET", f"{headers['location']}/results")
    assert (status, problem["type"]) == (404, f"{EXCEPTIONS}result-not-ready")
    assert problem_headers["retry-after"] == "2"
    done = await wait_until_done(base, document["jobID"])
    assert (done["status"], done["progress"]) == ("successful", 100)
    assert {"created", "started", "finished", "updated"} <= set(done)
    (results,) = (link["href"] for link in done["links"] if link["rel"] == f"{REL}results")
    assert (await call("GET", results))[:2] == (200, "hallo")


INVALID_EXECUTIONS: list[tuple[str, Any]] = [
    ("echo", {"inputs": {}}),
    ("echo", {"inputs": {"echoInput": 7}}),
    ("echo", {"inputs": {"echoInput": "x", "other": 1}}),
    ("echo", {"inputs": "x"}),
    ("echo", {"inputs": {"echoInput": {"mediaType": "text/plain"}}}),
    ("echo", {"inputs": {"echoInput": "x"}, "outputs": {"other": {}}}),
    ("echo", {"inputs": {"echoInput": "x"}, "response": "poem"}),
    ("echo", {"inputs": {"echoInput": "x"}, "outputs": {"echoOutput": {"transmissionMode": "reference"}}}),
    ("echo", {"inputs": {"echoInput": "x"}, "subscriber": {"successUri": "https://example.com/done"}}),
    ("vqa", {"inputs": {"image": SCENE}}),
    ("vqa", {"inputs": {"image": SCENE, "question": HOW_MANY, "bbox": {"bbox": [1, 2, 3]}}}),
    ("vqa", {"inputs": {"image": SCENE, "question": HOW_MANY, "bbox": {"bbox": [100, 2, 101, 3]}}}),
    ("vqa", {"inputs": {"image": "data:image/png;base64,AAAA", "question": HOW_MANY}}),
    ("vqa", {"inputs": {"image": SCENE, "question": HOW_MANY, "window": [0, 0, 9, 9], "bbox": {"bbox": [1, 2, 3, 4]}}}),
    ("survey", {"inputs": {"image": SCENE, "question": HOW_MANY, "tile": 1}}),
]


@pytest.mark.parametrize(("process", "body"), INVALID_EXECUTIONS)
async def test_an_invalid_execution_is_a_400(base: str, process: str, body: Any) -> None:
    """Missing, unknown and invalid inputs, and unknown outputs, are a 400 with a problem document."""
    status, document, headers = await call("POST", f"{base}/processes/{process}/execution", body)
    assert status == 400, document
    assert headers["content-type"].startswith("application/problem+json")


async def test_a_question_becomes_a_feature(base: str) -> None:
    """vqa returns one feature with a count and a footprint, raw or in a document."""
    url = f"{base}/processes/vqa/execution"
    inputs = {"image": {"href": SCENE, "type": "image/tiff"}, "question": [HOW_MANY], "window": [0, 0, 256, 256]}
    status, raw, headers = await call("POST", url, {"inputs": inputs | {"filter": "none"}})
    assert status == 200, raw
    assert headers["content-type"].startswith("application/geo+json")
    (feature,) = raw["features"]
    assert isinstance(feature["properties"]["count"], int)
    assert feature["geometry"]["type"] == "Polygon"
    _, document, headers = await call("POST", url, {"inputs": inputs, "response": "document"})
    assert headers["content-type"].startswith("application/json")
    assert document["answers"]["value"]["type"] == "FeatureCollection"
    assert document["answers"]["mediaType"] == "application/geo+json"


async def test_a_bbox_selects_a_window(base: str) -> None:
    """A bbox in UTM selects the window of 256 x 256 pixels that covers it."""
    url = f"{base}/processes/caption/execution"
    bbox = {"bbox": [500_000, 4_995_000, 502_560, 4_997_560], "crs": "http://www.opengis.net/def/crs/EPSG/0/32631"}
    status, document, _ = await call("POST", url, {"inputs": {"image": SCENE, "bbox": bbox}})
    assert status == 200, document
    properties = document["features"][0]["properties"]
    window = tuple(properties[name] for name in ("col", "row", "width", "height"))
    assert window == (0, 244, 256, 256)
    assert properties["answer"] == "Ships on the sea."


async def test_a_survey_has_a_feature_per_tile(base: str) -> None:
    """A survey has 12 features and their sum, in a document and as a bare FeatureCollection."""
    job_id = await submit(base, "survey", SURVEY | {"response": "document"})
    assert (await wait_until_done(base, job_id))["status"] == "successful"
    _, document, _ = await call("GET", f"{base}/jobs/{job_id}/results")
    assert len(document["answers"]["value"]["features"]) == 12
    _, collection, _ = await call("GET", f"{base}/jobs/{job_id}/results/answers")
    assert collection == document["answers"]["value"]
    values = [feature["properties"]["count"] for feature in collection["features"]]
    (total,) = collection["survey"]["totals"]
    assert (total["answers"], total["sum"], total["highest"]) == (12, sum(values), max(values))
