"""Grafana dashboard of the chart. Run this module to write its JSON."""

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
    """A query and the legend of its series. ``@`` is replaced with the labels that select an installation."""

    expr: str
    legend: str


class Plot(NamedTuple):
    """A panel: title, Grafana unit, description and queries."""

    title: str
    unit: str
    description: str
    queries: tuple[Query, ...]


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Return the PromQL of a counter's rate, summed by labels."""
    return f"sum by ({by}) (rate({metric}{{@{', ' + where if where else ''}}}[$__rate_interval]))"


def quantiles(metric: str, by: str = "", where: str = "") -> tuple[Query, ...]:
    """Return queries of the median, the 95th and the 99th percentile of a histogram."""
    return tuple(
        Query(f"histogram_quantile({q}, {rate(metric + '_bucket', ', '.join(filter(None, (by, 'le'))), where)})", name)
        for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def rate_by(metric: str, label: str, where: str = "") -> tuple[Query, ...]:
    """Return a query of a counter's rate by label."""
    return (Query(rate(metric, label, where), f"{{{{{label}}}}}"),)


def ratio(part: str, whole: str, name: str) -> Query:
    """Return a query of one rate relative to another."""
    return Query(f"{part} / {whole}", name)


_ANSWERED = 'outcome=~"answered|gone"'
_WORK = 'route!~"/healthz?|/readyz|/metrics|/v2/health/.*|.*/Server(Live|Ready)"'
_OF_GATEWAYS = "* on (job, instance) group_left() sarlens_build_info{@}"
"""Restricts process metrics to gateways, because workers export the same names."""

_SCRAPED = '{__name__=~"sarlens_build_info|vllm:num_requests_running", namespace=~"$namespace"}'
"""One series of each gateway and worker. With the chart, ``job`` is their Service: a release, or one model."""

_KEYS_LOADED = "sarlens_keys_loaded_timestamp_seconds{@}"

ROWS: dict[str, tuple[Plot, ...]] = {
    "Health": (
        Plot(
            "Requests by outcome",
            "reqps",
            "Requests per second. Failed requests are errors that the client didn't cause.",
            rate_by("sarlens_requests_total", "outcome", _WORK),
        ),
        Plot(
            "Error budget burn rate: availability",
            "short",
            "Relative to what the objective allows, 99.9 % by default. The critical alert fires above 14.4 over 1 h.",
            (
                Query("sarlens:failed_requests:ratio_rate1h{@} / scalar(sarlens:availability:error_budget)", "1 h"),
                Query("sarlens:failed_requests:ratio_rate6h{@} / scalar(sarlens:availability:error_budget)", "6 h"),
                Query("sarlens:failed_requests:ratio_rate3d{@} / scalar(sarlens:availability:error_budget)", "3 d"),
            ),
        ),
        Plot(
            "Error budget burn rate: latency",
            "short",
            "Relative to the rate that the objective allows, by default 99 % within 10 s.",
            (
                Query("sarlens:slow_requests:ratio_rate1h{@} / scalar(sarlens:latency:error_budget)", "1 h"),
                Query("sarlens:slow_requests:ratio_rate6h{@} / scalar(sarlens:latency:error_budget)", "6 h"),
                Query("sarlens:slow_requests:ratio_rate3d{@} / scalar(sarlens:latency:error_budget)", "3 d"),
            ),
        ),
        Plot(
            "Errors",
            "reqps",
            "Errors per second of the eight most frequent codes; see docs/reference/errors.md.",
            (Query(f"topk(8, {rate('sarlens_errors_total', 'code')})", "{{code}}"),),
        ),
        Plot(
            "Workers",
            "short",
            "Number of workers: discovered, ready, and with an open circuit breaker.",
            (
                Query("count(count by (worker) (sarlens_worker_ready{@}))", "discovered"),
                Query("sum(max by (worker) (sarlens_worker_ready{@}))", "ready"),
                Query("sum(max by (worker) (sarlens_worker_breaker_open{@}))", "breaker open"),
            ),
        ),
        Plot(
            "Queued and rejected requests",
            "short",
            "Requests in the queue, and requests per second rejected by admission control, by reason.",
            (
                Query("sum(sarlens_queued_requests{@})", "queued"),
                Query(rate("sarlens_shed_requests_total", "reason"), "{{reason}}/s"),
            ),
        ),
    ),
    "Latency and throughput": (
        Plot(
            "Request duration",
            "s",
            "From the arrival of the request to the last byte of the response.",
            quantiles("sarlens_request_duration_seconds", where=f"{_WORK}, {_ANSWERED}"),
        ),
        Plot(
            "Time to first token",
            "s",
            "From the arrival of a streaming request to its first token.",
            quantiles("sarlens_time_to_first_token_seconds"),
        ),
        Plot(
            "Time per output token",
            "s",
            "Mean per streamed response.",
            quantiles("sarlens_time_per_output_token_seconds"),
        ),
        Plot(
            "Duration of stages",
            "s",
            "95th percentile per stage of a request.",
            (
                Query(
                    f"histogram_quantile(0.95, {rate('sarlens_stage_duration_seconds_bucket', 'stage, le')})",
                    "{{stage}}",
                ),
            ),
        ),
        Plot("Requests by route", "reqps", "Requests per second.", rate_by("sarlens_requests_total", "route")),
        Plot("Tokens", "short", "Prompt and output tokens per second.", rate_by("sarlens_tokens_total", "kind")),
        Plot(
            "Tokens per response",
            "short",
            "95th percentile of the prompt and output tokens of a response.",
            (Query(f"histogram_quantile(0.95, {rate('sarlens_request_tokens_bucket', 'kind, le')})", "{{kind}}"),),
        ),
        Plot(
            "Event loop lag",
            "s",
            "Delay of the timers of a gateway process. Above 0.1 s, add processes or replicas.",
            quantiles("sarlens_event_loop_lag_seconds"),
        ),
    ),
    "Admission and shared state": (
        Plot(
            "Connections",
            "short",
            "Open HTTP connections, and connections per second that the gateway closed at a limit, by reason.",
            (
                Query("sum(sarlens_http_connections{@})", "open"),
                Query(rate("sarlens_http_connections_closed_total", "reason"), "{{reason}}/s"),
            ),
        ),
        Plot(
            "Age of the API keys",
            "s",
            "Time since the oldest key file in use was loaded, and 0 without a file. It grows until the file changes.",
            (Query(f"(time() - min({_KEYS_LOADED})) * (min({_KEYS_LOADED}) > bool 0)", "age"),),
        ),
        Plot(
            "Failing dependencies",
            "short",
            "Number of gateways that can't load the changed key file, reach the quota server, or use the job database.",
            (
                Query("sum(sarlens_keys_reload_failing{@})", "key file"),
                Query("sum(1 - sarlens_shared_quota_up{@})", "quota server"),
                Query("sum(1 - sarlens_job_database_up{@})", "job database"),
            ),
        ),
        Plot(
            "Worker discovery",
            "ops",
            "Failed discovery attempts per second, by type of location.",
            rate_by("sarlens_discovery_failures_total", "place"),
        ),
    ),
    "Images": (
        Plot(
            "Images in threads",
            "short",
            "Images that threads read, decode or render.",
            (Query("sum(sarlens_image_tasks{@})", "images"),),
        ),
        Plot(
            "Source requests",
            "ops",
            "Lookups of images per second, by scheme and result.",
            (Query(rate("sarlens_source_requests_total", "scheme, result"), "{{scheme}} {{result}}"),),
        ),
        Plot(
            "Bytes fetched",
            "Bps",
            "Bytes per second from image sources, by scheme.",
            rate_by("sarlens_fetched_bytes_total", "scheme"),
        ),
        Plot(
            "Bytes saved",
            "Bps",
            "Image bytes per second not sent to each worker, because it has the image cached.",
            rate_by("sarlens_worker_elided_bytes_total", "worker"),
        ),
        Plot(
            "Hit ratios",
            "percentunit",
            "Requests routed to a worker with the image; cached rendered images; images sent by id but evicted.",
            (
                ratio(
                    rate("sarlens_worker_affinity_requests_total", where='result="hit"'),
                    rate("sarlens_worker_affinity_requests_total"),
                    "affinity",
                ),
                ratio(
                    rate("sarlens_picture_cache_requests_total", where='result="hit"'),
                    rate("sarlens_picture_cache_requests_total"),
                    "rendered image cache",
                ),
                ratio(
                    rate("sarlens_pictures_sent_total", where='form="missed"'),
                    rate("sarlens_pictures_sent_total", where='form="id"'),
                    "evicted by workers",
                ),
            ),
        ),
        Plot(
            "Images sent",
            "ops",
            "Images per second sent to workers, as data or by id.",
            rate_by("sarlens_pictures_sent_total", "form"),
        ),
        Plot(
            "Survey tiles",
            "ops",
            "Completed tiles per second, by result.",
            rate_by("sarlens_survey_tiles_total", "ended"),
        ),
    ),
    "Workers, from the gateway": (
        Plot(
            "In flight",
            "short",
            "Number of requests in progress per worker.",
            (Query("sum by (worker) (sarlens_worker_in_flight_requests{@})", "{{worker}}"),),
        ),
        Plot(
            "Failures",
            "ops",
            "Failures per second that count toward the circuit breaker, by worker.",
            rate_by("sarlens_worker_failures_total", "worker"),
        ),
        Plot(
            "Affinity hit ratio by worker",
            "percentunit",
            "Requests whose image the worker has cached, relative to all requests with images.",
            (
                ratio(
                    rate("sarlens_worker_affinity_requests_total", "worker", 'result="hit"'),
                    rate("sarlens_worker_affinity_requests_total", "worker"),
                    "{{worker}}",
                ),
            ),
        ),
    ),
    "Workers, from vLLM": (
        Plot(
            "Running and waiting",
            "short",
            "Number of requests in vLLM.",
            (
                Query("sum by (instance) (vllm:num_requests_running{@})", "{{instance}} running"),
                Query("sum by (instance) (vllm:num_requests_waiting{@})", "{{instance}} waiting"),
            ),
        ),
        Plot(
            "KV cache usage",
            "percentunit",
            "Used fraction of the KV cache.",
            (Query("max by (instance) (vllm:kv_cache_usage_perc{@})", "{{instance}}"),),
        ),
        Plot(
            "Cache hit ratios",
            "percentunit",
            "Prompt tokens found in the prefix cache; images found in the processor cache.",
            (
                ratio(rate("vllm:prefix_cache_hits_total"), rate("vllm:prefix_cache_queries_total"), "prefix"),
                ratio(rate("vllm:mm_cache_hits_total"), rate("vllm:mm_cache_queries_total"), "images"),
            ),
        ),
        Plot(
            "Time in vLLM's queue",
            "s",
            "Time before vLLM starts a request.",
            quantiles("vllm:request_queue_time_seconds"),
        ),
        Plot(
            "Tokens",
            "short",
            "Tokens per second, by worker.",
            (
                Query(rate("vllm:prompt_tokens_total", "instance"), "{{instance}} prompt"),
                Query(rate("vllm:generation_tokens_total", "instance"), "{{instance}} output"),
            ),
        ),
        Plot(
            "Preemptions",
            "ops",
            "Preemptions per second because the KV cache is full.",
            rate_by("vllm:num_preemptions_total", "instance"),
        ),
    ),
    "Gateway processes": (
        Plot(
            "CPU",
            "short",
            "Used cores. If a gateway has several processes, see the metrics of the container.",
            (Query(f"rate(process_cpu_seconds_total{{@}}[$__rate_interval]) {_OF_GATEWAYS}", "{{instance}}"),),
        ),
        Plot(
            "Memory",
            "bytes",
            "Resident memory.",
            (Query(f"process_resident_memory_bytes{{@}} {_OF_GATEWAYS}", "{{instance}}"),),
        ),
        Plot(
            "Open files",
            "percentunit",
            "Open file descriptors, relative to the limit.",
            (Query(f"process_open_fds{{@}} / process_max_fds{{@}} {_OF_GATEWAYS}", "{{instance}}"),),
        ),
    ),
}


def build_dashboard() -> str:
    """Return the dashboard as JSON."""
    board = (
        dashboard.Dashboard("Sarlens")
        .uid("sarlens")
        .description("Sarlens gateways and their vLLM workers.")
        .tags(["sarlens", "vllm"])
        .time("now-3h", "now")
        .refresh("30s")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_choice("namespace", "Namespace", "label_values(sarlens_build_info, namespace)"))
        .with_variable(_choice("job", "Service", f"label_values({_SCRAPED}, job)"))
    )
    numbers = count(1)
    for title, plots in ROWS.items():
        board = board.with_row(dashboard.Row(title).id(next(numbers)))
        for plot in plots:
            board = board.with_panel(_panel(plot).id(next(numbers)))
    return json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Return a variable that selects values of a label; without such a label, it selects everything."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(_SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .hide(VariableHide.DONT_HIDE)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(plot: Plot) -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True)
    legend = legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).calcs([])
    panel = timeseries.Panel().title(plot.title).description(plot.description).datasource(_SOURCE).unit(plot.unit)
    panel = panel.span(_WIDTH).height(_HEIGHT).min(0).fill_opacity(8).legend(legend)
    for query, letter in zip(plot.queries, "ABCDEF", strict=False):
        expr = query.expr.replace("@", 'namespace=~"$namespace", job=~"$job"')
        panel = panel.with_target(prometheus.Dataquery().expr(expr).legend_format(query.legend).ref_id(letter))
    return panel


if __name__ == "__main__":
    DASHBOARD.write_text(build_dashboard())
