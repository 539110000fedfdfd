"""The names of pictures."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.imagery.identity import image_id
from sarlens.request import Render

VERSION = "sha256:ab"


def test_an_id_is_the_same_on_every_machine() -> None:
    """The id of a picture is a constant: whoever changes how ids are made has to change this test and the revision."""
    assert image_id(VERSION, Render(), 448) == "22904ae13638d700711d66767518e4e120ba8e66cb6d8b0d2439bc447f5e4e81"


def test_an_id_is_the_same_in_another_process() -> None:
    """Nothing of the running process, such as its hash seed, gets into an id."""
    program = (
        "from sarlens.imagery.identity import image_id\nfrom sarlens.request import Render\n"
        f"print(image_id({VERSION!r}, Render(bands=('VV', 2), window=(1, 2, 3, 4)), 224))"
    )
    ids = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert ids == {image_id(VERSION, Render(bands=("VV", 2), window=(1, 2, 3, 4)), 224)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"filter": "refined_lee"}),
        ({}, {"preset": "sarlang"}),
        ({"preset": "plain"}, {"filter": "none"}),
        ({"filter": "lee"}, {"filter": "lee", "preset": "plain"}),
        ({}, {"size": 448}),
        ({}, {"stretch": [2, 98]}),
        ({"window": [0, 0, 8, 8]}, {"window": (0, 0, 8, 8)}),
    ],
)
def test_equal_asks_have_equal_ids(one: dict[str, Any], other: dict[str, Any]) -> None:
    """What a default means is the same picture as saying it."""
    assert image_id(VERSION, Render.model_validate(one), 448) == image_id(VERSION, Render.model_validate(other), 448)


ASKS = st.builds(
    lambda version, render, size: (version, Render(**render), size),
    st.sampled_from(["sha256:ab", "sha256:cd"]),
    st.fixed_dictionaries(
        {},
        optional={
            "window": st.tuples(*[st.integers(0, 2)] * 4),
            "bands": st.lists(st.sampled_from(["VV", "VH", 1, 2]), min_size=1, max_size=3),
            "filter": st.sampled_from(["lee", "frost"]),
            "scale": st.sampled_from(["db", "linear"]),
            "stretch": st.tuples(st.sampled_from([0, 1.5]), st.sampled_from([98, 99])),
            "size": st.integers(100, 102),
        },
    ),
    st.integers(100, 102),
)


@given(ASKS, ASKS)
def test_different_asks_have_different_ids(one: tuple[str, Render, int], other: tuple[str, Render, int]) -> None:
    """Two asks share an id exactly if version, parameters and size are the same."""

    def meaning(version: str, render: Render, size: int) -> object:
        shown = (render.window, render.bands, render.speckle_filter, render.scale, render.stretch)
        return version, shown, render.size or size

    assert (image_id(*one) == image_id(*other)) == (meaning(*one) == meaning(*other))
