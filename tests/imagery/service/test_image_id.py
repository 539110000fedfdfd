"""Image ids."""

from __future__ import annotations

import hmac
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.imagery.service.image_id import image_id, worker_image_id
from sarlens.types.render_params import RenderParams

VERSION = "sha256:ab"


def test_an_id_is_the_same_on_every_machine() -> None:
    """The id is a constant: a change of the id's definition must change this test and the revision."""
    assert image_id(VERSION, RenderParams(), 448) == "b7b20cadfc11d288bc07ed3737e035a637a804474fbc58bfe94454fa1a0075c7"


def test_an_id_is_the_same_in_another_process() -> None:
    """No state of a process, such as its hash seed, is part of an id."""
    program = (
        "from sarlens.imagery.service.image_id import image_id\n"
        "from sarlens.types.render_params import RenderParams\n"
        f"print(image_id({VERSION!r}, RenderParams(bands=('VV', 2), window=(1, 2, 3, 4)), 224))"
    )
    ids = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert ids == {image_id(VERSION, RenderParams(bands=("VV", 2), window=(1, 2, 3, 4)), 224)}


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
        ({}, {"asset": "vv"}),
    ],
)
def test_equal_requests_have_equal_ids(one: dict[str, Any], other: dict[str, Any]) -> None:
    """A default and its value have the same id."""
    assert image_id(VERSION, RenderParams.model_validate(one), 448) == image_id(
        VERSION, RenderParams.model_validate(other), 448
    )


REQUESTS = st.builds(
    lambda version, render, size: (version, RenderParams(**render), size),
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


@given(REQUESTS, REQUESTS)
def test_different_requests_have_different_ids(
    one: tuple[str, RenderParams, int], other: tuple[str, RenderParams, int]
) -> None:
    """Two requests share an id exactly if version, parameters and size are equal."""

    def identity(version: str, render: RenderParams, size: int) -> object:
        params = (render.window, render.bands, render.speckle_filter, render.scale, render.stretch)
        return version, params, render.size or size

    assert (image_id(*one) == image_id(*other)) == (identity(*one) == identity(*other))


def test_the_id_at_workers_depends_on_the_secret_and_the_tenant() -> None:
    """It is the HMAC-SHA-256 of tenant, newline and id, and never the id that callers see."""
    ids = [worker_image_id(b"0123456789abcdef", "ab", tenant) for tenant in ("", "tenant-1", "tenant-2")]
    assert ids == [
        hmac.new(b"0123456789abcdef", message, "sha256").hexdigest()
        for message in (b"\nab", b"tenant-1\nab", b"tenant-2\nab")
    ]
    assert len({"ab", *ids, worker_image_id(b"another-secret-16", "ab", "")}) == 5
