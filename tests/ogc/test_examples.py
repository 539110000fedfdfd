"""The examples, each run as it stands."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas
import pytest

from ogc.conftest import SCENE
from ogc.test_assertions import SURVEY, call

EXAMPLES = Path(__file__).parents[2] / "examples"
QGIS = "/usr/bin/qgis_process.bin"


async def run(base: str, *command: str, **environment: str) -> str:
    """What a command prints that asks the gateway; it has to end well."""
    told = os.environ | {"SARLENS_URL": base, "SARLENS_IMAGE": SCENE} | environment
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=200, env=told)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


async def test_the_walk_by_curl(base: str) -> None:
    """walk.sh lists the processes, gets an answer, follows a job to its end and prints features."""
    told = await run(base, "sh", str(EXAMPLES / "walk.sh"), SCENE)
    assert '"id":"survey"' in told
    assert "successful" in told
    assert told.count('"FeatureCollection"') == 2


async def test_the_notebook(base: str) -> None:
    """The cells of the notebook run one after another, and the map is drawn."""
    cells = json.loads((EXAMPLES / "survey.ipynb").read_text())["cells"]
    source = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code = "\n\n".join([*source, "assert len(ships) == 12 and axes.collections"])
    await run(base, sys.executable, "-c", code, MPLBACKEND="agg")


@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed (Debian: gdal-bin)")
async def test_the_layer_by_ogr2ogr(base: str, tmp_path: Path) -> None:
    """layer.sh writes all answers as a GeoPackage that reads back."""
    status, told, _ = await call("POST", f"{base}/processes/survey/execution", SURVEY)
    assert status == 200, told
    out = tmp_path / "answers.gpkg"
    await run(base, "sh", str(EXAMPLES / "layer.sh"), str(out))
    assert len(geopandas.read_file(out)) == 12


@pytest.mark.skipif(not Path(QGIS).exists(), reason="QGIS is not installed (Debian: qgis)")
async def test_the_script_of_qgis(base: str, tmp_path: Path) -> None:
    """QGIS runs the script without a screen, surveys a part of the scene, and writes a layer of its answers."""
    out, scripts = tmp_path / "ships.gpkg", tmp_path / "profiles/default/processing/scripts"
    scripts.mkdir(parents=True)
    shutil.copy(EXAMPLES / "sarlens_survey.py", scripts)
    # Debian's wrapper adds a flag that its own program does not take, and finds another Python first.
    environment = {"PATH": "/usr/bin:/bin", "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
    environment |= {"QGIS_CUSTOM_CONFIG_PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [QGIS, "run", "script:sarlens_survey", "--", f"GATEWAY={base}", f"IMAGE={SCENE}"]
    await run(base, *command, "TILE=256", f"OUTPUT={out}", **environment)
    frame = geopandas.read_file(out)
    assert len(frame) == 12
    assert frame["value"].dtype.kind == "i"
