"""The metrics log of a training."""

from __future__ import annotations

from pathlib import Path

from sarbench.train.metrics_log import CURVES_FILE, MetricsLog, plot_curves, read_metrics


def test_records_after_the_last_step_are_removed(tmp_path: Path) -> None:
    """Opening the log removes records after the last step and a truncated line."""
    progress = MetricsLog(tmp_path, 0)
    for step in (50, 100, 150):
        progress.write(step=step, loss=1.0, objects=2.0, accuracy={"overall": 0.5})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 2')
    MetricsLog(tmp_path, 100)
    assert [line["step"] for line in read_metrics(tmp_path)] == [50, 100]
    plot_curves(tmp_path)
    assert (tmp_path / CURVES_FILE).read_bytes().startswith(b"\x89PNG")
