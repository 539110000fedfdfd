"""Images of two URLs in every route: VV and VH in separate files."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import aiohttp
import numpy as np
import pytest
from PIL import Image

from sarlens.api.grpc.sar_convert import vqa_to_rest_body
from sarlens.api.grpc.v1 import sar_pb2 as pb
from support.georeferenced_scenes import geotiff, sea
from support.s3 import S3Server
from support.workers.fake_worker import MODEL, FakeWorker
from surveys.client import HOW_MANY, SURVEYS, call, survey_body

PAIR = ["s3://scenes/pair_VV.tif", "s3://scenes/pair_VH.tif"]
SAR = {"bands": ["VV", "VH"]}
SHIPS = np.array([(100, 100), (400, 300)])


@pytest.fixture(scope="module", autouse=True)
def _pair(s3: S3Server) -> None:
    for seed, url in enumerate(PAIR):
        key = url.removeprefix("s3://scenes/")
        s3.client().put_object(Bucket="scenes", Key=key, Body=geotiff(sea(512, 512, SHIPS, seed)))


def image_part(body: bytes) -> dict[str, Any]:
    """Return the image in a chat that a worker got."""
    (part,) = [part for part in json.loads(body)["messages"][0]["content"] if part["type"] == "image_url"]
    return dict(part)


def shown(body: bytes) -> Image.Image:
    """Return the picture in a chat that a worker got."""
    return Image.open(io.BytesIO(base64.b64decode(image_part(body)["image_url"]["url"].partition(",")[2])))


async def test_a_pair_is_answered_in_every_route(base: str, worker: FakeWorker) -> None:
    """Tasks, chats, the Open Inference Protocol and OGC processes ask about one composite of both files.

    The worker gets the picture once, and then its id.
    """
    sar = {**SAR, "window": [0, 0, 512, 512]}
    image = {"url": PAIR, "sar": sar}
    parts = [{"type": "image_url", "image_url": image}, {"type": "text", "text": HOW_MANY}]
    tensors = [
        {"name": "image", "datatype": "BYTES", "shape": [1], "data": [json.dumps(PAIR)]},
        {"name": "question", "datatype": "BYTES", "shape": [1], "data": [HOW_MANY]},
    ]
    requests: dict[str, Any] = {
        "/v1/sar/vqa": {"image": image, "questions": [HOW_MANY]},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": parts}]},
        f"/v2/models/{MODEL}/infer": {"inputs": tensors, "parameters": {"sar": json.dumps(sar)}},
        "/processes/vqa/execution": {"inputs": {"image": PAIR, "question": HOW_MANY, **sar}},
    }
    first = len(worker.bodies)
    for path, body in requests.items():
        status, document, _ = await call("POST", base + path, body)
        assert status == 200, (path, document)
    picture = shown(worker.bodies[first])
    assert (picture.mode, picture.size) == ("RGB", (256, 256))
    assert len({image_part(body)["uuid"] for body in worker.bodies[first:]}) == 1
    assert len(worker.bodies) - first == len(requests)
    status, document, _ = await call("POST", f"{base}/v1/sar/vqa", {"image": PAIR, "questions": [HOW_MANY]})
    assert (status, shown(worker.bodies[-1]).mode) == (200, "L"), document


async def test_a_pair_is_surveyed(base: str, worker: FakeWorker) -> None:
    """Each of four tiles is a composite, and features name both files."""
    before = len(worker.bodies)
    status, document, _ = await call("POST", base + SURVEYS, survey_body("", image={"url": PAIR, "sar": SAR}))
    assert status == 200, document
    assert (document["survey"]["tiles"], {feature["properties"]["image"] for feature in document["features"]}) == (
        4,
        {", ".join(PAIR)},
    )
    assert [shown(body).mode for body in worker.bodies[before:]] == ["RGB"] * 4
    _, collection, _ = await call("GET", f"{base}/collections/{document['survey']['id']}")
    assert collection["title"] == f"Survey of {', '.join(PAIR)}"


async def test_a_pair_is_shown(base: str) -> None:
    """A URL for each band: the scene lists both, and pictures and tiles are composites."""
    query = [("url", url) for url in PAIR]
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{base}/v1/sar/scene", params=query) as response:
            scene = await response.json()
        assert (scene["url"], scene["bands"], scene["polarizations"]) == (PAIR, ["VV", "VH"], ["VV", "VH"])
        async with http.get(f"{base}/v1/sar/tilejson.json", params=[*query, ("bands", "VV,VH")]) as response:
            (template,) = (await response.json())["tiles"]
        zoom = scene["max_zoom"]["pixels"]
        for path in (
            template.split("/v1")[1].replace("{z}/{x}/{y}", f"pixels/{zoom}/0/0"),
            "/sar/picture?bands=VV,VH&" + "&".join(f"url={url}" for url in PAIR),
        ):
            async with http.get(f"{base}/v1{path}") as response:
                data = await response.read()
            assert response.status == 200, data
            assert Image.open(io.BytesIO(data)).mode in {"RGB", "RGBA"}
        async with http.get(f"{base}/v1/sar/scene", params=[("url", PAIR[0])] * 2) as response:
            assert (response.status, (await response.json())["error"]["param"]) == (400, "url")


def test_grpc_has_more_urls() -> None:
    """The message with a URL and more URLs is the REST body with a list."""
    image = pb.Image(url=PAIR[0], more_urls=PAIR[1:])
    assert vqa_to_rest_body(pb.VqaRequest(image=image))["image"] == {"url": PAIR}
