"""Clients that others wrote."""

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

from ogc.test_assertions import SURVEY, call

INPUTS: dict[str, Any] = SURVEY["inputs"]


async def surveyed(base: str) -> None:
    """Have a survey done, so that there are answers."""
    status, told, _ = await call("POST", f"{base}/processes/survey/execution", SURVEY)
    assert status == 200, told


async def run(command: list[str], patience_s: float = 60) -> None:
    """Run a command to its end, which has to be a good one."""
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=patience_s)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-3000:]


async def test_owslib_executes_a_survey(base: str) -> None:
    """OWSLib reads the processes, executes one at once and one as a job, and reads the answers as features."""

    def client() -> None:
        processes = Processes(base)
        assert "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core" in processes.conformance()["conformsTo"]
        assert {each["id"] for each in processes.processes()} == {"vqa", "caption", "survey", "echo"}
        assert processes.process("survey")["inputs"]["tile"]["schema"]["default"] == 448
        found = processes.execute("survey", inputs=INPUTS)
        assert len(found["answers"]["value"]["features"]) == 12
        told = processes.execute("survey", inputs=INPUTS, async_=True)
        assert told["status"] in {"accepted", "running"}
        place = processes.response_headers["Location"]
        assert place.startswith(f"{base}/jobs/")
        features = Features(base)
        assert features.feature_collections() == ["answers"]
        assert features.collection_items("answers", limit=3)["numberReturned"] == 3

    await asyncio.to_thread(client)


async def test_the_processes_client_follows_a_job(base: str) -> None:
    """ogc-api-processes-client lists processes, executes one as a job, polls it and dismisses another."""

    def client() -> None:
        api = ApiClientWrapper(Configuration(host=base))
        assert "self" in {each.rel for each in api.get_landing_page().links}
        assert {each.id for each in api.get_processes().processes} == {"vqa", "caption", "survey", "echo"}
        assert api.get_process_description("survey").inputs is not None
        job = api.execute_simple("survey", {"inputs": INPUTS}, _headers={"Prefer": "respond-async"})
        until = time.monotonic() + 30
        while (told := api.get_status(job.job_id)).status.value not in {"successful", "failed"}:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert told.status.value == "successful"
        slow = {"inputs": {"echoInput": "x", "pause": 30}}
        other = api.execute_simple("echo", slow, _headers={"Prefer": "respond-async"})
        assert {each.job_id for each in api.get_jobs().jobs} == {job.job_id, other.job_id}
        assert api.dismiss(other.job_id).status.value == "dismissed"

    await asyncio.to_thread(client)


async def test_geopandas_reads_answers(base: str) -> None:
    """geopandas, and GDAL in it, read the results of a job and the collection as typed layers in their place."""
    await surveyed(base)
    _, jobs, _ = await call("GET", f"{base}/jobs")
    results = f"{base}/jobs/{jobs['jobs'][0]['jobID']}/results"
    for source in (results, f"{base}/collections/answers/items?limit=100"):
        frame = await asyncio.to_thread(geopandas.read_file, source)
        assert len(frame) == 12
        assert frame["value"].dtype.kind == "i"
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
    """GDAL's own driver for OGC API Features pages through the collection, filtered by place, and writes a
    GeoPackage that reads back."""
    await surveyed(base)
    # A process of its own: GDAL waits for the answer without letting the gateway of this one run.
    await run([sys.executable, "-c", _GDAL, base, str(tmp_path / "answers.gpkg")])


@pytest.mark.slow
async def test_schemathesis_finds_nothing(base: str) -> None:
    """Requests made from the OpenAPI document get no 5xx and no status that it does not name."""
    await surveyed(base)
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{base}/openapi.json"]
    command += ["--checks", "not_a_server_error,status_code_conformance", "--max-examples", "15", "--seed", "1"]
    await run([*command, "--workers", "2"], patience_s=240)
