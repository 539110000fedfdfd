"""A profile: prompts, defaults of rendering, and the answer in a text."""

from __future__ import annotations

from time import process_time

import pytest

from sarlens.profiles.profile import ModelProfile, Prompts
from sarlens.prompts.applications import CATEGORIES_PREFIX, Application
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import DEFAULT_RENDER, RenderParams

REGION = "What is the object present in the area [1, 2, 3, 4]?"


def test_prompts_by_application() -> None:
    """An application without a prompt has that of questions; lists of classes come first, and only once."""
    prompts = Prompts(question="Q: {question}", instance_counting="[count] {question}")
    assert prompts.for_question(" How many ships? ", Application.INSTANCE_COUNTING) == "[count] How many ships?"
    assert prompts.for_question(REGION, Application.REGION_REFERRING) == f"Q: {CATEGORIES_PREFIX} {REGION}"
    own = f"The classes are: sea, land. {REGION}"
    assert prompts.for_question(own, Application.REGION_REFERRING) == f"Q: {own}"
    assert prompts.for_question("Describe {question}", Application.IMAGE_DESCRIPTION) == "Describe {question}"
    without = prompts.model_copy(update={"class_lists": False})
    assert without.for_question(REGION, Application.REGION_REFERRING) == f"Q: {REGION}"
    assert (Prompts(concise="One.").for_caption("concise"), Prompts(complex="More.").for_caption("complex")) == (
        "One.",
        "More.",
    )


def test_rendering_defaults_give_way_to_the_caller() -> None:
    """Only parameters that the caller left out have the profile's value, also the second time."""
    profile = ModelProfile(render=RenderParams(preset="plain", bands=("VH",), stretch=(1, 99)))
    request = ImageRequest("s3://a/b.tif", RenderParams(bands=("VV",), size=64))
    merged = profile.image_request(request)
    assert merged.render is not None
    assert (merged.render.preset, merged.render.bands, merged.render.stretch) == ("plain", ("VV",), (1, 99))
    assert merged.render.size == 64
    assert profile.image_request(merged) == merged
    plain = ImageRequest("s3://a/b.tif")
    assert ModelProfile().image_request(plain) is plain
    assert profile.image_request(plain).render == profile.render
    rendered = ImageRequest(b"", profile.rendered_params(64))
    assert profile.image_request(rendered) == rendered
    assert rendered.render == DEFAULT_RENDER.model_copy(update={"size": 64})


@pytest.mark.parametrize(
    ("text", "answer"), [("Reasons. Answer: ship.", "ship"), ("ship", "ship"), ("Answer: .", "Answer: .")]
)
def test_the_answer_in_a_text(text: str, answer: str) -> None:
    """The group of the pattern is the answer; a text that doesn't match stays."""
    profile = ModelProfile(answer_pattern=r"Answer: (\w+)")
    assert profile.answer_in(text) == answer
    assert ModelProfile().answer_in(text) == text


def test_a_pattern_takes_bounded_time() -> None:
    """A pattern with quadratic steps searches the end of a long text only, which has the answer of a model."""
    profile = ModelProfile(answer_pattern=r".*Answer: (\w+)")
    started_at = process_time()
    assert profile.answer_in("x" * 1_000_000) == "x" * 1_000_000
    assert process_time() - started_at < 2
    assert profile.answer_in("x" * 1_000_000 + "Answer: ship") == "ship"
