"""Third-party clients of the OGC APIs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import geopandas
import pytest
from ogc_api_processes_client.api_client_wrapper import ApiClientWrapper
from ogc_api_processes_client.configuration import Configuration
from owslib.ogcapi.features import Features
from owslib.ogcapi.processes import Processes

from ogc.client import SURVEY, call

INPUTS: dict[str, Any] = SURVEY["inputs"]


async def run_survey(base: str) -> None:
    """Run a survey, so that the collection has answers."""
    status, document, _ = await call("POST", f"{base}/processes/survey/execution", SURVEY)
    assert status == 200, document


async def run(command: list[str], timeout_s: float = 60) -> None:
    """Run a command and require exit code 0."""
    process = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=timeout_s)
    assert process.returncode == 0, process.stdout[-8000:] + process.stderr[-3000:]


async def test_owslib_executes_a_survey(base: str) -> None:
    """OWSLib reads the processes, executes a survey synchronously and as a job, and reads its answers as features."""

    def client() -> None:
        processes = Processes(base)
        assert "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core" in processes.conformance()["conformsTo"]
        assert {process["id"] for process in processes.processes()} == {"vqa", "caption", "survey", "echo"}
        assert processes.process("survey")["inputs"]["overlap"]["schema"]["default"] == 0
        document = processes.execute("survey", inputs=INPUTS)
        assert len(document["answers"]["value"]["features"]) == 12
        job = processes.execute("survey", inputs=INPUTS, async_=True)
        assert job["status"] in {"accepted", "running"}
        assert processes.response_headers["Location"] == f"{base}/jobs/{job['jobID']}"
        features = Features(base)
        assert features.feature_collections()[0] == "answers"
        assert len(features.feature_collections()) == 3
        assert features.collection_items("answers", limit=3)["numberReturned"] == 3

    await asyncio.to_thread(client)


async def test_the_processes_client_follows_a_job(base: str) -> None:
    """ogc-api-processes-client lists the processes, polls a survey job to success, and dismisses an echo job."""

    def client() -> None:
        api = ApiClientWrapper(Configuration(host=base))
        assert "self" in {link.rel for link in api.get_landing_page().links}
        assert {process.id for process in api.get_processes().processes} == {"vqa", "caption", "survey", "echo"}
        assert api.get_process_description("survey").inputs is not None
        job = api.execute_simple("survey", {"inputs": INPUTS}, _headers={"Prefer": "respond-async"})
        deadline = time.monotonic() + 30
        while (status := api.get_status(job.job_id).status.value) not in {"successful", "failed"}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert status == "successful"
        slow = {"inputs": {"echoInput": "x", "pause": 30}}
        other = api.execute_simple("echo", slow, _headers={"Prefer": "respond-async"})
        assert {listed.job_id for listed in api.get_jobs().jobs} == {job.job_id, other.job_id}
        assert api.dismiss(other.job_id).status.value == "dismissed"

    await asyncio.to_thread(client)


async def test_geopandas_reads_answers(base: str) -> None:
    """geopandas reads the results of a job and the collection as 12 rows with types and bounds in degrees."""
    await run_survey(base)
    _, jobs, _ = await call("GET", f"{base}/jobs")
    results = f"{base}/jobs/{jobs['jobs'][0]['jobID']}/results"
    for source in (results, f"{base}/collections/answers/items?limit=100"):
        frame = await asyncio.to_thread(geopandas.read_file, source)
        assert len(frame) == 12
        assert frame["count"].dtype.kind == "i"
        assert frame["answered_at"].dtype.kind == "M"
        assert frame.total_bounds.round(1).tolist() == [3.0, 45.1, 3.1, 45.2]


_GDAL = """
import sys, geopandas
base, out = sys.argv[1:]
frame = geopandas.read_file(f"OAPIF:{base}", layer="answers")
assert len(frame) == 12, frame
box = frame.geometry.iloc[0].buffer(-0.001).bounds
assert len(geopandas.read_file(f"OAPIF:{base}", layer="answers", bbox=box)) == 1
frame.to_file(out, layer="answers", driver="GPKG")
assert len(geopandas.read_file(out)) == 12
"""


async def test_gdal_opens_the_collection(base: str, tmp_path: Path) -> None:
    """GDAL's driver for OGC API - Features reads all 12 answers, and one answer by bbox."""
    await run_survey(base)
    # GDAL blocks its process until the response arrives, so it can't run in the process of the gateway.
    await run([sys.executable, "-c", _GDAL, base, str(tmp_path / "answers.gpkg")])


@pytest.mark.slow
async def test_schemathesis_finds_nothing(base: str) -> None:
    """Requests generated from the OpenAPI document get no 5xx and no undocumented status."""
    await run_survey(base)
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{base}/openapi.json"]
    command += ["--checks", "not_a_server_error,status_code_conformance", "--max-examples", "15", "--seed", "1"]
    # One worker: hypothesis parses source code, and threads of CPython 3.11 share the depth counter of ast.parse.
    await run(command, timeout_s=240)
