"""API keys in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sarlens.admission.keys import Key, KeyFile, KeysInvalid, new_key, read_keys
from sarlens.errors import BadRequest
from sarlens.imagery.address import plain_address

SECRET, DIGEST = new_key()


def entry(**more: Any) -> dict[str, Any]:
    """One key of a file."""
    return {"name": "gis", "sha256": DIGEST, **more}


def write(path: Path, document: object) -> Path:
    """A file of keys, put in place at once."""
    fresh = path.with_suffix(".new")
    fresh.write_text(document if isinstance(document, str) else json.dumps(document))
    fresh.replace(path)
    return path


def test_a_key_is_found_by_itself_alone(tmp_path: Path) -> None:
    """The key that was issued is found; another, its hash, or one that is disabled is not."""
    keys = KeyFile(write(tmp_path / "keys.json", [entry()]))
    found = keys.find(SECRET)
    assert found is not None
    assert found.name == "gis"
    assert all(keys.find(other) is None for other in ("", DIGEST, SECRET + "x", SECRET.lower(), "\udcff"))
    write(tmp_path / "keys.json", [entry(disabled=True)])
    keys.look()
    assert keys.find(SECRET) is None


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{}",
        "[1]",
        [{"name": "x"}],
        [entry(sha256="short")],
        [entry(secret="x")],
        [entry(images=["file:///etc"])],
        [entry(images=["s3://"])],
        [entry(requests_per_minute=0)],
        [entry(), entry()],
        [entry(), {**entry(), "name": "other"}],
    ],
)
def test_a_file_that_is_wrong_changes_nothing(tmp_path: Path, document: object) -> None:
    """What does not validate is refused, the old keys go on, and the log names the field and neither key nor hash."""
    path = write(tmp_path / "keys.json", [entry()])
    keys = KeyFile(path)
    write(path, document)
    with structlog.testing.capture_logs() as logged:
        keys.look()
        keys.look()
    assert keys.find(SECRET) is not None
    assert [line["log_level"] for line in logged] == ["warning"]
    assert DIGEST not in str(logged)
    with pytest.raises(KeysInvalid):
        read_keys(path)


def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    """Without its file a gateway keeps its keys, and does not start."""
    path = write(tmp_path / "keys.json", [entry()])
    keys = KeyFile(path)
    path.unlink()
    keys.look()
    assert keys.find(SECRET) is not None
    with pytest.raises(KeysInvalid, match="cannot be read"):
        KeyFile(path)


@pytest.mark.parametrize(
    ("place", "url", "opens"),
    [
        ("s3://scenes", "s3://scenes/port.tif", True),
        ("s3://scenes", "S3://scenes/port.tif?versionId=3", True),
        ("s3://scenes", "s3://scenes2/port.tif", False),
        ("s3://scenes/2026", "s3://scenes/2026/a.tif", True),
        ("s3://scenes/2026", "s3://scenes/%32026/a.tif", True),
        ("s3://scenes/2026", "s3://scenes/20260/a.tif", False),
        ("s3://scenes/2026/", "s3://scenes/2026", False),
        ("s3://scenes/a b", "s3://scenes/a%20b/c.tif", True),
        ("data:", "data:image/png;base64,AAAA", True),
        ("data:", "s3://scenes/a.tif", False),
        ("https://host", "https://HOST:443/a.png?x=1", True),
        ("https://host", "https://host.evil/a.png", False),
        ("https://host/open", "https://host/open/../secret/a.png", False),
        ("https://host/open", "https://host/open/%2e%2e/secret/a.png", False),
    ],
)
def test_places_open_what_is_below_them(place: str, url: str, opens: bool) -> None:
    """A place opens itself and what stands below it, however the URL is spelt, and nothing that only begins alike."""
    key = Key.model_validate(entry(images=[place]))
    assert key.may_see(plain_address(url)) is opens


@given(st.text(max_size=60), st.sampled_from(["s3://", "s3://open/", "https://", "https://host/", "data:", ""]))
def test_no_url_slips_through(tail: str, head: str) -> None:
    """Whatever URL is written, it is refused or it is below the place that the key opens."""
    key = Key.model_validate(entry(images=["s3://open/below"]))
    try:
        address = plain_address(head + tail)
    except BadRequest:
        return
    if key.may_see(address):
        assert address == "s3://open/below" or address.startswith("s3://open/below/")


def test_models_may_hold_stars() -> None:
    """A pattern opens the models that it matches, by letter and case; without patterns every model is open."""
    key = Key.model_validate(entry(models=["sar-*", "nano"]))
    assert [key.may_ask(name) for name in ("sar-qwen", "nano", "Nano", "nano2", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert Key.model_validate(entry()).may_ask("anything")
