"""The rate sweep measures goodput, finds the knee of a gateway, and compares two results."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

import compare_sweeps
import local_stack
import rate_sweep
from harness import mock_worker
from sweep_results import Sample, Step, compare, describe, knee, parse_objectives, percentiles, summarize
from workload_mix import CAPTIONS, CHAT, RPC, SURVEYS, VQA, Mix

OBJECTIVES = {"ttft": 500.0, "e2e": 2000.0}


def step(rate: float, good: int, requests: int = 100) -> Step:
    """Return a step of 10 s of which only the given numbers matter."""
    return Step(rate, requests, requests, good, 10.0, 0.0, 0.0, 0.0, {}, {}, {}, [])


def test_objectives_are_in_milliseconds() -> None:
    """``ttft:500`` and ``e2e:1.5`` are parsed, and an unknown measure is refused with the form to use."""
    assert parse_objectives(["ttft:500", "e2e:1.5"]) == {"ttft": 500.0, "e2e": 1.5}
    for word in ("p99:3", "ttft", "ttft:", "ttft:-1", "e2e:1.2.3"):
        with pytest.raises(ValueError, match="write ttft:500"):
            parse_objectives([word])


@pytest.mark.parametrize(
    ("sample", "good"),
    [
        (Sample(CHAT, 0, 0, e2e_ms=2000, ttft_ms=500), True),
        (Sample(CHAT, 0, 0, e2e_ms=2000, ttft_ms=501), False),
        (Sample(CHAT, 0, 0, e2e_ms=2001, ttft_ms=500), False),
        (Sample(VQA, 0, 0, e2e_ms=1999), True),
        (Sample(VQA, 0, 0, e2e_ms=1, error="queue_full"), False),
        (Sample(CHAT, 0, 0, e2e_ms=10, ttft_ms=5, tpot_ms=9999), True),
    ],
)
def test_a_good_response_meets_each_objective_of_its_surface(sample: Sample, good: bool) -> None:
    """An objective is met up to its value, and applies only to what the surface measures. A failure is never good."""
    assert sample.meets(OBJECTIVES) is good


def test_percentiles_are_nearest_ranks() -> None:
    """The percentiles of 1 to 200 are 100, 180, 190 and 198; a single value is all of them."""
    assert percentiles([*range(200, 0, -1)]) == {"p50": 100, "p90": 180, "p95": 190, "p99": 198}
    assert percentiles([7.0]) == {"p50": 7, "p90": 7, "p95": 7, "p99": 7}
    assert percentiles([]) == {}


def test_a_step_counts_failures_but_measures_answers() -> None:
    """Failures are in the counts and by code, but not in the percentiles; images are split into new and known."""
    samples = [
        Sample(CHAT, 0.5, 1, e2e_ms=100, ttft_ms=40, tpot_ms=10, tokens=6, is_new=True),
        Sample(CHAT, 6.0, 2, e2e_ms=3000, ttft_ms=50, tokens=4),
        Sample(VQA, 6.5, 3, e2e_ms=1, error="queue_full"),
    ]
    result = summarize(0.3, 10.0, samples, OBJECTIVES, client_cpu=0.5)
    assert (result.requests, result.answered, result.good) == (3, 2, 1)
    assert result.goodput == pytest.approx(0.1)
    assert result.good_ratio == pytest.approx(1 / 3)
    assert result.tokens_per_s == 1.0
    assert result.errors == {"queue_full": 1}
    assert result.late_p99_ms == 3
    assert result.surfaces[CHAT]["e2e_ms"]["p99"] == 3000
    assert result.surfaces[VQA] == {"requests": 1, "failed": 1}
    assert result.images["new"]["e2e_ms"]["p50"] == 100
    assert result.images["known"]["requests"] == 2
    assert [interval["from_s"] for interval in result.over_time] == [0, 5]
    assert [interval[CHAT]["requests"] for interval in result.over_time] == [1, 1]
    assert describe([]) == {"requests": 0, "failed": 0}


def test_the_knee_is_below_the_first_rate_that_is_too_high() -> None:
    """A higher rate that happens to be good again doesn't move the knee."""
    steps = [step(8, 95), step(2, 100), step(4, 90), step(6, 89)]
    assert knee(steps, 0.9) == 4
    assert knee([step(2, 10)], 0.9) is None


