"""sar.proto: the fields of its messages, and the generated code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from sarlens.api.grpc.sar_convert import _render
from sarlens.api.grpc.v1 import sar_pb2
from sarlens.types.render_params import RenderParams

RING = '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}'


def test_every_render_parameter_has_a_typed_field() -> None:
    """A Render message has a field for every parameter of a sar object."""
    message = sar_pb2.Render(
        size=32, preset=sar_pb2.PRESET_PLAIN, filter=sar_pb2.FILTER_LEE, scale=sar_pb2.SCALE_DB, polygon=RING
    )
    message.stretch.low, message.stretch.high = 1, 99
    message.bands.add(name="VV")
    message.calibration = sar_pb2.CALIBRATION_GAMMA0
    message.looks.across, message.looks.down, message.swath = 4, 1, "IW1"
    message.orient, message.noise = sar_pb2.ORIENT_NORTH, sar_pb2.NOISE_KEEP
    message.nodata, message.boxes = -9999, sar_pb2.BOXES_PICTURE
    sar: dict[str, Any] = {"size": 32, "preset": "plain", "filter": "lee", "scale": "db", "polygon": json.loads(RING)}
    sar |= {
        "stretch": [1, 99],
        "bands": ["VV"],
        "calibration": "gamma0",
        "looks": [4, 1],
        "swath": "IW1",
        "orient": "north",
        "noise": "keep",
        "nodata": -9999.0,
        "boxes": "picture",
    }
    assert RenderParams.model_validate(_render(message)) == RenderParams.model_validate(sar)
    box = sar_pb2.Render(bbox=sar_pb2.BoundingBox(west=1, south=2, east=3, north=4, crs="EPSG:32632"))
    assert _render(box) == {"bbox": [1, 2, 3, 4], "bbox_crs": "EPSG:32632"}
    assert _render(sar_pb2.Render(window=sar_pb2.Window(col=1, row=2, width=3, height=4))) == {"window": [1, 2, 3, 4]}
    fields = {field.name for field in sar_pb2.Render.DESCRIPTOR.fields}
    assert fields == RenderParams.model_fields.keys() - {"bbox_crs"}


def test_the_generated_code_is_up_to_date(tmp_path: Path) -> None:
    """The generated modules equal the output of protoc for sar.proto, and every field is documented."""
    service = Path(__file__).parents[3] / "service"
    out = [f"--{plugin}_out={tmp_path}" for plugin in ("python", "pyi", "grpc_python")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", str(service), *out, "sarlens/api/grpc/v1/sar.proto"],
        check=True,
    )
    for generated in (tmp_path / "sarlens/api/grpc/v1").iterdir():
        assert generated.read_bytes() == (service / "sarlens/api/grpc/v1" / generated.name).read_bytes(), generated.name
    lines = (service / "sarlens/api/grpc/v1/sar.proto").read_text().splitlines()
    for before, line in pairwise(line.strip() for line in lines):
        if re.match(r"(?!syntax|package)[a-zA-Z].*[;{]$", line):
            assert before.startswith("//"), line
    assert MessageToDict(sar_pb2.Window(col=1)) == {"col": 1}
