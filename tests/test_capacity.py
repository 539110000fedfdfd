"""What the load tests compute: the mix of requests, queues, the plan of a fleet, and whether a soak was flat."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from capacity import BEGIN, FILE, PEAK, Plan, Times, tables, write_into
from flatness import BOUNDS, Minute, judge
from mix import ASKED, CAPTIONS, QUESTIONS, SURVEYS, VQA, Mix, weights
from queue_model import Fleet, Passage, erlang_c, mmc_wait, percentile, poisson, simulate
from sarbench.dataset.census import PUBLISHED
from sarlens.ingress.bodies import CaptionBody, SurveyBody, VqaBody
from sarlens.prompts.applications import Application

SCENES = ["s3://scenes/a.tif", "s3://scenes/b.tif"]


def test_questions_have_the_shares_of_the_benchmark() -> None:
    """Each application is asked for as often as SARLANG-1M has it, captions among all texts included."""
    mix, often = Mix("m", SCENES, seed=0), weights()
    asked = Counter(mix.question() for _ in range(20_000))
    for application, question in QUESTIONS.items():
        share = PUBLISHED[application] / (sum(PUBLISHED.values()) - PUBLISHED[Application.IMAGE_DESCRIPTION])
        assert asked[question] / 20_000 == pytest.approx(share, abs=0.01), application
    texts = sum(count * ASKED[surface] for surface, count in often.items())
    captions = PUBLISHED[Application.IMAGE_DESCRIPTION] / sum(PUBLISHED.values())
    assert often[CAPTIONS] / texts == pytest.approx(captions, abs=0.002)


def test_images_are_popular_by_zipf() -> None:
    """The image in the n-th place is asked about in proportion to 1/n, whoever asks."""
    first, second = (
        Counter(str(mix.image()) for mix in [Mix("m", SCENES, seed=seed)] for _ in range(40_000)) for seed in (1, 2)
    )
    counts = [count for _, count in first.most_common()]
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.15)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.25)
    assert [image for image, _ in first.most_common(3)] == [image for image, _ in second.most_common(3)]


def test_the_gateway_takes_what_the_mix_asks() -> None:
    """Every body of the mix is one that its route reads."""
    mix = Mix("m", SCENES, seed=0)
    VqaBody.model_validate(mix.body(VQA))
    CaptionBody.model_validate(mix.body(CAPTIONS))
    for _ in range(50):
        survey = SurveyBody.model_validate(mix.body(SURVEYS))
        assert QUESTIONS[Application.REGION_REFERRING] not in [each.question for each in survey.questions]


def passages(fleet: Fleet, rate: float, count: int) -> list[Passage]:
    """Those of requests by chance, without the first tenth."""
    return list(simulate(fleet, poisson(lambda _: rate, rate, count / rate)))[count // 10 :]


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (4, 0.8), (16, 0.9)])
def test_the_simulation_agrees_with_erlang(servers: int, load: float) -> None:
    """Where service times are exponential, as many wait as Erlang says, for as long."""
    fleet = Fleet(0, 1, lambda _: 0.0, lambda choose: choose.expovariate(1.0), slots=servers)
    waits = [each.waited for each in passages(fleet, load * servers, 60_000)]
    part = erlang_c(servers, load * servers)
    assert sum(wait > 1e-9 for wait in waits) / len(waits) == pytest.approx(part, abs=0.03)
    assert statistics.fmean(waits) == pytest.approx(part / (servers * (1 - load)), rel=0.12)
    assert percentile(waits, 0.99) == pytest.approx(mmc_wait(servers, load * servers, 1.0, 0.99), rel=0.12)


def test_the_simulation_agrees_with_pollaczek_and_khinchine() -> None:
    """Where every request takes equally long, the mean wait for a core is half of what it is with chance."""
    fleet = Fleet(1, 1, lambda _: 1.0, lambda _: 0.0, slots=1)
    waits = [each.waited for each in passages(fleet, 0.8, 60_000)]
    assert statistics.fmean(waits) == pytest.approx(0.8 / (2 * 0.2), rel=0.1)


@pytest.mark.parametrize("draw", [lambda _: 1.0, lambda choose: choose.expovariate(1.0)], ids=["equal", "by chance"])
def test_a_shared_worker_is_slowed_by_its_load_alone(draw: object) -> None:
    """A worker that all requests share takes 1/(1 - load) times as long on average, whatever they ask for."""
    assert callable(draw)
    fleet = Fleet(0, 1, lambda _: 0.0, draw, slots=10_000, speed=lambda n: 1 / n)
    took = [each.took for each in passages(fleet, 0.7, 60_000)]
    assert statistics.fmean(took) == pytest.approx(1 / 0.3, rel=0.1)


def test_workers_together_wait_less() -> None:
    """At the same load of each, sixteen workers keep requests waiting less than two, two less than one."""
    waits = []
    for workers in (1, 2, 16):
        fleet = Fleet(1, workers, lambda _: 0.001, lambda choose: choose.expovariate(1.0))
        waits.append(statistics.fmean(each.waited for each in passages(fleet, 0.8 * workers, 20_000)))
    assert all(fewer > 1.5 * more for fewer, more in pairwise(waits))


def test_arrivals_follow_the_day() -> None:
    """Requests come at the rate of the hour."""
    times = list(poisson(lambda t: 100 * (1 - math.cos(2 * math.pi * t / 240)), 200, 240, seed=3))
    hours = Counter(int(time // 80) for time in times)
    assert hours[1] / hours[0] == pytest.approx((1 + 3 * math.sqrt(3) / (2 * math.pi)) / 0.587, rel=0.1)
    assert len(times) == pytest.approx(24_000, rel=0.03)


def test_the_page_has_the_measured_figures() -> None:
    """docs/capacity.md says what service_times.json gives, line by line."""
    page = (Path(__file__).parents[1] / "docs/capacity.md").read_text()
    for line in tables(Times.read(json.loads(FILE.read_text())), PEAK):
        assert f"    {line}\n" in page


def test_a_page_is_renewed_between_its_marks(tmp_path: Path) -> None:
    """New figures take the place of old ones; what stands around them stays, however often that is done."""
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- figures -->\n\n    old\n\n<!-- end of figures -->\n\nafter\n")
    write_into(page, ["new", "", "newer"])
    once = page.read_text()
    assert once == f"before\n\n{BEGIN}\n\n    new\n\n    newer\n\n<!-- end of figures -->\n\nafter\n"
    write_into(page, ["new", "", "newer"])
    assert page.read_text() == once


def test_a_plan_keeps_its_part_of_capacity_free() -> None:
    """Workers and cores are the fewest that carry the peak at 70 %, the ranking of those workers included."""
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
    """An hour of a soak with noise, in which some columns grow by so much each minute."""
    noise = random.Random(0)
    steady = {"rss_mb": 200.0, "fds": 60.0, "threads": 20.0, "p50_ms": 40.0, "p99_ms": 200.0}
    return [
        {"minute": minute, "asked": 1000, "failed": 0}
        | {name: value * noise.uniform(0.97, 1.03) + per_minute.get(name, 0) * minute for name, value in steady.items()}
        for minute in range(1, 61)
    ]


def test_a_steady_soak_is_flat() -> None:
    """Noise is no trend, nor are a few bad minutes, nor what happens while caches fill."""
    rows = soaked()
    for minute in (30, 45, 59):
        rows[minute] = {**rows[minute], "p99_ms": 3000.0}
    for minute in range(10):
        rows[minute] = {**rows[minute], "rss_mb": 100.0}
    assert judge(rows)[1], judge(rows)[0]


@pytest.mark.parametrize("name", BOUNDS)
def test_what_creeps_is_not_flat(name: str) -> None:
    """Each column that grows by more than its bound fails the soak, and is named."""
    rows = soaked(**{name: 1.3 * BOUNDS[name] * soaked()[0][name] / 50})
    lines, flat = judge(rows)
    assert not flat
    assert [line.split()[0] for line in lines if "NOT FLAT" in line] == [name]


def test_a_failure_fails_the_soak() -> None:
    """A soak in which a request was not answered is no success, nor one that is too short to tell, nor a silent one."""
    rows = soaked()
    rows[7] = {**rows[7], "failed": 1}
    assert not judge(rows)[1]
    assert not judge(soaked()[:1])[1]
    assert not judge([{**row, "p99_ms": math.nan} for row in soaked()])[1]
