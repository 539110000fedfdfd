"""Process inputs as OpenAPI 3.0 schemas."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from sarlens.api.ogc.inputs import CaptionInputs, EchoInputs, SurveyInputs, VqaInputs
from sarlens.api.ogc.openapi30 import input_descriptions


class Nested(BaseModel):
    """An object."""

    kind: Literal["point"]
    position: tuple[float, float]


class Example(BaseModel):
    """One input of each kind."""

    required: Annotated[str, Field(description="A text.", json_schema_extra={"maxOccurs": 8})]
    optional: Annotated[int | None, Field(description="A number.")] = 3
    nested: Nested | None = None
    either: int | str | None = None


def test_inputs_are_described() -> None:
    """Each input has title, description, occurrences and a schema without references or null."""
    inputs = input_descriptions(Example)
    assert inputs["required"] == {
        "title": "required",
        "description": "A text.",
        "schema": {"type": "string"},
        "minOccurs": 1,
        "maxOccurs": 8,
    }
    assert inputs["optional"] == {
        "title": "optional",
        "description": "A number.",
        "schema": {"type": "integer"},
        "minOccurs": 0,
        "maxOccurs": 1,
    }
    assert inputs["either"]["schema"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    nested = inputs["nested"]["schema"]
    assert nested["properties"]["kind"] == {"enum": ["point"], "title": "Kind", "type": "string"}
    position = nested["properties"]["position"]
    assert (position["type"], position["items"]) == ("array", {"type": "number"})
    assert (position["minItems"], position["maxItems"]) == (2, 2)


@pytest.mark.parametrize("model_cls", [VqaInputs, CaptionInputs, SurveyInputs, EchoInputs])
def test_schemas_have_only_keywords_of_openapi(model_cls: type[BaseModel]) -> None:
    """No schema of a process has $ref, $defs, prefixItems, const or the type null."""

    def keywords(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(keywords, value))
        if not isinstance(value, dict):
            return set()
        assert value.get("type") != "null"
        return set(value) | set().union(*map(keywords, value.values()))

    assert not keywords(input_descriptions(model_cls)) & {"$ref", "$defs", "prefixItems", "const"}
