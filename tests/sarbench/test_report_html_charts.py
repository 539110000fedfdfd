"""SVG charts of the report."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from sarbench.report.html.charts import Interval, heatmap, histogram, interval_chart
from sarbench.score.bootstrap import MeanInterval

SHARES = st.floats(0, 1)


@given(st.lists(st.tuples(st.text(max_size=40), SHARES, SHARES, SHARES), max_size=5), st.text())
def test_interval_charts_are_well_formed(rows: list[tuple[str, float, float, float]], title: str) -> None:
    """Any names and values give SVG that parses and stays inside its frame."""
    printable = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
    bars = [Interval(printable.sub("", name), MeanInterval(1, *sorted(values)), 0) for name, *values in rows]
    root = ElementTree.fromstring(interval_chart(printable.sub("", title), bars))
    assert len(root.findall(".//circle")) == len(rows)
    assert all(0 <= float(circle.attrib["cx"]) <= 344 for circle in root.findall(".//circle"))


def test_the_heatmap_has_a_cell_for_every_pair() -> None:
    """Each pair of counts has one cell, correct ones are marked, and other answers are in the last column."""
    root = ElementTree.fromstring(heatmap("counts", {(0, 0): 3, (2, 1): 1, (2, None): 1}, 2))
    assert len(root.findall("rect")) == 2 * 4
    assert [text.text for text in root.findall("text") if text.attrib["class"].startswith("count")] == ["3", "1", "1"]
    assert sum(rect.attrib["class"] == "cell right" for rect in root.findall("rect")) == 2


def test_the_histogram_includes_both_ends() -> None:
    """The minimum is in the first bar and the maximum in the last."""
    root = ElementTree.fromstring(histogram("scores", [0, 0, 999.9, 1000], 1000, bins=4))
    titles = [rect.findtext("title") for rect in root.findall("rect")]
    assert titles == ["2 captions", "0 captions", "0 captions", "2 captions"]
