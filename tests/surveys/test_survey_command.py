"""`sarlens survey` and `sarlens ask` against a gateway process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sarlens.admission.api_keys import generate_api_key
from sarlens.devstack.ports import free_port
from surveys.client import HOW_MANY
from surveys.conftest import SURVIVAL_URL
from surveys.gateway_process import gateway_process


async def sarlens(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with additional environment variables."""
    process = [sys.executable, "-m", "sarlens", *command]
    return await asyncio.to_thread(
        subprocess.run, process, capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "parquet"])
async def test_a_survey_is_written_to_a_file(environment: dict[str, str], tmp_path: Path, suffix: str) -> None:
    """`sarlens survey` prints the number of tiles, and writes 16 features in the format of the suffix."""
    geopandas = pytest.importorskip("geopandas")
    port, out = free_port(), tmp_path / f"ships.{suffix}"
    command = ["survey", SURVIVAL_URL, "--question", HOW_MANY, "--tile", "448"]
    command += ["--filter", "none", "--url", f"http://127.0.0.1:{port}", "--out", str(out)]
    async with gateway_process(environment, port):
        result = await sarlens(*command)
    assert result.returncode == 0, result.stderr
    assert "16 tiles: 16 answered, 0 without data, 0 failed" in result.stdout
    frame = geopandas.read_parquet(out) if suffix == "parquet" else geopandas.read_file(out)
    assert len(frame) == 16
    assert set(frame["question"]) == {HOW_MANY}


async def test_commands_send_the_api_key(environment: dict[str, str], tmp_path: Path) -> None:
    """With API keys on the gateway, the commands fail without SARLENS_API_KEY and succeed with it."""
    secret, digest = generate_api_key()
    (tmp_path / "keys.json").write_text(json.dumps([{"name": "gis", "sha256": digest}]))
    port = free_port()
    url = ["--url", f"http://127.0.0.1:{port}"]
    out = ["--out", str(tmp_path / "ships.geojson")]
    survey = ["survey", SURVIVAL_URL, "--question", HOW_MANY, "--filter", "none", *out, *url]
    async with gateway_process(environment | {"SARLENS_KEYS__FILE": str(tmp_path / "keys.json")}, port):
        for command in (survey, ["ask", SURVIVAL_URL, HOW_MANY, *url]):
            for variables, status in (({}, 1), ({"SARLENS_API_KEY": secret}, 0)):
                result = await sarlens(*command, **variables)
                assert result.returncode == status, result.stderr
                assert ("API key" in result.stderr) == (status == 1)


async def test_errors_are_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    """An unknown suffix, an invalid polygon and a missing gateway are reported without a traceback."""
    (tmp_path / "bad.json").write_text("[]")
    base = ["survey", SURVIVAL_URL, "--question", HOW_MANY]
    for options, message in (
        (["--out", "ships.doc"], ".geojson, .json, .gpkg, .parquet, .fgb, .csv"),
        (["--out", "x.geojson", "--polygon", str(tmp_path / "bad.json")], "isn't a GeoJSON file"),
        (["--out", "x.geojson", "--url", f"http://127.0.0.1:{free_port()}"], "no gateway answers"),
    ):
        result = await sarlens(*base, *options)
        assert result.returncode == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("suffix", ["geojson", "gpkg"])
async def test_objects_are_written_to_a_file(environment: dict[str, str], tmp_path: Path, suffix: str) -> None:
    """`--objects` writes one point per ship, and with `--gate` the summary has the skipped tiles."""
    geopandas = pytest.importorskip("geopandas")
    port, out = free_port(), tmp_path / f"ships.{suffix}"
    command = ["survey", SURVIVAL_URL, "--question", HOW_MANY, "--tile", "448", "--filter", "none", "--gate"]
    command += ["--url", f"http://127.0.0.1:{port}", "--objects", str(out)]
    async with gateway_process(environment, port):
        result = await sarlens(*command)
    assert result.returncode == 0, result.stderr
    assert "skipped by the gate" in result.stdout
    assert f"written to {out}" in result.stdout
    frame = geopandas.read_file(out)
    assert sorted((round(col), round(row)) for col, row in zip(frame["col"], frame["row"], strict=True)) == [
        (100, 100),
        (900, 500),
        (1300, 1300),
    ]
    assert set(frame["class"]) == {"ship"}


async def test_unconfirmed_targets_need_a_file_of_objects() -> None:
    """`--unconfirmed` without `--objects` is an error of usage."""
    result = await sarlens("survey", SURVIVAL_URL, "--question", HOW_MANY, "--detach", "--unconfirmed")
    assert result.returncode == 2
    assert "--unconfirmed requires --objects" in result.stderr
