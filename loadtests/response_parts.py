"""Times within the responses of a Locust run: to the first token or feature, and per token.

They are no requests, so they have a table of their own. Locust's report counts requests only.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from locust import events
from locust.stats import RequestStats, StatsEntry

TTFT, PER_TOKEN, FIRST_FEATURE = "TTFT", "per token", "first feature"
PARTS = RequestStats(use_response_times_cache=False)
"""Times by measure and surface."""


def record_part(measure: str, surface: str, seconds: float) -> None:
    """Record a time within a response of ``surface``."""
    PARTS.log_request(measure, surface, round(1000 * seconds), 0)


def _report(client_id: str, data: dict[str, Any]) -> None:
    """Send the times within responses from a Locust worker to the master."""
    data["parts"] = [entry.get_stripped_report() for entry in PARTS.entries.values() if entry.num_requests]


def _merge(client_id: str, data: dict[str, Any]) -> None:
    for part in data.get("parts", ()):
        entry = StatsEntry.unserialize(part, PARTS)
        PARTS.get(entry.name, entry.method).extend(entry)


events.report_to_master.add_listener(_report)
events.worker_report.add_listener(_merge)


def _rows() -> list[dict[str, Any]]:
    """Return a row with number and percentiles, in milliseconds, for each measure and surface."""
    return [
        {"Measure": entry.method, "Name": entry.name, "Count": entry.num_requests}
        | {f"p{percent}": round(entry.get_response_time_percentile(percent / 100) or 0) for percent in (50, 95, 99)}
        for entry in sorted(PARTS.entries.values(), key=lambda entry: entry.method)
    ]


def write_parts(csv_prefix: str | None) -> None:
    """Print the rows, and write them to a CSV file next to those of Locust."""
    rows = _rows()
    if rows:
        print(f"\n{'Within responses, ms':<36} {'count':>7} {'p50':>7} {'p95':>7} {'p99':>7}")
    for row in rows:
        print("{Measure:<13} {Name:<22} {Count:>7} {p50:>7} {p95:>7} {p99:>7}".format(**row))
    if rows and csv_prefix:
        with Path(f"{csv_prefix}_parts.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
