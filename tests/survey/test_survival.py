"""Surveys of a gateway that is a process of its own: kill -9, and the command line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sarlens.admission.keys import new_key
from sarlens.seaweed import free_port
from stack.fake_worker import FakeWorker
from stack.gateway import until_it_answers
from stack.s3 import S3Server
from stack.scenes import bright_spots, geotiff, sea
from stack.stac import CONTEXT, NAME, item
from survey.test_surveys import ASYNC, HOW_MANY, SURVEYS, call, over

SHIPS = np.array([(100, 100), (900, 500), (1300, 1300)])
URL = "s3://scenes/survival.tif"


@pytest.fixture
def environment(s3: S3Server, worker: FakeWorker, tmp_path: Path) -> dict[str, str]:
    """The settings of a gateway with its jobs in a file."""
    s3.client().put_object(Bucket="scenes", Key="survival.tif", Body=geotiff(sea(1472, 1472, SHIPS)))
    worker.says = lambda body: str(bright_spots(body))
    return s3.environment | {
        "SARLENS_WORKER__URLS": json.dumps([worker.url]),
        "SARLENS_WORKER__PROBE_S": "0.2",
        "SARLENS_SURVEY__AT_ONCE": "8",
        "SARLENS_SURVEY__DATABASE": f"sqlite:///{tmp_path / 'survival.db'}",
        "SARLENS_GRPC__PORT": "none",
    }


@asynccontextmanager
async def running(environment: Mapping[str, str], port: int) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A gateway of its own on a port, ready."""
    command = [sys.executable, "-m", "sarlens", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        await until_it_answers(f"http://127.0.0.1:{port}/readyz")
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


def asked(tile: int = 64) -> dict[str, Any]:
    """A survey of the scene."""
    sar = {"filter": "none", "stretch": [2, 100]}
    return {"image": {"url": URL, "sar": sar}, "questions": [HOW_MANY], "tile": tile}


async def answered(base: str, name: str, least: int) -> None:
    """Wait until so many tiles are answered."""
    async with asyncio.timeout(60):
        while (await call("GET", f"{base}{SURVEYS}/{name}"))[1]["answered"] < least:
            await asyncio.sleep(0.02)


async def test_a_killed_survey_goes_on(environment: dict[str, str], worker: FakeWorker) -> None:
    """After kill -9 and a restart a survey is finished: just the tiles that were not on disk are asked about, each
    tile has one feature, and what a caller had read before stays as it was."""
    worker.pause_s = 0.01
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with running(environment, port) as process:
        _, told, _ = await call("POST", base + SURVEYS, asked(), ASYNC)
        await answered(base, told["id"], 100)
        _, seen, _ = await call("GET", f"{base}{SURVEYS}/{told['id']}/features")
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
    await asyncio.sleep(0.3)  # what it sent at last arrives
    before, on_disk = len(worker.bodies), ended(environment)
    async with running(environment, port):
        done = await over(base, told["id"])
        _, found, _ = await call("GET", f"{base}{SURVEYS}/{told['id']}/features")
    assert (done["status"], done["answered"], done["tiles"]) == ("successful", 529, 529)
    assert sorted(each["properties"]["tile"] for each in found["features"]) == list(range(529))
    assert sum(each["properties"]["value"] for each in found["features"]) == 3
    assert 100 <= len(seen["features"]) <= on_disk <= before < 529
    assert found["features"][: len(seen["features"])] == seen["features"]
    assert len(worker.bodies) - before == 529 - on_disk
    # Those that were being asked about when the process died were on no disk yet: no more than it asks at once.
    assert before - on_disk <= 8


def ended(environment: Mapping[str, str]) -> int:
    """The tiles that are on disk."""
    file = environment["SARLENS_SURVEY__DATABASE"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("select count(*) from sarlens_tiles").fetchone()[0])


async def test_a_survey_outlives_its_item(environment: dict[str, str], worker: FakeWorker, s3: S3Server) -> None:
    """A survey of a STAC Item goes on after kill -9 also where the Item is gone by then: the asset that it led to, and
    what it said of the scene, are on disk with the survey."""
    worker.pause_s = 0.2
    document = json.dumps(item({"vv": "survival.tif", "vh": "gone.tif"}))
    s3.client().put_object(Bucket="scenes", Key="survival.json", Body=document.encode())
    body = asked(256) | {"context": True}
    body["image"] = {"url": "s3://scenes/survival.json", "sar": body["image"]["sar"] | {"bands": ["VV"]}}
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with running(environment, port) as process:
        _, told, _ = await call("POST", base + SURVEYS, body, ASYNC)
        await answered(base, told["id"], 6)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
    s3.client().delete_object(Bucket="scenes", Key="survival.json")
    async with running(environment, port):
        done = await over(base, told["id"])
        _, found, _ = await call("GET", f"{base}{SURVEYS}/{told['id']}/features")
    assert (done["status"], done["answered"], done["tiles"]) == ("successful", 36, 36)
    assert {each["properties"]["item"] for each in found["features"]} == {NAME}
    assert {each["properties"]["polarizations"] for each in found["features"]} == {"VV"}
    assert sum(each["properties"]["value"] for each in found["features"]) == 3
    assert all(CONTEXT in body["messages"][0]["content"][1]["text"] for body in worker.requests)


async def test_a_drained_survey_is_passed_on(environment: dict[str, str], worker: FakeWorker) -> None:
    """After SIGTERM the next process goes on at once, and no tile at all is asked about twice."""
    worker.pause_s = 0.01
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with running(environment, port) as process:
        _, told, _ = await call("POST", base + SURVEYS, asked(), ASYNC)
        await answered(base, told["id"], 50)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
    async with running(environment, port):
        done = await over(base, told["id"])
    assert (done["status"], done["answered"]) == ("successful", 529)
    assert len(worker.bodies) == 529


async def sarlens(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with some more in its environment."""
    told, run = os.environ | environment, [sys.executable, "-m", "sarlens", *command]
    return await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True, timeout=60, env=told)


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "parquet"])
async def test_the_command_line_surveys(environment: dict[str, str], tmp_path: Path, suffix: str) -> None:
    """`sarlens survey` shows progress, sums up, and writes the file that its name says."""
    geopandas = pytest.importorskip("geopandas")
    port, out = free_port(), tmp_path / f"ships.{suffix}"
    command = ["survey", URL, "--question", HOW_MANY, "--tile", "448"]
    command += ["--filter", "none", "--url", f"http://127.0.0.1:{port}", "--out", str(out)]
    async with running(environment, port):
        ended = await sarlens(*command)
    assert ended.returncode == 0, ended.stderr
    assert "16 tiles: 16 answered, 0 without data, 0 failed" in ended.stdout
    frame = geopandas.read_parquet(out) if suffix == "parquet" else geopandas.read_file(out)
    assert len(frame) == 16
    assert set(frame["question"]) == {HOW_MANY}


async def test_the_command_line_shows_its_key(environment: dict[str, str], tmp_path: Path) -> None:
    """Before a gateway with API keys `sarlens survey` and `sarlens ask` are refused without one, and work with it."""
    secret, digest = new_key()
    (tmp_path / "keys.json").write_text(json.dumps([{"name": "gis", "sha256": digest}]))
    port = free_port()
    url = ["--url", f"http://127.0.0.1:{port}"]
    survey = ["survey", URL, "--question", HOW_MANY, "--filter", "none", "--out", str(tmp_path / "ships.geojson"), *url]
    async with running(environment | {"SARLENS_KEYS__FILE": str(tmp_path / "keys.json")}, port):
        for command in (survey, ["ask", URL, HOW_MANY, *url]):
            for shown, status in (({}, 1), ({"SARLENS_API_KEY": secret}, 0)):
                ended = await sarlens(*command, **shown)
                assert ended.returncode == status, ended.stderr
                assert ("API key" in ended.stderr) == (status == 1)


async def test_the_command_line_says_what_is_wrong(environment: dict[str, str], tmp_path: Path) -> None:
    """A file of unknown kind, a polygon that is none and a gateway's refusal are one line each."""
    (tmp_path / "bad.json").write_text("[]")
    base = ["survey", URL, "--question", HOW_MANY]
    for more, said in (
        (["--out", "ships.doc"], "ships.geojson"),
        (["--out", "x.geojson", "--polygon", str(tmp_path / "bad.json")], "holds no GeoJSON polygon"),
        (["--out", "x.geojson", "--url", f"http://127.0.0.1:{free_port()}"], "no gateway answers"),
    ):
        ended = await sarlens(*base, *more)
        assert ended.returncode == 1
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr
