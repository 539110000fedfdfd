"""Computations of the load tests: the mix of requests, the queues, the plan of a fleet, and the drift check."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from capacity import BEGIN, FILE, PEAK, Plan, Times, satellite_pass, tables, write_into
from drift_check import BOUNDS, Minute, judge
from queue_model import Fleet, Passage, erlang_c, mmc_wait, percentile, poisson, simulate
from sarbench.dataset.counts import PUBLISHED
from sarlens.api.common.schemas import CaptionBody, SurveyBody, VqaBody
from sarlens.prompts.applications import Application
from workload_mix import CAPTIONS, QUESTIONS, QUESTIONS_PER_REQUEST, SURVEYS, VQA, Mix, weights

SCENES = ["s3://scenes/a.tif", "s3://scenes/b.tif"]


def test_questions_have_the_shares_of_the_benchmark() -> None:
    """Each application is as frequent as in SARLANG-1M, captions included."""
    mix, often = Mix("m", SCENES, seed=0), weights()
    questions = Counter(mix.question([256, 512, 256, 256]) for _ in range(20_000))
    for application, question in QUESTIONS.items():
        share = PUBLISHED[application] / (sum(PUBLISHED.values()) - PUBLISHED[Application.IMAGE_DESCRIPTION])
        assert questions[question.format(region=[312, 608, 112, 120])] / 20_000 == pytest.approx(share, abs=0.01), (
            application
        )
    texts = sum(count * QUESTIONS_PER_REQUEST[surface] for surface, count in often.items())
    captions = PUBLISHED[Application.IMAGE_DESCRIPTION] / sum(PUBLISHED.values())
    assert often[CAPTIONS] / texts == pytest.approx(captions, abs=0.002)


@pytest.mark.slow
def test_images_are_popular_by_zipf() -> None:
    """The n-th most popular image has a frequency of 1/n, and all seeds share the most popular ones."""
    first, second = (
        Counter(str(mix.image()) for mix in [Mix("m", SCENES, seed=seed)] for _ in range(40_000)) for seed in (1, 2)
    )
    counts = [count for _, count in first.most_common()]
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.15)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.25)
    assert [image for image, _ in first.most_common(3)] == [image for image, _ in second.most_common(3)]


def test_bodies_of_the_mix_are_valid() -> None:
    """The routes accept every body of the mix."""
    mix = Mix("m", SCENES, seed=0)
    VqaBody.model_validate(mix.body(VQA))
    CaptionBody.model_validate(mix.body(CAPTIONS))
    for _ in range(50):
        survey = SurveyBody.model_validate(mix.body(SURVEYS))
        assert QUESTIONS[Application.REGION_REFERRING] not in [item.question for item in survey.questions]


def passages(fleet: Fleet, rate: float, count: int) -> list[Passage]:
    """Simulate Poisson arrivals; return the passages without the first tenth."""
    return list(simulate(fleet, poisson(lambda _: rate, rate, count / rate)))[count // 10 :]


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (4, 0.8), (16, 0.9)])
def test_the_simulation_agrees_with_erlang(servers: int, load: float) -> None:
    """With exponential service times, the fraction of waiting requests and their waits agree with Erlang's formulas."""
    fleet = Fleet(0, 1, lambda _: 0.0, lambda rng: rng.expovariate(1.0), slots=servers)
    waits = [passage.waited for passage in passages(fleet, load * servers, 60_000)]
    waiting = erlang_c(servers, load * servers)
    assert sum(wait > 1e-9 for wait in waits) / len(waits) == pytest.approx(waiting, abs=0.03)
    assert statistics.fmean(waits) == pytest.approx(waiting / (servers * (1 - load)), rel=0.12)
    assert percentile(waits, 0.99) == pytest.approx(mmc_wait(servers, load * servers, 1.0, 0.99), rel=0.12)


@pytest.mark.slow
def test_the_simulation_agrees_with_pollaczek_and_khinchine() -> None:
    """With constant service times, the mean wait for a core is half of that with exponential ones."""
    fleet = Fleet(1, 1, lambda _: 1.0, lambda _: 0.0, slots=1)
    waits = [passage.waited for passage in passages(fleet, 0.8, 60_000)]
    assert statistics.fmean(waits) == pytest.approx(0.8 / (2 * 0.2), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [lambda _: 1.0, lambda rng: rng.expovariate(1.0)], ids=["equal", "by chance"])
def test_a_shared_worker_is_slowed_by_its_load_alone(draw: object) -> None:
    """In a worker that all requests share, the mean duration is 1/(1 - load) times the service time."""
    assert callable(draw)
    fleet = Fleet(0, 1, lambda _: 0.0, draw, slots=10_000, speed=lambda n: 1 / n)
    durations = [passage.took for passage in passages(fleet, 0.7, 60_000)]
    assert statistics.fmean(durations) == pytest.approx(1 / 0.3, rel=0.1)


@pytest.mark.slow
def test_larger_fleets_wait_less() -> None:
    """At the same load per worker, the mean wait falls from one worker to two, and from two to sixteen."""
    waits = []
    for workers in (1, 2, 16):
        fleet = Fleet(1, workers, lambda _: 0.001, lambda rng: rng.expovariate(1.0))
        waits.append(statistics.fmean(passage.waited for passage in passages(fleet, 0.8 * workers, 20_000)))
    assert all(fewer > 1.5 * more for fewer, more in pairwise(waits))


def test_arrivals_follow_the_day() -> None:
    """Requests arrive at the rate of the hour."""
    times = list(poisson(lambda t: 100 * (1 - math.cos(2 * math.pi * t / 240)), 200, 240, seed=3))
    hours = Counter(int(time // 80) for time in times)
    assert hours[1] / hours[0] == pytest.approx((1 + 3 * math.sqrt(3) / (2 * math.pi)) / 0.587, rel=0.1)
    assert len(times) == pytest.approx(24_000, rel=0.03)


def test_the_page_has_the_measured_figures() -> None:
    """docs/explanation/capacity.md holds every line that follows from service_times.json."""
    page = (Path(__file__).parents[1] / "docs/explanation/capacity.md").read_text()
    for line in tables(Times.read(json.loads(FILE.read_text())), PEAK):
        assert f"    {line}\n" in page


def test_figures_are_replaced_between_the_marks(tmp_path: Path) -> None:
    """New figures replace the old ones between the marks, and the rest of the page is unchanged."""
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- figures -->\n\n    old\n\n<!-- end of figures -->\n\nafter\n")
    write_into(page, ["new", "", "newer"])
    once = page.read_text()
    assert once == f"before\n\n{BEGIN}\n\n    new\n\n    newer\n\n<!-- end of figures -->\n\nafter\n"
    write_into(page, ["new", "", "newer"])
    assert page.read_text() == once


def test_a_plan_leaves_spare_capacity() -> None:
    """A plan has the fewest workers and cores that serve the peak at 70 %, with the ranking of those workers."""
    times = Times(
        {"new image of 512": 50.0},
        {512: {"reads": 3.0, "bytes": 6e5}},
        [40.0],
        {1: 40.0, 8: 25.0},
        5.0,
        {100: 1.0},
        0.3,
    )
    plan = Plan(8.64e6, 512, 2.0, times)
    assert plan.peak_rate == 200
    assert plan.workers == 8
    assert plan.gateway_ms == pytest.approx(50.08)
    assert plan.cores == 15
    assert (times.answer_ms(1), times.answer_ms(4.5), times.answer_ms(20)) == (40.0, 32.5, 25.0)


def soaked(**per_minute: float) -> list[Minute]:
    """Return an hour of a soak with noise, in which columns grow by ``per_minute``."""
    noise = random.Random(0)
    steady = {"rss_mb": 200.0, "fds": 60.0, "threads": 20.0, "p50_ms": 40.0, "p99_ms": 200.0}
    return [
        {"minute": minute, "asked": 1000, "failed": 0}
        | {name: value * noise.uniform(0.97, 1.03) + per_minute.get(name, 0) * minute for name, value in steady.items()}
        for minute in range(1, 61)
    ]


def test_a_steady_soak_is_flat() -> None:
    """Noise, a few slow minutes, and growth while caches fill don't fail a soak."""
    rows = soaked()
    for minute in (30, 45, 59):
        rows[minute] = {**rows[minute], "p99_ms": 3000.0}
    for minute in range(10):
        rows[minute] = {**rows[minute], "rss_mb": 100.0}
    assert judge(rows)[1], judge(rows)[0]


@pytest.mark.parametrize("name", BOUNDS)
def test_a_growing_column_fails_the_soak(name: str) -> None:
    """Each column that grows by more than its bound fails the soak and is named."""
    rows = soaked(**{name: 1.3 * BOUNDS[name] * soaked()[0][name] / 50})
    lines, flat = judge(rows)
    assert not flat
    assert [line.split()[0] for line in lines if "NOT FLAT" in line] == [name]


def test_a_failed_request_fails_the_soak() -> None:
    """A soak fails if a request fails, if it is too short, or if it has no responses."""
    rows = soaked()
    rows[7] = {**rows[7], "failed": 1}
    assert not judge(rows)[1]
    assert not judge(soaked()[:1])[1]
    assert not judge([{**row, "p99_ms": math.nan} for row in soaked()])[1]


@pytest.mark.slow
def test_gateways_that_share_workers_wait_longer() -> None:
    """Behind eight gateways requests wait longer than behind one, because each gateway knows the others by reports."""
    waits = []
    for routers in (1, 8):
        fleet = Fleet(8, 8, lambda _: 0.0001, lambda rng: rng.expovariate(1.0), routers=routers)
        waits.append(statistics.fmean(passage.waited for passage in passages(fleet, 0.7 * 8, 4_000)))
    assert 1.3 * waits[0] < waits[1] < 6 * waits[0]


def test_a_worker_curve_replaces_the_measured_one() -> None:
    """The duration of an answer and the capacity follow the curve, and a curve without a single answer is refused."""
    measured = Times.read(json.loads(FILE.read_text()))
    times = measured.with_curve({"ms": {"1": 180, "8": 40, "64": 10}})
    assert times.per_worker == 100
    assert statistics.fmean(times.alone) == pytest.approx(180)
    assert (times.answer_ms(1), times.answer_ms(36), times.answer_ms(500)) == (180, 25, 10)
    assert times.fleet(1, 1).slots == 64
    assert times.fleet(1, 1).speed(64) == pytest.approx(180 / 10 / 64)
    for curve in ({"8": 40}, {"1": 0}, {"0": 5, "1": 4}):
        with pytest.raises(ValueError, match="worker curve"):
            measured.with_curve({"ms": curve})


@pytest.mark.slow
def test_a_pass_is_answered_faster_by_more_workers() -> None:
    """6,000 images in 120 s exceed two workers and not four: two need longer, four answer as the images arrive."""
    plan = Plan(1e6, 512, PEAK, Times.read(json.loads(FILE.read_text())))
    wait_s, last_s = satellite_pass(plan, 2)
    assert wait_s > 5
    assert last_s == pytest.approx((6000 + 120 * 1e6 / 86_400) / (2 * plan.times.per_worker), rel=0.1)
    wait_s, last_s = satellite_pass(plan, 4)
    assert wait_s < 1
    assert last_s < 121
