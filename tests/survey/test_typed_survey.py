"""``sarlens.v1.Sar/Survey``: the survey of REST with typed messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from sarlens.seaweed import free_port
from sarlens.settings import GrpcSettings, Settings
from sarlens.v1 import sar_pb2 as pb
from sarlens.v1 import sar_pb2_grpc
from stack.fake_worker import FakeWorker
from stack.gateway import gateway
from survey.conftest import TILE
from survey.test_surveys import HOW_MANY, SURVEYS, body, call, over


@pytest.fixture
async def ports(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """Addresses of one gateway: REST, and gRPC."""
    port = free_port()
    async with gateway(settings.model_copy(update={"grpc": GrpcSettings(port=port)})) as url:
        yield url, f"127.0.0.1:{port}"


def asked(scene: str, **more: Any) -> pb.SurveyRequest:
    """The survey that ``body`` asks for over REST."""
    render = pb.Render(filter=pb.FILTER_NONE, stretch=pb.Stretch(low=2, high=100))
    questions = [pb.Question(question=HOW_MANY)]
    return pb.SurveyRequest(image=pb.Image(url=scene, render=render), questions=questions, **({"tile": TILE} | more))


async def test_a_typed_survey_is_that_of_rest(ports: tuple[str, str], scene: str) -> None:
    """It tells its tiles first, then every answer of REST once, with its value, window, footprint and confidence."""
    url, rpc = ports
    status, told, _ = await call("POST", url + SURVEYS, body(scene))
    assert status == 200
    wanted = {each["properties"]["tile"]: each for each in told["features"]}
    async with grpc.aio.insecure_channel(rpc) as channel:
        begun, *answers = [each async for each in sar_pb2_grpc.SarStub(channel).Survey(asked(scene))]
    assert begun.begun.tiles == told["survey"]["tiles"]
    assert sorted(each.answer.tile for each in answers) == sorted(wanted)
    for each in answers:
        said = wanted[each.answer.tile]["properties"]
        answer, window = each.answer.answer, each.answer.window
        assert answer.finding.value.integer == said["value"]
        assert (answer.model, answer.radiometry, answer.question) == (said["model"], "relative", HOW_MANY)
        assert answer.application == pb.APPLICATION_INSTANCE_COUNTING
        assert [window.col, window.row, window.width, window.height] == [
            said[name] for name in ("col", "row", "width", "height")
        ]
        assert json.loads(each.answer.footprint) == wanted[each.answer.tile]["geometry"]
        assert each.answer.HasField("confidence") == (said["confidence"] is not None)


async def test_who_leaves_dismisses_a_typed_survey(ports: tuple[str, str], scene: str, worker: FakeWorker) -> None:
    """A cancelled stream ends the survey, and workers are asked no more."""
    url, rpc = ports
    worker.pause_s = 0.2
    async with grpc.aio.insecure_channel(rpc) as channel:
        stream = sar_pb2_grpc.SarStub(channel).Survey(asked(scene, tile=64))
        first = await stream.read()
        stream.cancel()
    assert (await over(url, first.begun.survey))["status"] == "dismissed"
    async with asyncio.timeout(30):
        while worker.running:
            await asyncio.sleep(0.02)
    before = len(worker.bodies)
    await asyncio.sleep(0.5)
    assert len(worker.bodies) == before


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ({"tile": 1}, grpc.StatusCode.INVALID_ARGUMENT, "tile"),
        ({"overlap": TILE}, grpc.StatusCode.INVALID_ARGUMENT, "overlap"),
        ({"questions": []}, grpc.StatusCode.INVALID_ARGUMENT, "questions"),
        ({"image": pb.Image(data=b"II*")}, grpc.StatusCode.INVALID_ARGUMENT, "again and again"),
        ({"image": pb.Image(url="s3://scenes/none.tif")}, grpc.StatusCode.NOT_FOUND, "none.tif"),
    ],
)
async def test_a_wrong_survey_has_a_code(
    ports: tuple[str, str], scene: str, more: dict[str, Any], code: grpc.StatusCode, said: str
) -> None:
    """What is wrong with a survey ends the call with the code of the table, and a sentence."""
    request = asked(scene, **{name: value for name, value in more.items() if name not in {"questions", "image"}})
    if "questions" in more:
        del request.questions[:]
    if "image" in more:
        request.image.CopyFrom(more["image"])
    async with grpc.aio.insecure_channel(ports[1]) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match=said) as raised:
            _ = [each async for each in sar_pb2_grpc.SarStub(channel).Survey(request)]
    assert raised.value.code() is code
