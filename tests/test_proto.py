"""sar.proto: what its messages can say, and the code that is made of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from sarlens.ingress.sar_messages import _render
from sarlens.request import Render
from sarlens.v1 import sar_pb2

RING = '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}'


def test_every_way_to_render_has_a_typed_field() -> None:
    """What a sar object can say, a Render message says too."""
    message = sar_pb2.Render(
        size=32, preset=sar_pb2.PRESET_PLAIN, filter=sar_pb2.FILTER_LEE, scale=sar_pb2.SCALE_DB, polygon=RING
    )
    message.stretch.low, message.stretch.high = 1, 99
    message.bands.add(name="VV")
    message.calibration = sar_pb2.CALIBRATION_GAMMA0
    message.looks.across, message.looks.down, message.swath = 4, 1, "IW1"
    sar: dict[str, Any] = {"size": 32, "preset": "plain", "filter": "lee", "scale": "db", "polygon": json.loads(RING)}
    sar |= {"stretch": [1, 99], "bands": ["VV"], "calibration": "gamma0", "looks": [4, 1], "swath": "IW1"}
    assert Render.model_validate(_render(message)) == Render.model_validate(sar)
    box = sar_pb2.Render(bbox=sar_pb2.BoundingBox(west=1, south=2, east=3, north=4, crs="EPSG:32632"))
    assert _render(box) == {"bbox": [1, 2, 3, 4], "bbox_crs": "EPSG:32632"}
    assert _render(sar_pb2.Render(window=sar_pb2.Window(col=1, row=2, width=3, height=4))) == {"window": [1, 2, 3, 4]}
    fields = {field.name for field in sar_pb2.Render.DESCRIPTOR.fields}
    assert fields == Render.model_fields.keys() - {"bbox_crs"}


def test_the_generated_code_is_of_the_proto(tmp_path: Path) -> None:
    """What is shipped is what protoc makes of the published sar.proto, and every field is documented."""
    service = Path(__file__).parents[1] / "service"
    out = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", str(service), *out, "sarlens/v1/sar.proto"], check=True
    )
    for made in (tmp_path / "sarlens/v1").iterdir():
        assert made.read_bytes() == (service / "sarlens/v1" / made.name).read_bytes(), made.name
    lines = (service / "sarlens/v1/sar.proto").read_text().splitlines()
    for before, line in pairwise(line.strip() for line in lines):
        if re.match(r"(?!syntax|package)[a-zA-Z].*[;{]$", line):
            assert before.startswith("//"), line
    assert MessageToDict(sar_pb2.Window(col=1)) == {"col": 1}
