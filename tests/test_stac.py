"""STAC Items through the gateway: a store with a catalog, every protocol, and acquisition metadata in answers."""

from __future__ import annotations

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

from sarlens.admission.api_keys import generate_api_key
from sarlens.api.grpc.v1 import sar_pb2 as pb
from sarlens.api.grpc.v1 import sar_pb2_grpc
from sarlens.devstack.ports import free_port
from sarlens.imagery.products.stac_asset import acquisition_of
from sarlens.imagery.products.stac_item import MAX_ITEM_BYTES
from sarlens.settings import GrpcSettings, KeysSettings, S3Settings, Settings, WorkerSettings
from sarlens.stac import Item
from support.gateway import gateway
from support.georeferenced_scenes import geotiff, sea
from support.s3 import S3Server
from support.stac import CONTEXT, NAME, TAKEN, item
from support.workers.fake_worker import FakeWorker

VQA, CAPTIONS, CHAT, SURVEYS = "/v1/sar/vqa", "/v1/sar/captions", "/v1/chat/completions", "/v1/sar/surveys"
ITEM = "s3://scenes/stac/items/s1.json"
VV = "s3://scenes/stac/vv.tif"
HOW_MANY = "How many ships are in the image?"
PROMPT = f"Question: {HOW_MANY}. Answer the question concisely."
ACQUISITION = {**TAKEN, "item": NAME, "asset": "vv", "polarizations": ["VV"]}


@pytest.fixture(scope="module")
def catalog(s3: S3Server) -> None:
    """Two scenes, and Items that lead to them or can't be used."""
    ships = np.array([(100, 100)])
    invalid = item({"a": VV}) | {"assets": {"a": {"title": "no href"}}}
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
        "items/invalid.json": json.dumps(invalid).encode(),
        "items/huge.json": b"{" + b" " * MAX_ITEM_BYTES + b"}",
        "items/deep.json": b'{"type":' * 2000,
        "items/collection.json": json.dumps({"type": "FeatureCollection", "features": []}).encode(),
    }
    for name, data in objects.items():
        s3.client().put_object(Bucket="scenes", Key=f"stac/{name}", Body=data)


