"""The messages of ``sarlens.v1``: requests as the bodies of REST, items and features as answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from sarlens.chat import sar_from_text
from sarlens.errors import BadRequest
from sarlens.ingress.bodies import Assignment
from sarlens.ingress.items import Item
from sarlens.v1 import sar_pb2 as pb


def vqa_body(request: pb.VqaRequest | pb.SurveyRequest) -> dict[str, Any]:
    """The body of REST that asks the same; raises BadRequest where there is none."""
    questions = [
        {"question": each.question, **_chosen(each, "application"), **_given(each, "id")} for each in request.questions
    ]
    return _common(request) | _given(request, "max_tokens", "temperature", "seed") | {"questions": questions}


def caption_body(request: pb.CaptionRequest) -> dict[str, Any]:
    """The body of REST that asks the same; raises BadRequest where there is none."""
    return _common(request) | _chosen(request, "style")


def survey_body(request: pb.SurveyRequest) -> dict[str, Any]:
    """The body of REST that asks the same; raises BadRequest where there is none."""
    return vqa_body(request) | _given(request, "tile", "overlap")


def _common(request: pb.VqaRequest | pb.CaptionRequest | pb.SurveyRequest) -> dict[str, Any]:
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


def with_bytes(asked: Assignment, image: pb.Image) -> Assignment:
    """The same about an image that came as bytes, where it did."""
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


def answer_of(item: Item) -> pb.Answer:
    """The message of an item."""
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
    _set_value(answer.finding, item["answer"])
    return answer


def tile_answer(feature: dict[str, Any]) -> pb.TileAnswer:
    """The message of a survey's feature."""
    said = feature["properties"]
    told = pb.TileAnswer(tile=said["tile"], confidence=said["confidence"])
    if said["col"] is not None:
        told.window.MergeFrom(pb.Window(**{name: said[name] for name in ("col", "row", "width", "height")}))
    if feature["geometry"] is not None:
        told.footprint = orjson.dumps(feature["geometry"]).decode()
    answer = told.answer
    answer.index, answer.question = int(feature["id"].rpartition(".")[2]), said["question"]
    answer.application = pb.Application.Value(f"APPLICATION_{said['application'].upper()}")
    answer.model, answer.radiometry = said["model"], said["radiometry"]
    if "question_id" in said:
        answer.id = said["question_id"]
    if "error" in said:
        answer.error.code, answer.error.message = said["error"], said["error_message"]
    else:
        answer.finding.text = said["answer"]
        _set_value(answer.finding, said)
    return told


def _set_value(finding: pb.Finding, said: Mapping[str, Any]) -> None:
    """The meaning of an answer, if it has one."""
    if said["value"] is not None:
        # The fields are named for the types of values, but for the one that Python could not name.
        setattr(finding.value, "class_name" if said["type"] == "class" else said["type"], said["value"])
