"""Tables of the workload that compares Sarlens with peers: figures of each row, and ratios by round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from harness import paired, spread

_SIGNS = {"vllm:mm_cache_queries_total": 1, "vllm:mm_cache_hits_total": -1}


class Figures(NamedTuple):
    """Figures of a row in one round; CPU time is in milliseconds an answer."""

    per_second: float
    """Answers a second."""
    router_ms: float
    api_ms: float
    """CPU time of vLLM's API servers."""
    engine_ms: float
    """CPU time of vLLM's engines."""
    misses: float
    """How often a worker processed a scene because its cache didn't have it, for each scene."""

    @property
    def cpu_ms(self) -> float:
        """CPU time of router and workers."""
        return self.router_ms + self.api_ms + self.engine_ms


_Columns = Sequence[tuple[str, Callable[[Figures], float], str]]
"""Title, figure and format of each column."""
_SPEED: _Columns = (
    ("answers a second", attrgetter("per_second"), ".1f"),
    ("misses a scene", attrgetter("misses"), ".2f"),
)
_CPU: _Columns = (
    ("router, CPU ms an answer", attrgetter("router_ms"), ".2f"),
    ("API servers", attrgetter("api_ms"), ".2f"),
    ("engines", attrgetter("engine_ms"), ".2f"),
)
_COSTS: _Columns = (
    ("time an answer", lambda figures: 1 / figures.per_second, ".2f"),
    ("CPU of API servers", attrgetter("api_ms"), ".2f"),
    ("CPU in all", attrgetter("cpu_ms"), ".2f"),
)


async def image_misses(workers: Iterable[str]) -> float:
    """Return how often vLLM workers got an image that their multimodal cache didn't have."""
    total = 0.0
    async with aiohttp.ClientSession() as session:
        for url in workers:
            async with session.get(f"{url}/metrics") as response:
                for family in text_string_to_metric_families(await response.text()):
                    total += sum(_SIGNS.get(sample.name, 0) * sample.value for sample in family.samples)
    return total


def tables(rows: Mapping[str, Sequence[Figures]]) -> list[str]:
    """Return the lines of three tables: speed, CPU time, and costs of each row in times the first, by round."""
    lines: list[str] = []
    for columns in (_SPEED, _CPU):
        lines.append(_line("", [title for title, _, _ in columns]))
        for name, rounds in rows.items():
            lines.append(_line(name, [spread([*map(figure, rounds)], form) for _, figure, form in columns]))
        lines.append("")
    (first, ours), *others = rows.items()
    lines.append(_line(f"in times {first}", [title for title, _, _ in _COSTS]))
    for name, theirs in others:
        ratios = [(paired([*map(cost, theirs)], [*map(cost, ours)]), form) for _, cost, form in _COSTS]
        lines.append(_line(name, [spread(values, form) for values, form in ratios]))
    return lines


def _line(name: str, cells: Iterable[str]) -> str:
    return f"{name:34}{''.join(f'{cell:27}' for cell in cells)}".rstrip()