@pytest.fixture
def settings(s3: S3Server, catalog: None, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A gateway with the fake worker and the real store, which can read one bucket."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    worker.says = lambda body: "1"
    store = S3Settings(endpoint=s3.endpoint, buckets=("scenes",))
    return Settings(worker=WorkerSettings(urls=(worker.url,)), s3=store)


@pytest.fixture
async def base(settings: Settings) -> AsyncIterator[str]:
    """The gateway's URL."""
    async with gateway(settings) as url:
        yield url


async def post(base: str, path: str, body: Any, key: str | None = None) -> tuple[int, dict[str, Any]]:
    """Status and response."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession() as session, session.post(base + path, json=body, headers=headers) as response:
        return response.status, json.loads(await response.read())


async def answer(base: str, image: Any, **more: Any) -> dict[str, Any]:
    """The answer to the question about an image."""
    status, result = await post(base, VQA, {"image": image, "questions": [HOW_MANY], **more})
    assert status == 200, result
    return dict(result["data"][0])


def image_and_text(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The image part and the text of a chat, in this order."""
    image, text = body["messages"][0]["content"]
    assert image["type"] == "image_url"
    return image, text["text"]


async def test_an_item_is_an_image(base: str, worker: FakeWorker) -> None:
    """An Item is its asset: the same image id, with acquisition metadata, and the question unchanged."""
    plain = await answer(base, VV)
    of_item = await answer(base, {"url": ITEM, "sar": {"asset": "vv"}})
    assert of_item["image"] == plain["image"] | {"acquisition": ACQUISITION}
    assert "acquisition" not in plain["image"]
    other = await answer(base, {"url": ITEM, "sar": {"asset": "vh"}})
    assert other["image"]["id"] != plain["image"]["id"]
    assert other["image"]["acquisition"]["polarizations"] == ["VH"]
    assert {image_and_text(body)[1] for body in worker.requests} == {PROMPT}


def test_the_example_of_the_documentation_has_its_acquisition() -> None:
    """The Item in docs/how-to/stac.md gives the acquisition metadata that the page shows."""
    page = (Path(__file__).parents[1] / "docs/how-to/stac.md").read_text()
    document = json.loads(page.partition("<<'JSON'\n")[2].partition("\nJSON\n")[0])
    shown = json.loads(page.partition("jq '.data[0].image.acquisition' answer.json\n")[2].partition("\n```")[0])
    assert acquisition_of(Item.model_validate(document), "vv").as_document == shown
    assert " ".join(CONTEXT.split()) in " ".join(page.split())


async def test_an_item_in_the_body_is_an_image(base: str) -> None:
    """An Item in the body, bare or with ``sar``, leads to the image of its URL; bands select the asset."""
    wanted = (await answer(base, {"url": ITEM, "sar": {"bands": ["VV"]}}))["image"]
    inline = item({"vv": VV, "vh": "s3://scenes/stac/vh.tif"})
    for image in ({"item": inline, "sar": {"bands": ["VV"]}}, {"item": inline, "sar": {"bands": ["vv"]}}):
        assert (await answer(base, image))["image"] == wanted
    alone = await answer(base, item({"vv": VV}))
    assert alone["image"]["acquisition"] == ACQUISITION
    status, result = await post(base, CAPTIONS, {"image": item({"vv": VV})})
    assert (status, result["image"]["acquisition"]) == (200, ACQUISITION)


async def test_context_adds_a_sentence_to_the_prompt(base: str, worker: FakeWorker) -> None:
    """With ``context`` a sentence is added after the image and before the question; the image id stays the same."""
    image = {"url": ITEM, "sar": {"asset": "vv"}}
    plain, with_context = await answer(base, image), await answer(base, image, context=True)
    assert (with_context["question"], with_context["image"]["id"]) == (HOW_MANY, plain["image"]["id"])
    (first, bare), (second, extended) = map(image_and_text, worker.requests)
    assert first["uuid"] == second["uuid"]
    assert (bare, extended) == (PROMPT, f"{CONTEXT} {PROMPT}")
    status, _ = await post(base, CAPTIONS, {"image": image, "context": True})
    assert (status, image_and_text(worker.requests[-1])[1].startswith(CONTEXT)) == (200, True)
    status, refused = await post(base, VQA, {"image": VV, "questions": [HOW_MANY], "context": True})
    assert (status, refused["error"]["param"]) == (400, "context")


async def test_a_chat_accepts_items(base: str, worker: FakeWorker) -> None:
    """In a chat an Item replaces an image, by URL or in the body; the worker gets the image and nothing of the Item."""
    for image in (
        {"url": ITEM, "sar": {"asset": "vv"}},
        {"item": item({"vv": VV})},
        {"url": "s3://scenes/stac/items/one"},
    ):
        parts = [{"type": "image_url", "image_url": image}, {"type": "text", "text": HOW_MANY}]
        status, result = await post(base, CHAT, {"messages": [{"role": "user", "content": parts}]})
        assert status == 200, result
    images = [image_and_text(body)[0] for body in worker.requests]
    assert len({part["uuid"] for part in images}) == 1
    assert images[0]["image_url"].keys() == {"url"}
    wrong = {"url": ITEM, "item": item({"vv": VV})}
    for image, param in ((wrong, "image_url"), ({"item": {"type": "Feature"}}, "image_url.item.stac_version")):
        parts = [{"type": "image_url", "image_url": image}]
        status, result = await post(base, CHAT, {"messages": [{"role": "user", "content": parts}]})
        assert (status, result["error"]["param"]) == (400, f"messages[0].content[0].{param}")


async def test_the_preview_accepts_items(base: str) -> None:
    """The preview route accepts an Item and an asset."""
    query = {"url": ITEM, "asset": "vv"}
    async with aiohttp.ClientSession() as session, session.get(f"{base}/v1/sar/picture", params=query) as response:
        assert (response.status, response.content_type) == (200, "image/png")


UNUSABLE: list[tuple[Any, int, str, str]] = [
    ({"url": ITEM, "sar": {"asset": "hh"}}, 400, "asset_missing", "'vv', 'vh'"),
    ({"url": ITEM, "sar": {"bands": ["VV", "HH"]}}, 400, "asset_missing", "'vv', 'vh'"),
    ({"url": VV, "sar": {"asset": "vv"}}, 400, "bad_request", "isn't a STAC Item and has no assets"),
    ("s3://scenes/stac/items/itself.json", 400, "unsupported_item", "not an image"),
    ("s3://scenes/stac/items/gone.json", 404, "image_not_found", "gone.tif"),
    ("s3://scenes/stac/items/file.json", 400, "source_refused", "s3:// or https:"),
    ("s3://scenes/stac/items/inside.json", 400, "source_refused", "169.254.169.254"),
    ("s3://scenes/stac/items/bucket.json", 400, "source_refused", "closed"),
    ("s3://scenes/stac/items/invalid.json", 400, "unsupported_item", "assets.a.href"),
    ("s3://scenes/stac/items/huge.json", 413, "too_large", "1048576"),
    ("s3://scenes/stac/items/deep.json", 400, "unsupported_item", "nested"),
    ("s3://scenes/stac/items/collection.json", 400, "unsupported_item", "type"),
    ({"item": item({"vv": "vv.tif"})}, 400, "source_refused", "relative"),
    ({"item": item({"vv": VV}), "url": ITEM}, 400, "bad_request", "either"),
    ({"item": item({"vv": VV}) | {"assets": []}}, 400, "bad_request", "image.item.assets"),
    ({}, 400, "bad_request", "either"),
]


async def test_two_assets_are_a_composite(base: str) -> None:
    """VV and VH in files of their own are one image of two bands, for questions and surveys, also of inline Items."""
    inline = item({"vv": VV, "vh": "s3://scenes/stac/vh.tif"})
    for image in (ITEM, inline):
        located = {"url": image} if isinstance(image, str) else {"item": image}
        body = {"image": located | {"sar": {"bands": ["VV", "VH"]}}, "questions": [HOW_MANY]}
        status, result = await post(base, VQA, body)
        assert status == 200, result
        status, collection = await post(base, SURVEYS, body | {"tile": 256})
        assert status == 200, collection
        properties = [feature["properties"] for feature in collection["features"]]
        assert len(properties) == 4
        assert {(p["asset"], p["polarizations"], p["image"]) for p in properties} == {("vv,vh", "VV,VH", inline["id"])}
        assert not any("error" in p for p in properties)


async def test_items_that_cannot_be_used(base: str) -> None:
    """An invalid Item or asset has its own error, with the keys of the assets if one must be selected."""
    for image, status, code, reason in UNUSABLE:
        for path in (VQA, SURVEYS):
            returned, result = await post(base, path, {"image": image, "questions": [HOW_MANY]})
            assert (returned, result["error"]["code"]) == (status, code), (image, result)
            assert reason in result["error"]["message"]


async def test_a_deeply_nested_item_is_rejected(base: str) -> None:
    """A body whose Item is nested too deeply is rejected as invalid JSON."""
    text = json.dumps({"image": item({"vv": VV}), "questions": [HOW_MANY]})
    deep = text.replace('"links": []', f'"links": {"[" * 5000}{"]" * 5000}')
    async with aiohttp.ClientSession() as session, session.post(base + VQA, data=deep) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_request")


async def test_keys_must_allow_the_asset(settings: Settings, tmp_path: Path) -> None:
    """A key must allow the asset, and the Item if that has a URL."""
    secrets: dict[str, str] = {}
    entries = []
    opened = {"all": ["s3://scenes"], "items": ["s3://scenes/stac/items"], "image": [VV]}
    for name, images in opened.items():
        secrets[name], digest = generate_api_key()
        entries.append({"name": name, "sha256": digest, "images": images})
    (tmp_path / "keys.json").write_text(json.dumps(entries))
    locked = settings.model_copy(update={"keys": KeysSettings(file=tmp_path / "keys.json")})
    by_url, inline = {"url": ITEM, "sar": {"asset": "vv"}}, item({"vv": VV})
    expected = {"all": (200, 200), "items": (403, 403), "image": (403, 200)}
    async with gateway(locked) as base:
        for name, statuses in expected.items():
            for path in (VQA, SURVEYS):
                body: dict[str, Any] = {"questions": [HOW_MANY]}
                responses = [
                    await post(base, path, body | {"image": image}, secrets[name]) for image in (by_url, inline)
                ]
                assert tuple(status for status, _ in responses) == statuses, (name, path, responses)


async def test_a_survey_has_acquisition_columns(base: str, worker: FakeWorker, tmp_path: Path) -> None:
    """Features of a survey have typed columns of the acquisition; with ``context`` each tile gets the sentence."""
    image = {"url": ITEM, "sar": {"asset": "vv"}}
    body = {"image": image, "questions": [HOW_MANY], "tile": 256, "context": True}
    status, survey = await post(base, SURVEYS, body)
    assert (status, len(survey["features"])) == (200, 4), survey
    columns = ACQUISITION | {"polarizations": "VV", "image": VV}
    assert all(columns.items() <= feature["properties"].items() for feature in survey["features"])
    assert {image_and_text(body)[1] for body in worker.requests} == {f"{CONTEXT} {PROMPT}"}
    file, name = tmp_path / "answers.gpkg", survey["survey"]["id"]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{base}{SURVEYS}/{name}/features?format=gpkg") as response,
    ):
        file.write_bytes(await response.read())
    frame = geopandas.read_file(file)
    assert str(frame["datetime"].dtype).startswith("datetime64")
    assert set(frame["orbit_state"]) == {"ascending"}
    assert set(frame["pixel_spacing_range"]) == {10.0}


