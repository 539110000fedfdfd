"""``sarlens.v1.Sar/Survey``: surveys with typed messages over gRPC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from sarlens.api.grpc.v1 import sar_pb2 as pb
from sarlens.api.grpc.v1 import sar_pb2_grpc
from sarlens.devstack.ports import free_port
from sarlens.settings import GrpcSettings, Settings
from support.gateway import gateway
from support.workers.fake_worker import FakeWorker
from surveys.client import HOW_MANY, SURVEYS, TILE, call, survey_body, wait_until_done


@pytest.fixture
async def ports(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """Base URL and gRPC address of one gateway."""
    port = free_port()
    async with gateway(settings.model_copy(update={"grpc": GrpcSettings(port=port)})) as url:
        yield url, f"127.0.0.1:{port}"


def survey_request(scene: str, **fields: Any) -> pb.SurveyRequest:
    """Return the message of the survey that ``survey_body`` has for REST."""
    render = pb.Render(filter=pb.FILTER_NONE, stretch=pb.Stretch(low=2, high=100))
    questions = [pb.Question(question=HOW_MANY)]
    fields = {"tile": TILE} | fields
    return pb.SurveyRequest(image=pb.Image(url=scene, render=render), questions=questions, **fields)


async def test_grpc_and_rest_have_the_same_answers(ports: tuple[str, str], scene: str) -> None:
    """The stream starts with the number of tiles, and has each answer of REST once."""
    url, rpc = ports
    status, document, _ = await call("POST", url + SURVEYS, survey_body(scene))
    assert status == 200
    features = {feature["properties"]["tile"]: feature for feature in document["features"]}
    async with grpc.aio.insecure_channel(rpc) as channel:
        begun, *responses = [response async for response in sar_pb2_grpc.SarStub(channel).Survey(survey_request(scene))]
    assert begun.begun.tiles == document["survey"]["tiles"] == 30
    assert (begun.begun.tile, begun.begun.reduction) == (document["survey"]["tile"], document["survey"]["reduction"])
    assert sorted(response.answer.tile for response in responses) == sorted(features)
    for response in responses:
        feature = features[response.answer.tile]
        properties = feature["properties"]
        answer, window = response.answer.answer, response.answer.window
        assert answer.finding.value.integer == properties["count"]
        assert (answer.model, answer.radiometry, answer.question) == (properties["model"], "relative", HOW_MANY)
        assert answer.application == pb.APPLICATION_INSTANCE_COUNTING
        assert [window.col, window.row, window.width, window.height] == [
            properties[name] for name in ("col", "row", "width", "height")
        ]
        assert json.loads(response.answer.footprint) == feature["geometry"]
        assert response.answer.HasField("confidence") == (properties["confidence"] is not None)


async def test_a_canceled_stream_dismisses_its_survey(ports: tuple[str, str], scene: str, worker: FakeWorker) -> None:
    """A canceled stream dismisses the survey, and the worker gets no more tiles."""
    url, rpc = ports
    worker.pause_s = 0.2
    async with grpc.aio.insecure_channel(rpc) as channel:
        stream = sar_pb2_grpc.SarStub(channel).Survey(survey_request(scene, tile=64))
        first = await stream.read()
        stream.cancel()
    assert (await wait_until_done(url, first.begun.survey))["status"] == "dismissed"
    async with asyncio.timeout(30):
        while worker.running:
            await asyncio.sleep(0.02)
    sent = len(worker.bodies)
    await asyncio.sleep(0.5)
    assert len(worker.bodies) == sent


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"tile": 1}, grpc.StatusCode.INVALID_ARGUMENT, "tile"),
        ({"overlap": TILE}, grpc.StatusCode.INVALID_ARGUMENT, "overlap"),
        ({"questions": []}, grpc.StatusCode.INVALID_ARGUMENT, "questions"),
        ({"image": pb.Image(data=b"II*")}, grpc.StatusCode.INVALID_ARGUMENT, "s3:// or https:"),
        ({"image": pb.Image(url="s3://scenes/none.tif")}, grpc.StatusCode.NOT_FOUND, "none.tif"),
    ],
)
async def test_an_invalid_survey_has_a_code(
    ports: tuple[str, str], scene: str, fields: dict[str, Any], code: grpc.StatusCode, message: str
) -> None:
    """An invalid survey ends the call with the gRPC status of its error."""
    request = survey_request(
        scene, **{name: value for name, value in fields.items() if name not in {"questions", "image"}}
    )
    if "questions" in fields:
        del request.questions[:]
    if "image" in fields:
        request.image.CopyFrom(fields["image"])
    async with grpc.aio.insecure_channel(ports[1]) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match=message) as raised:
            _ = [response async for response in sar_pb2_grpc.SarStub(channel).Survey(request)]
    assert raised.value.code() is code


async def test_objects_come_last(ports: tuple[str, str], scene: str) -> None:
    """With ``objects``, gate and second opinion, answers have counts, and the objects of REST follow them."""
    url, rpc = ports
    fields = {"objects": "confirmed", "gate": "cfar", "second_opinion": "cfar", "cfar": {"pfa": 1e-9, "min_pixels": 4}}
    _, document, _ = await call("POST", url + SURVEYS, survey_body(scene, **fields))
    options = {"objects": pb.OBJECTS_CONFIRMED, "gate": pb.DETECTOR_CFAR, "second_opinion": pb.DETECTOR_CFAR}
    request = survey_request(scene, **options, cfar=pb.Cfar(pfa=1e-9, min_pixels=4))
    async with grpc.aio.insecure_channel(rpc) as channel:
        _, *responses = [response async for response in sar_pb2_grpc.SarStub(channel).Survey(request)]
    answers = [response.answer for response in responses if response.HasField("answer")]
    assert len(answers) == document["survey"]["answered"] < document["survey"]["tiles"]
    assert all(answer.cfar_targets >= answer.objects > 0 for answer in answers)
    found = {response.object.col: response.object for response in responses[len(answers) :]}
    assert len(found) == len(document["objects"]["features"]) == 5
    for feature in document["objects"]["features"]:
        properties = feature["properties"]
        message = found[properties["col"]]
        assert [message.longitude, message.latitude] == feature["geometry"]["coordinates"]
        assert (message.class_name, message.source, message.row) == ("ship", "both", properties["row"])
        assert (message.length_m, message.image_id) == (properties["length_m"], properties["image_id"])
        assert message.score == properties["score"] == 0.75
