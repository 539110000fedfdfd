"""Each example runs unchanged against a gateway."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas
import pytest

from ogc.client import SCENE, SURVEY, call
from sarlens.devstack.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
QGIS = "/usr/bin/qgis_process.bin"


async def run(base: str, *command: str, **environment: str) -> str:
    """Run a command against the gateway, require exit code 0, and return its standard output."""
    variables = os.environ | {"SARLENS_URL": base, "IMAGE": SCENE} | environment
    process = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=200, env=variables
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "curl: (" not in process.stderr
    return process.stdout


async def test_the_walk_by_curl(base: str) -> None:
    """walk.sh lists the processes, answers a question about a window, runs a survey job and prints its features."""
    output = await run(base, "sh", str(EXAMPLES / "walk.sh"), SCENE)
    assert '"id":"survey"' in output
    assert '"col":460,"row":300,"width":256,"height":256' in output
    assert "successful" in output
    assert output.count('"FeatureCollection"') == 2


async def test_the_rate_limit(base: str) -> None:
    """quota.sh has two requests accepted and the third rejected, with half a minute to wait for the next token."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    output = await run(base, "sh", str(EXAMPLES / "quota.sh"), PATH=path, PORT=str(free_port()))
    assert output.splitlines()[:2] == ["status 200", "status 200"]
    assert re.fullmatch(r"status 429 retry-after (29|30)", output.splitlines()[2])


def test_cells_have_ids() -> None:
    """Each cell of the notebook has an id of its own, as notebook format 4.5 requires."""
    ids = [cell["id"] for cell in json.loads((EXAMPLES / "survey.ipynb").read_text())["cells"]]
    assert len(set(ids)) == len(ids) == 7


async def test_the_notebook(base: str) -> None:
    """The cells of the notebook run in order and draw one polygon for each of the 12 tiles."""
    cells = json.loads((EXAMPLES / "survey.ipynb").read_text())["cells"]
    source = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code = "\n\n".join([*source, "assert len(ships) == 12 and len(axes.collections[0].get_paths()) == 12"])
    await run(base, sys.executable, "-c", code, MPLBACKEND="agg")


@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed (Debian: gdal-bin)")
async def test_the_layer_by_ogr2ogr(base: str, tmp_path: Path) -> None:
    """layer.sh writes the answers of all jobs, or those of one job, to a GeoPackage with an integer count column."""
    for _ in range(2):
        status, answers, _ = await call("POST", f"{base}/processes/survey/execution", SURVEY)
        assert status == 200, answers
    for job, rows in (((), 24), ((answers["survey"]["id"],), 12)):
        out = tmp_path / f"{rows}.gpkg"
        await run(base, "sh", str(EXAMPLES / "layer.sh"), str(out), *job)
        frame = geopandas.read_file(out, layer="answers")
        assert len(frame) == rows
        assert frame["count"].dtype.kind == "i"


@pytest.mark.skipif(not Path(QGIS).exists(), reason="QGIS is not installed (Debian: qgis)")
async def test_the_script_of_qgis(base: str, tmp_path: Path) -> None:
    """QGIS runs the script without a display, surveys the scene, and writes its answers as a layer."""
    out, scripts = tmp_path / "ships.gpkg", tmp_path / "profiles/default/processing/scripts"
    scripts.mkdir(parents=True)
    shutil.copy(EXAMPLES / "sarlens_survey.py", scripts)
    # The Debian wrapper adds an option that its program rejects. PATH excludes the Python of the virtual environment.
    environment = {"PATH": "/usr/bin:/bin", "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
    environment |= {"QGIS_CUSTOM_CONFIG_PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [QGIS, "run", "script:sarlens_survey", "--", f"GATEWAY={base}", f"IMAGE={SCENE}"]
    await run(base, *command, "TILE=256", f"OUTPUT={out}", **environment)
    frame = geopandas.read_file(out)
    assert len(frame) == 12
    assert frame["count"].dtype.kind == "i"
