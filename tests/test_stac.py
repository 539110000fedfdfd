"""STAC Items through the gateway: a store with a catalogue, every protocol, and what answers say of the scene."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import geopandas
import grpc.aio
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from sarlens.admission.keys import new_key
from sarlens.imagery.item import MOST_BYTES
from sarlens.seaweed import free_port
from sarlens.settings import GrpcSettings, KeysSettings, S3Settings, Settings, WorkerSettings
from sarlens.v1 import sar_pb2 as pb
from sarlens.v1 import sar_pb2_grpc
from stack.fake_worker import FakeWorker
from stack.gateway import gateway
from stack.s3 import S3Server
from stack.scenes import geotiff, sea
from stack.stac import CONTEXT, NAME, TAKEN, item

VQA, CAPTIONS, CHAT, SURVEYS = "/v1/sar/vqa", "/v1/sar/captions", "/v1/chat/completions", "/v1/sar/surveys"
ITEM = "s3://scenes/stac/items/s1.json"
VV = "s3://scenes/stac/vv.tif"
HOW_MANY = "How many ships are in the image?"
PROMPT = f"Question: {HOW_MANY}. Answer the question concisely."
ACQUISITION = {**TAKEN, "item": NAME, "asset": "vv", "polarizations": ["VV"]}


@pytest.fixture(scope="module")
def catalogue(s3: S3Server) -> None:
    """Two scenes and Items that lead to them, or nowhere."""
    ships = np.array([(100, 100)])
    spoilt = item({"a": VV}) | {"assets": {"a": {"title": "no href"}}}
    objects = {
        "vv.tif": geotiff(sea(512, 512, ships, seed=1)),
        "vh.tif": geotiff(sea(512, 512, ships, seed=2)),
        "items/s1.json": json.dumps(item({"vv": "../vv.tif", "vh": "../vh.tif"})).encode(),
        "items/one": json.dumps(item({"data": "../vv.tif"})).encode(),
        "items/itself.json": json.dumps(item({"data": "itself.json"})).encode(),
        "items/gone.json": json.dumps(item({"data": "../gone.tif"})).encode(),
        "items/file.json": json.dumps(item({"data": "file:///etc/passwd"})).encode(),
        "items/inside.json": json.dumps(item({"data": "https://169.254.169.254/latest/meta-data"})).encode(),
        "items/bucket.json": json.dumps(item({"data": "s3://closed/secret.tif"})).encode(),
        "items/spoilt.json": json.dumps(spoilt).encode(),
        "items/huge.json": b"{" + b" " * MOST_BYTES + b"}",
        "items/deep.json": b'{"type":' * 2000,
        "items/collection.json": json.dumps({"type": "FeatureCollection", "features": []}).encode(),
    }
    for name, data in objects.items():
        s3.client().put_object(Bucket="scenes", Key=f"stac/{name}", Body=data)


@pytest.fixture
def settings(s3: S3Server, catalogue: None, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A gateway before the fake worker and the real store, which reads one bucket."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    worker.says = lambda body: "1"
    store = S3Settings(endpoint=s3.endpoint, buckets=("scenes",))
    return Settings(worker=WorkerSettings(urls=(worker.url,)), s3=store)


@pytest.fixture
async def base(settings: Settings) -> AsyncIterator[str]:
    """The gateway's address."""
    async with gateway(settings) as url:
        yield url


async def post(base: str, path: str, body: Any, key: str | None = None) -> tuple[int, dict[str, Any]]:
    """Status and answer."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession() as session, session.post(base + path, json=body, headers=headers) as got:
        return got.status, json.loads(await got.read())


async def answer(base: str, image: Any, **more: Any) -> dict[str, Any]:
    """The answer to the question about an image."""
    status, told = await post(base, VQA, {"image": image, "questions": [HOW_MANY], **more})
    assert status == 200, told
    return dict(told["data"][0])


def shown(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The image part and the text of a chat, in this order."""
    image, text = body["messages"][0]["content"]
    assert image["type"] == "image_url"
    return image, text["text"]


