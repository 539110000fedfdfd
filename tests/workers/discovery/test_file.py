"""Service discovery from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarlens.workers.discovery.base import DiscoveryError
from sarlens.workers.discovery.file import FileDiscovery


async def test_a_file_is_read_at_every_attempt(tmp_path: Path) -> None:
    """The endpoints are those of the current file; an error in the file names the field."""
    path = tmp_path / "workers.json"
    found = FileDiscovery(path)
    with pytest.raises(DiscoveryError, match="can't be read"):
        await found.endpoints()
    path.write_text('[{"url": "http://a:8000/v1"}, {"url": "http://b:8000", "weight": 0.1}]')
    assert await found.endpoints() == {"http://a:8000": 1.0, "http://b:8000": 0.1}
    for wrong in (
        "",
        "{}",
        '[{"url": 1}]',
        '[{"url": "x"}]',
        '[{"url": "http://a", "weight": 0}]',
        '[{"uri": "http://a"}]',
    ):
        path.write_text(wrong)
        with pytest.raises(DiscoveryError, match=r"workers\.json"):
            await found.endpoints()
