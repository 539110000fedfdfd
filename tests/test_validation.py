"""The first failure of a validation, as a field and a sentence."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sarlens.validation import BoundedModel, InvalidField, at_most


class Inner(BaseModel):
    """A part with a rule of its own."""

    model_config = ConfigDict(extra="forbid")

    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self) -> Inner:
        if self.low > self.high:
            raise ValueError("low is at most high")
        return self


class Outer(BaseModel):
    """A document."""

    parts: list[Inner] = []
    size: Annotated[int, Field(ge=16)] = 16


def first(document: object, *parents: str) -> InvalidField:
    """The first failure of a document."""
    with pytest.raises(ValidationError) as raised:
        Outer.model_validate(document)
    return InvalidField.first(raised.value, *parents)


def test_a_field_is_named_by_its_path() -> None:
    """The name has all steps from the root, indexes included, and the sentence what is wrong."""
    field = first({"parts": [{}, {"low": "secret"}]})
    assert field.path == ("parts", "1", "low")
    assert field.name == "parts.1.low"
    assert field.describe("The body") == (
        "parts.1.low: Input should be a valid integer, unable to parse string as an integer"
    )


def test_only_the_first_failure_is_told() -> None:
    """Of several failures the first one is described, without the value that was sent."""
    field = first({"parts": ["secret"], "size": 1})
    assert field.name == "parts.0"
    assert "secret" not in field.describe("The body")


def test_rules_of_models_are_sentences_of_their_own() -> None:
    """The message of a rule comes without pydantic's prefix."""
    assert first({"parts": [{"low": 2}]}).describe("The body") == "parts.0: low is at most high"


def test_the_whole_document_has_no_name() -> None:
    """A document of another type is described by the given name, and has no parameter."""
    field = first(5)
    assert (field.name, field.path) == (None, ())
    assert field.describe("The body").startswith("The body: Input should be")


def test_parents_come_first() -> None:
    """A part of a larger document is named from that document's root."""
    assert first({"size": 1}, "messages[0]", "sar").describe("x") == (
        "messages[0].sar.size: Input should be greater than or equal to 16"
    )


def test_foreign_names_are_cut() -> None:
    """A field that the client invented is named by its first 64 characters."""
    assert first({"parts": [{"x" * 100: 1}]}).path == ("parts", "0", "x" * 64)


def test_fastapis_details_are_read_too() -> None:
    """One entry of errors() is enough, as FastAPI's RequestValidationError has them."""
    details = {"loc": ("limit",), "msg": "Value error, too large", "type": "value_error"}
    assert InvalidField.from_details(details) == (("limit",), "too large", "value_error")


class Wide(BoundedModel):
    """A document with a bounded list."""

    model_config = ConfigDict(extra="forbid")

    numbers: Annotated[tuple[int, ...], at_most(100)] = ()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({f"k{index}": 1 for index in range(65)}, "the document: there are 65 fields; the limit is 64"),
        ({"numbers": ["a"] * 101}, "numbers: there are 101 elements; the limit is 100"),
    ],
)
def test_wide_documents_have_one_error(document: object, message: str) -> None:
    """A document with too many fields or elements has one error instead of one for each of them."""
    with pytest.raises(ValidationError) as raised:
        Wide.model_validate(document)
    assert raised.value.error_count() == 1
    assert InvalidField.first(raised.value).describe("the document") == message


class Square(BaseModel):
    """A member of a union."""

    type: Literal["square"]
    side: int = Field(ge=0)


class Point(BaseModel):
    """Another member of it."""

    type: Literal["point"]


class Body(BaseModel):
    """A document with a union of texts, objects and lists."""

    area: str | Annotated[Square | Point, Field(discriminator="type")] | list[Square]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"area": {"type": "square", "side": -1}}, "area.side"),
        ({"area": {"type": "square"}}, "area.side"),
        ({"area": {"type": "circle"}}, "area"),
        ({"area": [{"type": "square", "side": "x"}]}, "area.0.side"),
        ({"area": 5}, "area"),
        ({}, "area"),
    ],
)
def test_a_path_has_no_members_of_unions(value: object, path: str) -> None:
    """The path to an invalid field has only fields and indexes of the document."""

    with pytest.raises(ValidationError) as error:
        Body.model_validate(value)
    assert InvalidField.first(error.value, document=value).name == path
