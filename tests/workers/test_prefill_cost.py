"""The cost of an image to prefill, learned from response times."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.workers.prefill_cost import DEFAULT_REQUESTS_PER_IMAGE, PIXELS_PER_IMAGE, PrefillCost


def learn(
    cost: PrefillCost, fixed_s: float, request_s: float, image_s: float, count: int, *, stream: bool = False
) -> None:
    """Observe responses of a worker with 1 to 12 requests in flight; 12 % of them have an image, and 2 % take 30 x."""
    rng = random.Random(5)
    for _ in range(count):
        requests, images = rng.randint(1, 12), int(rng.random() < 0.12) + int(rng.random() < 0.12)
        seconds = (fixed_s + request_s * requests + image_s * images) * rng.lognormvariate(0, 0.2)
        seconds *= 30 if rng.random() < 0.02 else 1
        cost.observe(requests, images * PIXELS_PER_IMAGE, seconds, stream=stream)


def test_the_cost_begins_with_the_measured_one() -> None:
    """Before the first response, 65,536 pixels cost 6.5 requests, in proportion to the pixels."""
    cost = PrefillCost()
    assert cost.requests_per_image == DEFAULT_REQUESTS_PER_IMAGE == 6.5
    assert cost.of(PIXELS_PER_IMAGE // 2) == 3.25


@pytest.mark.parametrize(("image_s", "truth"), [(0.0, 0.0), (0.008, 2.0), (0.04, 10.0), (0.08, 20.0)])
@pytest.mark.parametrize("fixed_s", [0.0, 0.03])
def test_the_cost_is_the_ratio_of_the_delays(fixed_s: float, image_s: float, truth: float) -> None:
    """The cost is the delay by an image over that by a request, within 25 % or 1.5 requests, at any fixed time."""
    cost = PrefillCost()
    learn(cost, fixed_s, 0.004, image_s, 600)
    assert cost.requests_per_image == pytest.approx(truth, rel=0.25, abs=1.5)


def test_the_unit_of_time_does_not_matter() -> None:
    """A worker that is a thousand times slower has the same cost."""
    fast, slow = PrefillCost(), PrefillCost()
    learn(fast, 0.01, 0.004, 0.04, 300)
    learn(slow, 10.0, 4.0, 40.0, 300)
    assert slow.requests_per_image == pytest.approx(fast.requests_per_image)


def test_streams_and_whole_responses_are_compared_with_their_own_kind() -> None:
    """Whole responses that take 2 s longer than the beginning of a stream don't change the cost of 10 requests."""
    cost, rng = PrefillCost(), random.Random(2)
    for _ in range(800):
        requests, images, stream = rng.randint(1, 12), int(rng.random() < 0.2), rng.random() < 0.5
        seconds = 0.01 + 0.004 * requests + 0.04 * images
        cost.observe(requests, images * PIXELS_PER_IMAGE, seconds if stream else 2 + 50 * seconds, stream=stream)
    assert cost.requests_per_image == pytest.approx(10.0, rel=0.2)


def test_a_change_of_the_worker_is_learned() -> None:
    """After 2,000 responses at 10 requests an image, 1,000 at 2 move the cost to 2."""
    cost = PrefillCost()
    learn(cost, 0.01, 0.004, 0.04, 2000)
    learn(cost, 0.01, 0.004, 0.008, 1000)
    assert cost.requests_per_image == pytest.approx(2.0, abs=0.7)


def test_a_few_outliers_change_little() -> None:
    """Three responses after an hour, among 300 regular ones, move the cost by less than 20 %."""
    cost = PrefillCost()
    learn(cost, 0.01, 0.004, 0.04, 300)
    before = cost.requests_per_image
    for _ in range(3):
        cost.observe(1, 0, 3600.0, stream=False)
    assert cost.requests_per_image == pytest.approx(before, rel=0.2)


@given(
    responses=st.lists(
        st.tuples(st.floats(1, 1e4), st.integers(0, 2**31), st.floats(0, 1e6), st.booleans()), max_size=60
    )
)
def test_the_cost_is_bounded(responses: list[tuple[float, int, float, bool]]) -> None:
    """Whatever is observed, an image costs 0.25 to 32 requests."""
    cost = PrefillCost()
    for requests, pixels, seconds, stream in responses:
        cost.observe(requests, pixels, seconds, stream=stream)
        assert 0.25 <= cost.requests_per_image <= 32


def test_a_worker_that_is_never_busy_keeps_the_default() -> None:
    """If all responses take 150 ms whatever the worker has to do, an image costs 4 to 9 requests."""
    cost = PrefillCost()
    for number in range(200):
        cost.observe(number % 60, (number % 50 == 0) * PIXELS_PER_IMAGE, 0.15, stream=False)
        assert 4 <= cost.requests_per_image <= 9
