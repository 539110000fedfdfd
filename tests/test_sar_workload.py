"""The workload that compares Sarlens with peers: bodies of clients, misses of workers, and the tables' arithmetic."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import orjson
import pytest

import sar_workload
from harness import starter
from sar_scenes import scene
from sar_tables import Figures, image_misses, tables
from sar_workload import PEER_NAMES, body
from support.canned_http_server import canned, http

METRICS = """# TYPE vllm:mm_cache_queries counter
vllm:mm_cache_queries_total{{engine="0",model_name="sarlens-nano"}} {queries}
# TYPE vllm:mm_cache_hits counter
vllm:mm_cache_hits_total{{engine="0",model_name="sarlens-nano"}} {hits}
# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{{engine="0",model_name="sarlens-nano"}} 999.0
"""


def test_naive_clients_send_the_bytes_without_an_id() -> None:
    """Every question has the image's data URL; only clients with ids add vLLM's field ``uuid``."""
    naive = orjson.loads(body("data:image/png;base64,AAAA", "How many ships?", None))
    image, text = naive["messages"][0]["content"]
    assert image == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert text["text"] == "Question: How many ships?. Answer the question concisely."
    named = orjson.loads(body("data:image/png;base64,AAAA", "How many ships?", "scene 7"))
    assert named["messages"][0]["content"][0] == {**image, "uuid": "scene 7"}


async def test_misses_are_queries_without_hits_of_all_workers() -> None:
    """Workers with 20 and 9 queries and 12 and 8 hits processed 9 images again; other caches don't count."""
    pages = [http(200, METRICS.format(queries=queries, hits=hits).encode()) for queries, hits in ((20, 12), (9, 8))]
    async with canned(pages[0]) as one, canned(pages[1]) as other:
        assert await image_misses([f"http://127.0.0.1:{server.port}" for server in (one, other)]) == 9


def test_tables_compare_round_by_round() -> None:
    """Ratios are medians of each round's ratio, and a cost above that of the first row is above 1."""
    ours = [Figures(100, 1, 2, 3, 1), Figures(50, 2, 4, 6, 1), Figures(60, 1, 1, 4, 1.5)]
    theirs = [Figures(50, 1, 20, 4, 2), Figures(25, 2, 40, 8, 2), Figures(15, 1, 15, 8, 2)]
    lines = tables({"Sarlens": ours, "peer": theirs})
    rows = [" ".join(line.split()) for line in lines]
    assert rows[1] == "Sarlens 60.0 (50.0 to 100.0) 1.00 (1.00 to 1.50)"
    assert rows[5] == "Sarlens 1.00 (1.00 to 2.00) 2.00 (1.00 to 4.00) 4.00 (3.00 to 6.00)"
    # By round: time 2, 2, 4; API servers 10, 10, 15; in all 25/6, 50/12, 24/6.
    assert rows[-2:] == [
        "in times Sarlens time an answer CPU of API servers CPU in all",
        "peer 2.00 (2.00 to 4.00) 10.00 (10.00 to 15.00) 4.17 (4.00 to 4.17)",
    ]


def test_every_row_has_images_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No two rows send the same image in any round, so that no row finds another's in the caches of the workers."""
    monkeypatch.setattr(sar_workload, "sarlens", lambda *_: ("http://sarlens", None))
    monkeypatch.setattr(sar_workload, "peer", lambda _, name, *rest: (f"http://{name}", None))
    pixels = scene(np.random.default_rng(0))
    rows = sar_workload._rows(starter(ExitStack(), tmp_path), tmp_path, [], [pixels], "http://s3", PEER_NAMES)
    assert [row.name for row in rows if row.with_id] == [f"{name}, rendered PNG and id" for name in PEER_NAMES]
    images = [row.image(number, 0) for row in rows for number in (0, 1, 5)]
    assert len(set(images)) == len(images) == 33