async def test_an_item_is_an_image(base: str, worker: FakeWorker) -> None:
    """An Item in a store stands for its asset: the same picture under the same id, with how it was taken beside it, and
    the question in the bare words that models were trained on."""
    plain = await answer(base, VV)
    found = await answer(base, {"url": ITEM, "sar": {"asset": "vv"}})
    assert found["image"] == plain["image"] | {"acquisition": ACQUISITION}
    assert "acquisition" not in plain["image"]
    other = await answer(base, {"url": ITEM, "sar": {"asset": "vh"}})
    assert other["image"]["id"] != plain["image"]["id"]
    assert other["image"]["acquisition"]["polarizations"] == ["VH"]
    assert {shown(body)[1] for body in worker.requests} == {PROMPT}


async def test_the_manual_is_right(base: str) -> None:
    """The curl of docs/stac.md works as it stands there, and its answer has what the page shows."""
    page = (Path(__file__).parents[1] / "docs/stac.md").read_text()
    command = page[page.index("    curl ") :].split("\n\n")[0].replace("localhost:8080", base.removeprefix("http://"))
    run = await asyncio.create_subprocess_shell(f"{command} --silent", stdout=asyncio.subprocess.PIPE)
    (told,) = json.loads((await run.communicate())[0])["data"]
    acquisition = page[page.index('"acquisition": ') :].split("\n\n")[0]
    assert json.loads(f"{{{acquisition}}}")["acquisition"] == told["image"]["acquisition"] == ACQUISITION
    assert " ".join(CONTEXT.split()) in " ".join(page.split())


async def test_an_item_in_the_body_is_an_image(base: str) -> None:
    """Inline, bare or beside ``sar``, an Item leads to the picture that its URL leads to; bands choose the asset."""
    wanted = (await answer(base, {"url": ITEM, "sar": {"bands": ["VV"]}}))["image"]
    inline = item({"vv": VV, "vh": "s3://scenes/stac/vh.tif"})
    for image in ({"item": inline, "sar": {"bands": ["VV"]}}, {"item": inline, "sar": {"bands": ["vv"]}}):
        assert (await answer(base, image))["image"] == wanted
    alone = await answer(base, item({"vv": VV}))
    assert alone["image"]["acquisition"] == ACQUISITION
    status, told = await post(base, CAPTIONS, {"image": item({"vv": VV})})
    assert (status, told["image"]["acquisition"]) == (200, ACQUISITION)


async def test_context_is_told_where_it_is_wanted(base: str, worker: FakeWorker) -> None:
    """With ``context`` a sentence goes before the question and after the image, whose id stays what it was."""
    image = {"url": ITEM, "sar": {"asset": "vv"}}
    plain, told = await answer(base, image), await answer(base, image, context=True)
    assert (told["question"], told["image"]["id"]) == (HOW_MANY, plain["image"]["id"])
    (first, bare), (second, said) = map(shown, worker.requests)
    assert first["uuid"] == second["uuid"]
    assert (bare, said) == (PROMPT, f"{CONTEXT} {PROMPT}")
    status, _ = await post(base, CAPTIONS, {"image": image, "context": True})
    assert (status, shown(worker.requests[-1])[1].startswith(CONTEXT)) == (200, True)
    status, refused = await post(base, VQA, {"image": VV, "questions": [HOW_MANY], "context": True})
    assert (status, refused["error"]["param"]) == (400, "context")


async def test_a_chat_takes_items(base: str, worker: FakeWorker) -> None:
    """In a chat an Item goes where an image goes, by URL or inline; the worker sees the picture and nothing of it."""
    for image in (
        {"url": ITEM, "sar": {"asset": "vv"}},
        {"item": item({"vv": VV})},
        {"url": "s3://scenes/stac/items/one"},
    ):
        parts = [{"type": "image_url", "image_url": image}, {"type": "text", "text": HOW_MANY}]
        status, told = await post(base, CHAT, {"messages": [{"role": "user", "content": parts}]})
        assert status == 200, told
    pictures = [shown(body)[0] for body in worker.requests]
    assert len({part["uuid"] for part in pictures}) == 1
    assert pictures[0]["image_url"].keys() == {"url"}
    wrong = {"url": ITEM, "item": item({"vv": VV})}
    for image, param in ((wrong, "image_url"), ({"item": {"type": "Feature"}}, "image_url.item.stac_version")):
        parts = [{"type": "image_url", "image_url": image}]
        status, told = await post(base, CHAT, {"messages": [{"role": "user", "content": parts}]})
        assert (status, told["error"]["param"]) == (400, f"messages[0].content[0].{param}")


