"""Questions and captions over ``sarlens.v1``."""

from __future__ import annotations

from typing import Any, cast

import grpc.aio
import numpy as np
import pytest

from sarlens.api.grpc.v1 import sar_pb2, sar_pb2_grpc
from support.gateway import grpc_gateway
from support.georeferenced_scenes import geotiff, sea
from support.pictures import PNG
from support.workers.chat_replies import completion
from support.workers.fake_worker import fake_worker

SHIPS, COUNT = "Are there any ships in the image?", "How many ships are in the image?"


async def test_captions_and_renderings_are_typed() -> None:
    """sarlens.v1 has captions and render parameters; an unknown enum or a window outside is INVALID_ARGUMENT."""
    async with (
        fake_worker() as fake,
        grpc_gateway(fake.url) as addresses,
        grpc.aio.insecure_channel(addresses.rpc) as channel,
    ):
        stub = sar_pb2_grpc.SarStub(channel)
        image = sar_pb2.Image(data=PNG)
        image.render.window.width, image.render.window.height = 32, 16
        image.render.filter, image.render.preset = sar_pb2.FILTER_NONE, sar_pb2.PRESET_PLAIN
        image.render.bands.add(number=1)
        image.render.size = 16
        answer = (await stub.Caption(sar_pb2.CaptionRequest(image=image, style=sar_pb2.STYLE_COMPLEX))).answer
        assert answer.finding.text
        assert answer.application == sar_pb2.APPLICATION_IMAGE_DESCRIPTION
        assert "in detail" in fake.bodies[-1].decode()
        for wrong in (
            sar_pb2.Render(filter=cast("Any", 99)),
            sar_pb2.Render(window=sar_pb2.Window(width=999, height=1)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as rejected:
                await stub.Caption(sar_pb2.CaptionRequest(image=sar_pb2.Image(data=PNG, render=wrong)))
            assert rejected.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as rejected:
            await stub.Vqa(sar_pb2.VqaRequest(questions=[sar_pb2.Question(question=SHIPS)]))
        assert rejected.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_one_question_of_many_may_fail() -> None:
    """A question that the worker rejects has an error in its answer; others are answered, with a second opinion."""
    scene = geotiff(sea(256, 256, np.array([(60, 60), (200, 180)])))
    questions = [sar_pb2.Question(question=SHIPS, id="a"), sar_pb2.Question(question=COUNT, id="b")]
    request = sar_pb2.VqaRequest(image=sar_pb2.Image(data=scene), questions=questions)
    request.second_opinion = sar_pb2.DETECTOR_CFAR
    async with (
        fake_worker(says=lambda body: "" if COUNT in str(body) else "Yes") as fake,
        grpc_gateway(fake.url) as addresses,
        grpc.aio.insecure_channel(addresses.rpc) as channel,
    ):
        first, second = (await sar_pb2_grpc.SarStub(channel).Vqa(request)).answers
    assert (first.id, first.finding.value.boolean) == ("a", True)
    assert (first.cfar_targets, first.cfar_agrees) == (2, True)
    assert (second.id, second.error.code) == ("b", "bad_request")
    assert not second.HasField("cfar_agrees")


async def test_a_finding_says_how_it_ended() -> None:
    """A cut-off answer has no value, and a refusal and reasoning have fields of their own."""
    request = sar_pb2.VqaRequest(image=sar_pb2.Image(data=PNG), questions=[sar_pb2.Question(question=COUNT)])
    async with (
        fake_worker() as fake,
        grpc_gateway(fake.url) as addresses,
        grpc.aio.insecure_channel(addresses.rpc) as channel,
    ):
        stub = sar_pb2_grpc.SarStub(channel)
        fake.fails_with = completion({"content": "<think>Hm.</think>12"}, "length")
        cut_off = (await stub.Vqa(request)).answers[0].finding
        fake.fails_with = completion({"content": None, "refusal": "No."})
        refused = (await stub.Vqa(request)).answers[0].finding
    assert (cut_off.text, cut_off.finish_reason, cut_off.reasoning) == ("12", "length", "Hm.")
    assert (refused.text, refused.finish_reason, refused.refusal) == ("", "stop", "No.")
    unset = [(cut_off, "value"), (cut_off, "refusal"), (refused, "value"), (refused, "reasoning")]
    assert [finding.HasField(name) for finding, name in unset] == [False] * 4
