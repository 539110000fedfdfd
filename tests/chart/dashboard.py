"""The Grafana dashboard of the chart, panel by panel; run, it writes the JSON anew."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableHide, VariableRefresh

DASHBOARD = Path(__file__).parents[2] / "helm/sarlens/dashboards/sarlens.json"
_SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
_WIDTH, _HEIGHT = 8, 7


class Query(NamedTuple):
    """A query and the name of its lines. ``@`` stands for the labels that choose an installation."""

    expr: str
    legend: str


class Plot(NamedTuple):
    """A panel: its unit in Grafana's words, what it tells, and its queries."""

    title: str
    unit: str
    tells: str
    queries: tuple[Query, ...]


def rate(metric: str, by: str = "", where: str = "") -> str:
    """The sum of rates of a counter, by some labels."""
    return f"sum by ({by}) (rate({metric}{{@{', ' + where if where else ''}}}[$__rate_interval]))"


def quantiles(metric: str, by: str = "", where: str = "") -> tuple[Query, ...]:
    """The median, the 95th and the 99th percentile of a histogram."""
    return tuple(
        Query(f"histogram_quantile({q}, {rate(metric + '_bucket', ', '.join(filter(None, (by, 'le'))), where)})", name)
        for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def each(metric: str, label: str, where: str = "") -> tuple[Query, ...]:
    """The rates of a counter for each value of a label."""
    return (Query(rate(metric, label, where), f"{{{{{label}}}}}"),)


def share(part: str, whole: str, name: str) -> Query:
    """One rate as a part of another."""
    return Query(f"{part} / {whole}", name)


_ANSWERED = 'outcome=~"answered|gone"'
_WORK = 'route!~"/healthz?|/readyz|/metrics|/v2/health/.*|.*/Server(Live|Ready)"'
_OF_GATEWAYS = "* on (job, instance) group_left() sarlens_build_info{@}"
"""Workers tell of their processes by the same names."""

ROWS: dict[str, tuple[Plot, ...]] = {
    "Is it well": (
        Plot(
            "Requests by outcome",
            "reqps",
            "Failed is any error that is not the caller's own fault.",
            each("sarlens_requests_total", "outcome", _WORK),
        ),
        Plot(
            "Budget burnt: availability",
            "short",
            "How many times faster than the objective of 99.9 % allows. Over 14.4 for an hour wakes somebody.",
            (
                Query("sarlens:failed_requests:ratio_rate1h{@} / 0.001", "1 h"),
                Query("sarlens:failed_requests:ratio_rate6h{@} / 0.001", "6 h"),
                Query("sarlens:failed_requests:ratio_rate3d{@} / 0.001", "3 d"),
            ),
        ),
        Plot(
            "Budget burnt: latency",
            "short",
            "The same for 99 % of requests within 10 s.",
            (
                Query("sarlens:slow_requests:ratio_rate1h{@} / 0.01", "1 h"),
                Query("sarlens:slow_requests:ratio_rate6h{@} / 0.01", "6 h"),
                Query("sarlens:slow_requests:ratio_rate3d{@} / 0.01", "3 d"),
            ),
        ),
        Plot(
            "Errors",
            "reqps",
            "By the codes of docs/errors.md, the eight most frequent.",
            (Query(f"topk(8, {rate('sarlens_errors_total', 'code')})", "{{code}}"),),
        ),
        Plot(
            "Workers",
            "short",
            "Workers that a gateway sees, those that are ready, and those whose breaker is open.",
            (
                Query("count(count by (worker) (sarlens_worker_ready{@}))", "found"),
                Query("sum(max by (worker) (sarlens_worker_ready{@}))", "ready"),
                Query("sum(max by (worker) (sarlens_worker_breaker_open{@}))", "breaker open"),
            ),
        ),
        Plot(
            "Waiting and sent away",
            "short",
            "Requests that wait for a place, and those a second that get none, by reason.",
            (
                Query("sum(sarlens_queued_requests{@})", "waiting"),
                Query(rate("sarlens_shed_requests_total", "reason"), "{{reason}}/s"),
            ),
        ),
    ),
    "How fast": (
        Plot(
            "Duration of requests",
            "s",
            "From the first byte in to the last byte out; of streams, to the last token.",
            quantiles("sarlens_request_duration_seconds", where=f"{_WORK}, {_ANSWERED}"),
        ),
        Plot(
            "Time to first token",
            "s",
            "Of streams, from the request's arrival.",
            quantiles("sarlens_time_to_first_token_seconds"),
        ),
        Plot(
            "Time per output token",
            "s",
            "Of streams, the mean of each answer.",
            quantiles("sarlens_time_per_output_token_seconds"),
        ),
        Plot(
            "Where the time goes",
            "s",
            "The 95th percentile of each stage.",
            (
                Query(
                    f"histogram_quantile(0.95, {rate('sarlens_stage_duration_seconds_bucket', 'stage, le')})",
                    "{{stage}}",
                ),
            ),
        ),
        Plot("Requests by route", "reqps", "", each("sarlens_requests_total", "route")),
        Plot("Tokens", "short", "A second, read and written.", each("sarlens_tokens_total", "kind")),
    ),
    "Images": (
        Plot(
            "Images looked for",
            "ops",
            "Found, or what the store did.",
            (Query(rate("sarlens_source_requests_total", "scheme, result"), "{{scheme}} {{result}}"),),
        ),
        Plot("Bytes fetched", "Bps", "From where images lie.", each("sarlens_fetched_bytes_total", "scheme")),
        Plot(
            "Bytes not sent",
            "Bps",
            "To each worker, since it had the picture.",
            each("sarlens_worker_elided_bytes_total", "worker"),
        ),
        Plot(
            "Hits",
            "percentunit",
            "Questions that met a worker with their image; pictures at hand; images by id that were gone.",
            (
                share(
                    rate("sarlens_worker_affinity_requests_total", where='result="hit"'),
                    rate("sarlens_worker_affinity_requests_total"),
                    "affinity",
                ),
                share(
                    rate("sarlens_picture_cache_requests_total", where='result="hit"'),
                    rate("sarlens_picture_cache_requests_total"),
                    "picture cache",
                ),
                share(
                    rate("sarlens_pictures_sent_total", where='form="missed"'),
                    rate("sarlens_pictures_sent_total", where='form="id"'),
                    "forgotten by workers",
                ),
            ),
        ),
        Plot("Pictures sent", "ops", "As data or by id.", each("sarlens_pictures_sent_total", "form")),
        Plot("Tiles of surveys", "ops", "That are done.", each("sarlens_survey_tiles_total", "ended")),
    ),
    "Workers as the gateway sees them": (
        Plot(
            "In flight",
            "short",
            "Requests that each worker is answering.",
            (Query("sum by (worker) (sarlens_worker_in_flight_requests{@})", "{{worker}}"),),
        ),
        Plot("Failures", "ops", "Those that count for the breaker.", each("sarlens_worker_failures_total", "worker")),
        Plot(
            "Affinity hits of each worker",
            "percentunit",
            "Its answers about pictures that it had.",
            (
                share(
                    rate("sarlens_worker_affinity_requests_total", "worker", 'result="hit"'),
                    rate("sarlens_worker_affinity_requests_total", "worker"),
                    "{{worker}}",
                ),
            ),
        ),
    ),
    "Workers as they see themselves (vLLM)": (
        Plot(
            "Running and waiting",
            "short",
            "Requests inside vLLM.",
            (
                Query("sum by (instance) (vllm:num_requests_running{@})", "{{instance}} running"),
                Query("sum by (instance) (vllm:num_requests_waiting{@})", "{{instance}} waiting"),
            ),
        ),
        Plot(
            "KV-cache in use",
            "percentunit",
            "",
            (Query("max by (instance) (vllm:kv_cache_usage_perc{@})", "{{instance}}"),),
        ),
        Plot(
            "Cache hits",
            "percentunit",
            "Tokens of prompts that were computed before; images that were processed before.",
            (
                share(rate("vllm:prefix_cache_hits_total"), rate("vllm:prefix_cache_queries_total"), "prefix"),
                share(rate("vllm:mm_cache_hits_total"), rate("vllm:mm_cache_queries_total"), "images"),
            ),
        ),
        Plot("Time in vLLM's queue", "s", "", quantiles("vllm:request_queue_time_seconds")),
        Plot(
            "Tokens",
            "short",
            "A second, by worker.",
            (
                Query(rate("vllm:prompt_tokens_total", "instance"), "{{instance}} read"),
                Query(rate("vllm:generation_tokens_total", "instance"), "{{instance}} written"),
            ),
        ),
        Plot(
            "Preemptions",
            "ops",
            "Requests put off for want of KV-cache.",
            each("vllm:num_preemptions_total", "instance"),
        ),
    ),
    "Gateways as processes": (
        Plot(
            "CPU",
            "short",
            "Cores in use. Where a gateway has several processes, see the container's own figures.",
            (Query(f"rate(process_cpu_seconds_total{{@}}[$__rate_interval]) {_OF_GATEWAYS}", "{{instance}}"),),
        ),
        Plot(
            "Memory",
            "bytes",
            "Resident.",
            (Query(f"process_resident_memory_bytes{{@}} {_OF_GATEWAYS}", "{{instance}}"),),
        ),
        Plot(
            "Open files",
            "percentunit",
            "Of those that are allowed.",
            (Query(f"process_open_fds{{@}} / process_max_fds{{@}} {_OF_GATEWAYS}", "{{instance}}"),),
        ),
    ),
}


def built() -> str:
    """The dashboard as JSON."""
    board = (
        dashboard.Dashboard("Sarlens")
        .uid("sarlens")
        .description("Questions about radar images: the gateways, and the vLLM workers behind them.")
        .tags(["sarlens", "vllm"])
        .time("now-3h", "now")
        .refresh("30s")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_namespaces())
    )
    numbers = count(1)
    for title, plots in ROWS.items():
        board = board.with_row(dashboard.Row(title).id(next(numbers)))
        for plot in plots:
            board = board.with_panel(_panel(plot).id(next(numbers)))
    return json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _namespaces() -> dashboard.QueryVariable:
    """Which installations are shown; outside Kubernetes there is no such label, and all are."""
    return (
        dashboard.QueryVariable("namespace")
        .label("Namespace")
        .datasource(_SOURCE)
        .query("label_values(sarlens_build_info, namespace)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .hide(VariableHide.DONT_HIDE)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(plot: Plot) -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True)
    legend = legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).calcs([])
    panel = timeseries.Panel().title(plot.title).description(plot.tells).datasource(_SOURCE).unit(plot.unit)
    panel = panel.span(_WIDTH).height(_HEIGHT).min(0).fill_opacity(8).legend(legend)
    for query, letter in zip(plot.queries, "ABCDEF", strict=False):
        expr = query.expr.replace("@", 'namespace=~"$namespace"')
        panel = panel.with_target(prometheus.Dataquery().expr(expr).legend_format(query.legend).ref_id(letter))
    return panel


if __name__ == "__main__":
    DASHBOARD.write_text(built())