def test_the_search_halves_the_interval_of_the_knee() -> None:
    """With a capacity of 21 requests a second, the search doubles from 2 to 32 and halves to 20, 22 and 21."""
    asked: list[float] = []

    async def measure(rate: float) -> Step:
        asked.append(rate)
        return step(rate, 100 if rate <= 21 else 10)

    asyncio.run(rate_sweep.search(measure, 2.0, 0.9, halvings=4))
    assert asked == [2, 4, 8, 16, 32, 24, 20, 22, 21]


def test_a_loss_of_goodput_is_a_verdict() -> None:
    """A knee or a goodput that falls by more than the tolerated loss is reported; other settings are noted."""
    before = {"machine": "a", "settings": {"side": 256}, "knee": 10.0, "steps": [{"rate": 5.0, "goodput": 5.0}]}
    after = before | {"settings": {"side": 448}, "knee": 9.5, "steps": [{"rate": 5.0, "goodput": 4.0}]}
    lines, losses = compare(before, after, 0.1)
    assert losses == ["goodput at 5/s fell by 20.0%, more than 10%"]
    assert lines[0] == "note: settings differs: {'side': 256} and {'side': 448}"
    assert compare(before, before, 0.0)[1] == []
    assert compare(before, before | {"knee": None}, 0.1)[1] == ["knee, requests/s fell by 100.0%, more than 10%"]


def test_the_first_request_about_an_image_is_new() -> None:
    """Each window is new once on all surfaces together, and a survey's scene is an image of its own."""
    mix = Mix("m", ["s3://scenes/a.tif"], seed=1)
    new = sum(mix.is_new(body) for body in (mix.body(surface) for _ in range(1500) for surface in (VQA, CHAT)))
    windows = (1 + (512 - 256) // 32) ** 2
    assert 0.9 * windows <= new <= windows
    assert sum(mix.is_new(mix.rpc()) for _ in range(2000)) <= windows - new
    assert [mix.is_new(mix.body(SURVEYS)) for _ in range(2)] == [True, False]


def test_the_side_of_the_windows_is_a_parameter() -> None:
    """Windows of 384 pixels stay within the scene of 512."""
    mix = Mix("m", ["s3://scenes/a.tif"], seed=1, side=384)
    windows = [mix.body(CAPTIONS)["image"]["sar"]["window"] for _ in range(100)]
    assert {(width, height) for _, _, width, height in windows} == {(384, 384)}
    assert max(max(col, row) for col, row, _, _ in windows) == 512 - 384


@pytest.mark.slow
def test_a_sweep_measures_each_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sweep over two rates writes each step with its surfaces, and a comparison with itself finds no loss."""
    monkeypatch.setattr(local_stack, "vllm_worker", lambda start, name, _: mock_worker(start, name))
    options = ["--rates", "5,10", "--seconds", "4", "--warm-up-s", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["rate_sweep.py", *options, "--goodput", "ttft:60000", "e2e:60000"])
    rate_sweep.main()
    document = json.loads((tmp_path / "sweep.json").read_text())
    assert [step["rate"] for step in document["steps"]] == [5, 10]
    assert document["knee"] == 10
    assert document["settings"]["goodput"] == ["ttft:60000", "e2e:60000"]
    for result in document["steps"]:
        assert result["errors"] == {}
        assert result["requests"] == result["good"] == pytest.approx(4 * result["rate"], rel=0.5)
        assert sum(surface["requests"] for surface in result["surfaces"].values()) == result["requests"]
    surfaces = document["steps"][1]["surfaces"]
    assert surfaces.keys() <= {CHAT, VQA, CAPTIONS, SURVEYS, RPC}
    assert 0 < surfaces[CHAT]["ttft_ms"]["p50"] <= surfaces[CHAT]["e2e_ms"]["p50"]
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
    assert "Knee: 10 requests a second meet" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["compare_sweeps.py", *[str(tmp_path / "sweep.json")] * 2])
    assert compare_sweeps.main() == 0
