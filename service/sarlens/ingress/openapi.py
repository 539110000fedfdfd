"""What the OpenAPI document says of the routes that FastAPI does not serve."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from sarlens.ingress.bodies import CaptionBody, SurveyBody, VqaBody
from sarlens.request import Render

_EXAMPLE = {
    "model": "sarlens-nano",
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "image_url",
                    "image_url": {"url": "s3://scenes/port.tif", "sar": {"window": [0, 0, 512, 512]}},
                },
                {"type": "text", "text": "How many ships are in the image?"},
            ],
        }
    ],
}

REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What was asked cannot be done: an error that says what to change."},
    "5XX": {"description": "A store, a worker or this gateway failed: an error that says which."},
}
"""What every route may answer instead (docs/errors.md)."""

_, _BODIES = models_json_schema(
    [(kind, "validation") for kind in (VqaBody, CaptionBody, SurveyBody, Render)],
    ref_template="#/components/schemas/{model}",
)


def task_body(body: type[VqaBody | CaptionBody | SurveyBody]) -> dict[str, Any]:
    """What the document says of a body that FastAPI does not read."""
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def document_completions(app: FastAPI) -> None:
    """Add the completion routes and the ``sar`` object to the document of an application."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            schema["paths"] |= {
                "/v1/chat/completions": _operation("Ask about text and images", _EXAMPLE),
                "/v1/completions": _operation("Continue a text", {"model": "sarlens-nano", "prompt": "Radar"}),
            }
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas |= {"sar": {"$ref": "#/components/schemas/Render"}, **_BODIES["$defs"]}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operation(summary: str, example: dict[str, Any]) -> dict[str, Any]:
    return {
        "post": {
            "tags": ["completions"],
            "summary": summary,
            "description": "The OpenAI protocol with every field that vLLM takes; beside the url of an image_url may "
            "stand a `sar` object (see its schema) that says how to render it.",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
            },
            "responses": {
                "200": {"description": "The worker's answer: JSON, or server-sent events where stream is true."},
                **REFUSALS,
            },
        }
    }