async def test_the_picture_of_an_item_is_shown(base: str) -> None:
    """The picture route takes an Item and an asset."""
    query = {"url": ITEM, "asset": "vv"}
    async with aiohttp.ClientSession() as session, session.get(f"{base}/v1/sar/picture", params=query) as got:
        assert (got.status, got.content_type) == (200, "image/png")


NOWHERE: list[tuple[Any, int, str, str]] = [
    (ITEM, 400, "asset_missing", "'vv', 'vh'"),
    ({"url": ITEM, "sar": {"asset": "hh"}}, 400, "asset_missing", "'vv', 'vh'"),
    ({"url": ITEM, "sar": {"bands": ["VV", "VH"]}}, 400, "asset_missing", "'vv', 'vh'"),
    ({"url": VV, "sar": {"asset": "vv"}}, 400, "bad_request", "no STAC Item"),
    ("s3://scenes/stac/items/itself.json", 400, "unsupported_item", "no image"),
    ("s3://scenes/stac/items/gone.json", 404, "image_not_found", "gone.tif"),
    ("s3://scenes/stac/items/file.json", 400, "source_refused", "s3:// or https:"),
    ("s3://scenes/stac/items/inside.json", 400, "source_refused", "169.254.169.254"),
    ("s3://scenes/stac/items/bucket.json", 400, "source_refused", "closed"),
    ("s3://scenes/stac/items/spoilt.json", 400, "unsupported_item", "assets.a.href"),
    ("s3://scenes/stac/items/huge.json", 413, "too_large", "1048576"),
    ("s3://scenes/stac/items/deep.json", 400, "unsupported_item", "nested"),
    ("s3://scenes/stac/items/collection.json", 400, "unsupported_item", "type"),
    ({"item": item({"vv": "vv.tif"})}, 400, "source_refused", "relative"),
    ({"item": item({"vv": VV}), "url": ITEM}, 400, "bad_request", "either"),
    ({"item": item({"vv": VV}) | {"assets": []}}, 400, "bad_request", "image.item.assets"),
    ({}, 400, "bad_request", "either"),
]


async def test_items_that_lead_nowhere(base: str) -> None:
    """What is wrong with an Item or its asset is said, with the keys of the assets where one has to be chosen."""
    for image, status, code, said in NOWHERE:
        for path in (VQA, SURVEYS):
            found, told = await post(base, path, {"image": image, "questions": [HOW_MANY]})
            assert (found, told["error"]["code"]) == (status, code), (image, told)
            assert said in told["error"]["message"]


async def test_an_inline_item_that_is_nested_deeply(base: str) -> None:
    """A body whose Item is nested without end is refused as no JSON."""
    text = json.dumps({"image": item({"vv": VV}), "questions": [HOW_MANY]})
    deep = text.replace('"links": []', f'"links": {"[" * 5000}{"]" * 5000}')
    async with aiohttp.ClientSession() as session, session.post(base + VQA, data=deep) as got:
        assert (got.status, (await got.json())["error"]["code"]) == (400, "bad_request")