async def test_processes_accept_items(base: str) -> None:
    """OGC API Processes accepts an Item by URL, by reference or as an input by value, and returns its metadata."""
    inline = item({"vv": VV, "vh": "s3://scenes/stac/vh.tif"})
    qualified = {"value": inline, "mediaType": "application/geo+json"}
    for image in (ITEM, {"href": ITEM, "type": "application/geo+json"}, inline, qualified):
        inputs = {"image": image, "asset": "vv", "question": HOW_MANY, "context": True}
        status, collection = await post(base, "/processes/vqa/execution", {"inputs": inputs})
        assert status == 200, collection
        (feature,) = collection["features"]
        assert feature["properties"].items() >= (ACQUISITION | {"polarizations": "VV"}).items()
    wrong: list[tuple[Any, str]] = [({"type": "Feature"}, "stac_version"), (7, "image: ")]
    for image, reason in wrong:
        status, problem = await post(
            base, "/processes/vqa/execution", {"inputs": {"image": image, "question": HOW_MANY}}
        )
        assert status == 400, problem
        assert reason in problem["detail"]


async def test_grpc_accepts_items(settings: Settings) -> None:
    """The typed service accepts an Item by URL or as bytes, and returns acquisition metadata."""
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
            fields = MessageToDict(answer.acquisition, preserving_proto_field_name=True)
            assert fields == ACQUISITION | {"relative_orbit": "132"}
