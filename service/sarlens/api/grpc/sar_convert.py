"""Conversion of ``sarlens.v1`` messages: requests to REST bodies, results and features to answers."""

from __future__ import annotations

from typing import Any

import orjson

from sarlens.api.common.schemas import TaskRequest
from sarlens.api.common.task_service import TaskResult
from sarlens.api.grpc.v1 import sar_pb2 as pb
from sarlens.chat.query import parse_render_query
from sarlens.errors import BadRequest, SarlensError
from sarlens.prompts.answer_types import Value
from sarlens.surveys.columns import value_of


def vqa_to_rest_body(request: pb.VqaRequest | pb.SurveyRequest) -> dict[str, Any]:
    """Return the equivalent REST body.

    Raises:
        BadRequest: a field is invalid.
    """
    questions = [
        {"question": question.question, **_enum_value(question, "application"), **_set_fields(question, "id")}
        for question in request.questions
    ]
    body = _common(request) | _set_fields(request, "max_tokens", "temperature", "seed") | {"questions": questions}
    body |= _enum_value(request, "second_opinion")
    if request.HasField("cfar"):
        body["cfar"] = _set_fields(request.cfar, "pfa", "guard", "training", "min_pixels")
    return body


def caption_to_rest_body(request: pb.CaptionRequest) -> dict[str, Any]:
    """Return the equivalent REST body.

    Raises:
        BadRequest: a field is invalid.
    """
    return _common(request) | _enum_value(request, "style")


def survey_to_rest_body(request: pb.SurveyRequest) -> dict[str, Any]:
    """Return the equivalent REST body.

    Raises:
        BadRequest: a field is invalid.
    """
    body = vqa_to_rest_body(request) | _set_fields(request, "tile", "overlap")
    for name in ("objects", "gate"):
        body |= _enum_value(request, name)
    return body


def _common(request: pb.VqaRequest | pb.CaptionRequest | pb.SurveyRequest) -> dict[str, Any]:
    image = request.image
    if image.WhichOneof("source") is None:
        raise BadRequest("image needs a url or data.", param="image")
    if image.more_urls and not image.HasField("url"):
        raise BadRequest("image.more_urls requires a url.", param="image")
    # ``with_bytes`` replaces the empty URL after validation.
    url = image.url if image.HasField("url") else "data:,"
    body: dict[str, Any] = {"image": {"url": [url, *image.more_urls] if image.more_urls else url}}
    if image.HasField("render"):
        body["image"]["sar"] = _render(image.render)
    body["context"] = request.context
    return body | ({"model": request.model} if request.model else {})


def with_bytes(task_request: TaskRequest, image: pb.Image) -> TaskRequest:
    """Return the request with the image's bytes as its location, if the message has bytes."""
    return task_request._replace(location=image.data) if image.HasField("data") else task_request


def _render(message: pb.Render) -> dict[str, Any]:
    """Return the equivalent ``sar`` object."""
    sar = _set_fields(message, "size", "asset", "swath", "nodata", "enlarge") | _region(message)
    for name in ("preset", "filter", "scale", "calibration", "noise", "orient", "boxes", "bursts"):
        sar |= _enum_value(message, name)
    if message.HasField("looks"):
        sar["looks"] = [message.looks.across, message.looks.down]
    if message.HasField("stretch"):
        sar["stretch"] = [message.stretch.low, message.stretch.high]
    if message.bands:
        sar["bands"] = [band.name if band.HasField("name") else band.number for band in message.bands]
    return sar


def _region(message: pb.Render) -> dict[str, Any]:
    """Return the fields of the ``sar`` object that select a region."""
    region: dict[str, Any] = {}
    if message.HasField("window"):
        window = message.window
        region["window"] = [window.col, window.row, window.width, window.height]
    if message.HasField("bbox"):
        box = message.bbox
        region["bbox"] = [box.west, box.south, box.east, box.north]
        if box.HasField("crs"):
            region["bbox_crs"] = box.crs
    if message.HasField("polygon"):
        region |= parse_render_query({"polygon": message.polygon})
    return region