async def test_keys_open_assets(settings: Settings, tmp_path: Path) -> None:
    """A key has to open the asset, and the Item where that has a URL; an Item in the body lies nowhere else."""
    secrets: dict[str, str] = {}
    entries = []
    opened = {"all": ["s3://scenes"], "items": ["s3://scenes/stac/items"], "image": [VV]}
    for name, images in opened.items():
        secrets[name], digest = new_key()
        entries.append({"name": name, "sha256": digest, "images": images})
    (tmp_path / "keys.json").write_text(json.dumps(entries))
    locked = settings.model_copy(update={"keys": KeysSettings(file=tmp_path / "keys.json")})
    by_url, inline = {"url": ITEM, "sar": {"asset": "vv"}}, item({"vv": VV})
    expected = {"all": (200, 200), "items": (403, 403), "image": (403, 200)}
    async with gateway(locked) as base:
        for name, statuses in expected.items():
            for path in (VQA, SURVEYS):
                body: dict[str, Any] = {"questions": [HOW_MANY]}
                got = [await post(base, path, body | {"image": image}, secrets[name]) for image in (by_url, inline)]
                assert tuple(status for status, _ in got) == statuses, (name, path, got)


async def test_a_survey_tells_how_the_scene_was_taken(base: str, worker: FakeWorker, tmp_path: Path) -> None:
    """Features of a survey have flat columns of the acquisition, which a GIS reads with their types; with ``context``
    every tile is asked after the sentence."""
    image = {"url": ITEM, "sar": {"asset": "vv"}}
    body = {"image": image, "questions": [HOW_MANY], "tile": 256, "context": True}
    status, found = await post(base, SURVEYS, body)
    assert (status, len(found["features"])) == (200, 4), found
    told = ACQUISITION | {"polarizations": "VV", "image": VV}
    assert all(told.items() <= feature["properties"].items() for feature in found["features"])
    assert {shown(body)[1] for body in worker.requests} == {f"{CONTEXT} {PROMPT}"}
    file, name = tmp_path / "answers.gpkg", found["survey"]["id"]
    async with aiohttp.ClientSession() as session, session.get(f"{base}{SURVEYS}/{name}/features?format=gpkg") as got:
        file.write_bytes(await got.read())
    frame = geopandas.read_file(file)
    assert str(frame["datetime"].dtype).startswith("datetime64")
    assert set(frame["orbit_state"]) == {"ascending"}
    assert set(frame["pixel_spacing_range"]) == {10.0}


async def test_processes_take_items(base: str) -> None:
    """OGC API Processes takes an Item by URL, by reference or as an input by value, and tells what it says."""
    inline = item({"vv": VV, "vh": "s3://scenes/stac/vh.tif"})
    qualified = {"value": inline, "mediaType": "application/geo+json"}
    for image in (ITEM, {"href": ITEM, "type": "application/geo+json"}, inline, qualified):
        inputs = {"image": image, "asset": "vv", "question": HOW_MANY, "context": True}
        status, found = await post(base, "/processes/vqa/execution", {"inputs": inputs})
        assert status == 200, found
        (feature,) = found["features"]
        assert feature["properties"].items() >= (ACQUISITION | {"polarizations": "VV"}).items()
    wrong: list[tuple[Any, str]] = [(ITEM, "'vv', 'vh'"), ({"type": "Feature"}, "stac_version"), (7, "image.item")]
    for image, said in wrong:
        status, problem = await post(
            base, "/processes/vqa/execution", {"inputs": {"image": image, "question": HOW_MANY}}
        )
        assert status == 400, problem
        assert said in problem["detail"]


async def test_grpc_takes_items(settings: Settings) -> None:
    """The typed service takes an Item by URL or as bytes, and says how the image was taken."""
    port = free_port()
    async with (
        gateway(settings.model_copy(update={"grpc": GrpcSettings(port=port)})),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = sar_pb2_grpc.SarStub(channel)
        for image in (
            pb.Image(url=ITEM, render=pb.Render(asset="vv")),
            pb.Image(data=json.dumps(item({"vv": VV})).encode()),
        ):
            asked = pb.VqaRequest(image=image, questions=[pb.Question(question=HOW_MANY)], context=True)
            (answer,) = (await stub.Vqa(asked)).answers
            assert answer.finding.value.integer == 1
            told = MessageToDict(answer.acquisition, preserving_proto_field_name=True)
            assert told == ACQUISITION | {"relative_orbit": "132"}
