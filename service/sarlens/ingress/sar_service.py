"""``sarlens.v1.Sar``: the task routes of REST, with typed messages."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from sarlens.admission.memory import Memory
from sarlens.chat import sar_from_text
from sarlens.errors import BadRequest, TooLarge
from sarlens.ingress.bodies import Assignment, CaptionBody, VqaBody, validated
from sarlens.ingress.calls import Calls
from sarlens.ingress.items import Item, Items
from sarlens.v1 import sar_pb2 as pb
from sarlens.v1 import sar_pb2_grpc

_ROUTE = "/sarlens.v1.Sar/"


class SarService(sar_pb2_grpc.SarServicer):
    """Translates messages to the bodies of REST, and items to messages."""

    def __init__(self, items: Items, calls: Calls, memory: Memory, *, max_questions: int) -> None:
        self._items = items
        self._calls = calls
        self._memory = memory
        self._max_questions = max_questions

    async def Vqa(self, request: pb.VqaRequest, context: Any) -> pb.VqaResponse:  # noqa: N802  the protocol's names
        """Answer questions about one image, all at the same time."""
        async with self._calls.call(context, _ROUTE + "Vqa") as caller:
            arrived = perf_counter()
            if len(request.questions) > self._max_questions:
                raise TooLarge(f"A request may hold at most {self._max_questions} questions.", param="questions")
            with self._memory.holding() as holding:
                holding.grow(request.ByteSize())
                asked = validated(VqaBody, _vqa(request)).assignment
                items = await self._items.of(_with_bytes(asked, request.image), caller, arrived)
                found = sorted([item async for item in items], key=lambda item: int(item["index"]))
            return pb.VqaResponse(answers=[_answer(item) for item in found])

    async def Caption(self, request: pb.CaptionRequest, context: Any) -> pb.CaptionResponse:  # noqa: N802
        """Describe one image: in one sentence, or in detail."""
        async with self._calls.call(context, _ROUTE + "Caption") as caller:
            arrived = perf_counter()
            with self._memory.holding() as holding:
                holding.grow(request.ByteSize())
                asked = validated(CaptionBody, _common(request) | _chosen(request, "style")).assignment
                items = await self._items.of(_with_bytes(asked, request.image), caller, arrived)
                (answer,) = [_answer(item) async for item in items]
            return pb.CaptionResponse(answer=answer)


def _vqa(request: pb.VqaRequest) -> dict[str, Any]:
    """The body of REST that says the same."""
    questions = [
        {"question": each.question, **_chosen(each, "application"), **_given(each, "id")} for each in request.questions
    ]
    return _common(request) | _given(request, "max_tokens", "temperature", "seed") | {"questions": questions}


def _common(request: pb.VqaRequest | pb.CaptionRequest) -> dict[str, Any]:
    image = request.image
    if image.WhichOneof("source") is None:
        raise BadRequest("image needs a url or data.", param="image")
    # Bytes are put in its place when the rest is known to be right.
    url = image.url if image.HasField("url") else "data:,"
    given: dict[str, Any] = {"image": {"url": url}}
    if image.HasField("render"):
        given["image"]["sar"] = _render(image.render)
    given["context"] = request.context
    return given | ({"model": request.model} if request.model else {})


def _with_bytes(asked: Assignment, image: pb.Image) -> Assignment:
    return asked._replace(place=image.data) if image.HasField("data") else asked


def _render(given: pb.Render) -> dict[str, Any]:
    """The ``sar`` object that says the same."""
    sar = _given(given, "size", "asset", "swath") | _part(given)
    for name in ("preset", "filter", "scale", "calibration"):
        sar |= _chosen(given, name)
    if given.HasField("looks"):
        sar["looks"] = [given.looks.across, given.looks.down]
    if given.HasField("stretch"):
        sar["stretch"] = [given.stretch.low, given.stretch.high]
    if given.bands:
        sar["bands"] = [band.name if band.HasField("name") else band.number for band in given.bands]
    return sar


def _part(given: pb.Render) -> dict[str, Any]:
    """The part of the image that is shown."""
    part: dict[str, Any] = {}
    if given.HasField("window"):
        window = given.window
        part["window"] = [window.col, window.row, window.width, window.height]
    if given.HasField("bbox"):
        box = given.bbox
        part["bbox"] = [box.west, box.south, box.east, box.north]
        if box.HasField("crs"):
            part["bbox_crs"] = box.crs
    if given.HasField("polygon"):
        part |= sar_from_text({"polygon": given.polygon})
    return part


def _given(message: Any, *names: str) -> dict[str, Any]:
    """The optional fields that are set."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def _chosen(message: Any, name: str) -> dict[str, str]:
    """An enumeration's value as REST spells it, if one is chosen.

    Raises:
        BadRequest: there is none of that number.
    """
    kind, number = message.DESCRIPTOR.fields_by_name[name].enum_type, getattr(message, name)
    if number == 0:
        return {}
    if number not in kind.values_by_number:
        raise BadRequest(f"{name} has no value {number}.", param=name)
    return {name: kind.values_by_number[number].name.removeprefix(f"{kind.name.upper()}_").lower()}


def _answer(item: Item) -> pb.Answer:
    answer = pb.Answer(
        index=item["index"],
        id=item.get("id"),
        question=item["question"],
        application=pb.Application.Value(f"APPLICATION_{item['application'].upper()}"),
        model=item["model"],
        image_id=item["image"]["id"],
        radiometry=item["image"]["radiometry"],
    )
    if "acquisition" in item["image"]:
        answer.acquisition.MergeFrom(pb.Acquisition(**item["image"]["acquisition"]))
    if "error" in item:
        answer.error.code, answer.error.message = item["error"]["code"], item["error"]["message"]
        return answer
    usage = item["usage"] or {}
    answer.finding.text, answer.finding.total_ms = item["text"], item["timings"]["total_ms"]
    answer.finding.usage.prompt_tokens = usage.get("prompt_tokens", 0)
    answer.finding.usage.completion_tokens = usage.get("completion_tokens", 0)
    kind, value = item["answer"]["type"], item["answer"]["value"]
    if value is not None:
        # The fields are named for the types of values, but for the one that Python could not name.
        setattr(answer.finding.value, "class_name" if kind == "class" else kind, value)
    return answer