def _set_fields(message: Any, *names: str) -> dict[str, Any]:
    """Return the optional fields that are set."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def _enum_value(message: Any, name: str) -> dict[str, str]:
    """Return an enum value by its REST name, or nothing if the field is unset.

    Raises:
        BadRequest: the enum has no such number.
    """
    enum_type, number = message.DESCRIPTOR.fields_by_name[name].enum_type, getattr(message, name)
    if number == 0:
        return {}
    if number not in enum_type.values_by_number:
        raise BadRequest(f"{name} has no value {number}.", param=name)
    return {name: enum_type.values_by_number[number].name.removeprefix(f"{enum_type.name.upper()}_").lower()}


def to_answer(result: TaskResult) -> pb.Answer:
    """Convert a task result."""
    answer = pb.Answer(
        index=result.index,
        id=result.task.id,
        question=result.task.question,
        application=_application(result.task.application),
        model=result.image.model,
        image_id=result.image.id,
        radiometry=result.image.radiometry,
        cfar_targets=result.image.targets,
        cfar_agrees=result.agrees,
    )
    if result.image.acquisition is not None:
        answer.acquisition.MergeFrom(pb.Acquisition(**result.image.acquisition.as_document))
    if isinstance(result.outcome, SarlensError):
        answer.error.code, answer.error.message = result.outcome.code, result.outcome.message
        return answer
    usage = result.outcome.usage or {}
    finding = answer.finding
    finding.text, finding.total_ms = result.outcome.text, round(1000 * result.total_s, 1)
    finding.finish_reason = result.outcome.finish_reason or ""
    for name in ("refusal", "reasoning"):
        if (text := getattr(result.outcome, name)) is not None:
            setattr(finding, name, text)
    finding.usage.prompt_tokens = usage.get("prompt_tokens", 0)
    finding.usage.completion_tokens = usage.get("completion_tokens", 0)
    _set_value(finding, result.task.answer_type.type, result.value)
    finding.boxes.extend(pb.Box(**box._asdict()) for box in result.boxes)
    if result.position_on_map is not None:
        finding.value.position_on_map = result.position_on_map
    return answer


def to_tile_answer(feature: dict[str, Any]) -> pb.TileAnswer:
    """Convert a survey's feature."""
    properties = feature["properties"]
    counts = {name: properties.get(name) for name in ("cfar_targets", "cfar_agrees", "objects")}
    tile = pb.TileAnswer(tile=properties["tile"], confidence=properties["confidence"], **counts)
    if properties["col"] is not None:
        tile.window.MergeFrom(pb.Window(**{name: properties[name] for name in ("col", "row", "width", "height")}))
    if feature["geometry"] is not None:
        tile.footprint = orjson.dumps(feature["geometry"]).decode()
    answer = tile.answer
    answer.index, answer.question = int(feature["id"].rpartition(".")[2]), properties["question"]
    answer.application = _application(properties["application"])
    answer.model, answer.radiometry = properties["model"], properties["radiometry"]
    if "question_id" in properties:
        answer.id = properties["question_id"]
    if "error" in properties:
        answer.error.code, answer.error.message = properties["error"], properties["error_message"]
    else:
        answer.finding.text = properties["answer"]
        answer.finding.finish_reason = properties.get("finish_reason") or ""
        if "refusal" in properties:
            answer.finding.refusal = properties["refusal"]
        _set_value(answer.finding, properties["type"], value_of(properties))
        if properties.get("position_on_map") is not None:
            answer.finding.value.position_on_map = properties["position_on_map"]
    return tile


def to_survey_object(feature: dict[str, Any]) -> pb.SurveyObject:
    """Convert an object of a survey."""
    properties = feature["properties"]
    longitude, latitude = feature["geometry"]["coordinates"]
    names = ("score", "source", "col", "row", "width", "height", "length_m", "contrast_db", "tile", "image_id")
    return pb.SurveyObject(
        id=feature["id"],
        class_name=properties["class"],
        longitude=longitude,
        latitude=latitude,
        question=properties["question"],
        **{name: properties[name] for name in names},
    )


def _application(name: str) -> pb.Application:
    application: pb.Application = pb.Application.Value(f"APPLICATION_{name.upper()}")
    return application


def _set_value(finding: pb.Finding, value_type: str, value: Value) -> None:
    """Set the typed value of an answer, if it has one."""
    if value is not None:
        # Fields are named for the types, except that ``class`` is a keyword in Python.
        setattr(finding.value, "class_name" if value_type == "class" else value_type, value)
