"""OpenAPI document of the gateway: what FastAPI derives, plus the routes and details that it doesn't know."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sarlens.types.render_params import RenderParams

_DESCRIPTION = """\
Questions about radar images, answered by vision-language models on vLLM workers.

If the gateway has API keys, send one as `Authorization: Bearer KEY`. `X-Request-Id` names the request; the response
repeats it. `X-Request-Deadline` is a time in seconds since 1970 after which the gateway cancels the request with 408.
"""

_QUESTION = "How many ships are in the image?"
_CHAT_EXAMPLE = {
    "model": "sarlens-nano",
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "image_url",
                    "image_url": {"url": "s3://scenes/port.tif", "sar": {"window": [0, 0, 512, 512]}},
                },
                {"type": "text", "text": _QUESTION},
            ],
        }
    ],
}
_INFER_EXAMPLE = {
    "inputs": [
        {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["s3://scenes/port.tif"]},
        {"name": "question", "datatype": "BYTES", "shape": [1], "data": [_QUESTION]},
    ]
}
_GENERATE_EXAMPLE = {"text_input": _QUESTION, "image": "s3://scenes/port.tif", "parameters": {"max_tokens": 16}}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "/v1/sar/vqa": {"image": "s3://scenes/port.tif", "questions": [_QUESTION]},
    "/v1/sar/captions": {"image": "s3://scenes/port.tif"},
    "/v1/sar/surveys": {"image": "s3://scenes/port.tif", "questions": [_QUESTION]},
    "/processes/{}/execution": {"inputs": {"image": "s3://scenes/port.tif", "question": _QUESTION}},
    "/v2/models/{}/infer": _INFER_EXAMPLE,
    "/v2/models/{}/versions/1/infer": _INFER_EXAMPLE,
    "/v2/models/{}/generate": _GENERATE_EXAMPLE,
    "/v2/models/{}/generate_stream": _GENERATE_EXAMPLE,
}
"""Request body of each route, with ``{}`` for a path parameter."""

_GEOJSON, _SEQUENCE = "application/geo+json", "application/geo+json-seq"
_MEDIA_TYPES: dict[str, tuple[str, ...]] = {
    "get /metrics": ("text/plain", "application/openmetrics-text"),
    "post /v1/chat/completions": ("application/json", "text/event-stream"),
    "post /v1/completions": ("application/json", "text/event-stream"),
    "get /v1/sar/picture": ("image/png",),
    "post /v1/sar/vqa": ("application/json", "application/x-ndjson"),
    "post /v1/sar/surveys": (_GEOJSON, _SEQUENCE),
    "get /v1/sar/surveys/{}/features": (
        _GEOJSON,
        _SEQUENCE,
        "application/geopackage+sqlite3",
        "application/vnd.apache.parquet",
        "application/flatgeobuf",
        "text/csv",
    ),
    "post /processes/{}/execution": (_GEOJSON, "application/json"),
    "get /jobs/{}/results": (_GEOJSON, "application/json"),
    "get /jobs/{}/results/answers": (_GEOJSON,),
    "get /collections/{}/schema": ("application/schema+json", "text/html"),
    "get /collections/{}/schemas/feature": ("application/schema+json", "text/html"),
    "get /collections/{}/items": (_GEOJSON, "text/html"),
    "get /collections/{}/items/{}": (_GEOJSON, "text/html"),
    "get /v2/health/live": (),
    "get /v2/health/ready": (),
    "get /v2/models/{}/ready": (),
    "get /v2/models/{}/versions/1/ready": (),
    "post /v2/models/{}/generate_stream": ("text/event-stream",),
    "post /v2/models/{}/versions/1/generate_stream": ("text/event-stream",),
    "post /v2/models/{}/infer": ("application/json", "application/octet-stream"),
    "post /v2/models/{}/versions/1/infer": ("application/json", "application/octet-stream"),
}
"""Media types of a successful response. All others answer ``application/json``, or an HTML page too under OGC APIs."""

_OGC = re.compile(r"/(conformance|processes|jobs|collections|$)")
_FORMAT = {
    "name": "f",
    "in": "query",
    "schema": {"type": "string", "enum": ["json", "html"]},
    "description": "Format of the response. Default: as the `Accept` header says",
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string", "enum": ["respond-async"]},
    "description": "`respond-async` returns a job at once",
}
_CREATED = {"201": {"description": "The job, if the request has `Prefer: respond-async`."}}

ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "The request can't be served: the error names what to change."},
    "5XX": {"description": "A store, a worker or the gateway failed: the error names which."},
}
"""Error responses of every route (docs/reference/errors.md)."""


def _object(description: str, **fields: tuple[str, str]) -> dict[str, Any]:
    """Describe an object whose fields are all required, by their type and meaning."""
    properties = {
        name: {"type": ["string", "null"] if kind == "string or null" else kind, "description": meaning}
        for name, (kind, meaning) in fields.items()
    }
    return {"type": "object", "description": description, "required": list(fields), "properties": properties}


_MESSAGE = ("string", "Description of the failure, as a sentence.")
_CODE = ("string", "Code of the error.")
_REQUEST_ID = ("string", "Request id, as in the header `X-Request-Id`.")
_ERRORS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "description": "Error object of the OpenAI API, with the id of the request.",
        "required": ["error"],
        "properties": {
            "error": _object(
                "The error.",
                message=_MESSAGE,
                type=("string", "Kind of the error, as the OpenAI API names it."),
                param=("string or null", "Field of the request that caused the error."),
                code=_CODE,
                request_id=_REQUEST_ID,
            )
        },
    },
    "Problem": _object(
        "Problem details (RFC 9457) of the OGC APIs.",
        type=("string", "URI of the exception in the OGC standard, or `about:blank`."),
        title=("string", "Code of the error."),
        status=("integer", "HTTP status."),
        detail=_MESSAGE,
        code=_CODE,
        instance=("string", "`urn:request:` and the request id."),
    ),
    "InferenceError": _object(
        "Error of the Open Inference Protocol over HTTP.", error=_MESSAGE, code=_CODE, request_id=_REQUEST_ID
    ),
}


def request_body_schema(body: type[BaseModel]) -> dict[str, Any]:
    """Describe a request body that the route parses itself."""
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def document_api(app: FastAPI, *bodies: type[BaseModel]) -> None:
    """Complete the OpenAPI document of an application, with the schemas of the bodies that routes parse themselves."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=_DESCRIPTION,
                routes=app.routes,
            )
            schema["paths"] |= {
                "/v1/chat/completions": _completion(
                    "Answer a chat with text and images.",
                    "Next to the `url` of an `image_url`, a `sar` object (see its schema) sets the render parameters.",
                    _CHAT_EXAMPLE,
                ),
                "/v1/completions": _completion(
                    "Continue a text.",
                    "All other fields are forwarded unchanged.",
                    {"model": "sarlens-nano", "prompt": "Radar"},
                ),
            }
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    _complete(operation, method, path)
            kinds = [(kind, "validation") for kind in (*bodies, RenderParams)]
            _, schemas_of_bodies = models_json_schema(kinds, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
            components = schema.setdefault("components", {})
            schemas = components.setdefault("schemas", {})
            schemas |= {"sar": {"$ref": "#/components/schemas/RenderParams"}, **schemas_of_bodies["$defs"], **_ERRORS}
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{}, {"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(operation: dict[str, Any], method: str, path: str) -> None:
    """Add the media types of the responses, an example, and names that don't depend on those of functions."""
    route = re.sub(r"\{[^}]*\}", "{}", path)
    operation["operationId"] = "_".join([method, *(re.findall(r"\w+", path) or ["landing"])]).lower()
    description = operation.setdefault("description", operation.get("summary", "") + ".")
    operation["summary"] = description.partition("\n")[0].partition(". ")[0].rstrip(".")
    json = ("application/json", "text/html") if _OGC.match(path) and method == "get" else ("application/json",)
    answers = operation["responses"]
    schema = answers.get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    # Schemas of routes that return any JSON say nothing.
    described = {"schema": schema} if "$ref" in schema else {}
    answers["200"] = {
        "description": "Success.",
        "content": dict.fromkeys(_MEDIA_TYPES.get(f"{method} {route}", json), described),
    }
    if "text/html" in answers["200"]["content"]:
        operation.setdefault("parameters", []).append(_FORMAT)
    if route in {"/v1/sar/surveys", "/processes/{}/execution"} and method == "post":
        operation.setdefault("parameters", []).append(_PREFER)
        answers |= _CREATED
    kind, media_type = ("Error", "application/json")
    if _OGC.match(path):
        kind, media_type = ("Problem", "application/problem+json")
    elif path.startswith("/v2"):
        kind = "InferenceError"
    schema = {"schema": {"$ref": f"#/components/schemas/{kind}"}}
    answers |= {
        str(status): {**refusal, "content": {media_type: schema}} for status, refusal in ERROR_RESPONSES.items()
    }
    if method == "post" and route in _EXAMPLES:
        operation["requestBody"]["content"]["application/json"]["example"] = _EXAMPLES[route]


def _completion(summary: str, details: str, example: dict[str, Any]) -> dict[str, Any]:
    return {
        "post": {
            "tags": ["completions"],
            "description": f"{summary}\n\nThe OpenAI protocol with every field that vLLM accepts, except for "
            f"fields that only operators may set. {details}",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
            },
            "responses": dict(ERROR_RESPONSES),
        }
    }
