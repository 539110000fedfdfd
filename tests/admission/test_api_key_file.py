"""API keys in a file, and what each key allows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sarlens.admission.api_keys import ApiKey, ApiKeyFile, ApiKeyFileError, generate_api_key, load_api_keys
from sarlens.errors import BadRequest
from sarlens.imagery.products.canonical_url import canonical_url
from sarlens.observability.metrics import Metrics

SECRET, DIGEST = generate_api_key()


def entry(**more: Any) -> dict[str, Any]:
    """Return one entry of a file."""
    return {"name": "gis", "sha256": DIGEST, **more}


def write(path: Path, document: object) -> Path:
    """Replace the file atomically."""
    fresh = path.with_suffix(".new")
    fresh.write_text(document if isinstance(document, str) else json.dumps(document))
    fresh.replace(path)
    return path


def value(metrics: Metrics, name: str) -> float:
    """Return the value of a gauge."""
    return metrics.registry.get_sample_value(name) or 0.0


def test_only_the_issued_key_authenticates(tmp_path: Path) -> None:
    """The issued key authenticates; its hash, a similar key and a disabled key don't."""
    keys = ApiKeyFile(write(tmp_path / "keys.json", [entry()]))
    key = keys.authenticate(SECRET)
    assert key is not None
    assert key.name == "gis"
    assert all(keys.authenticate(other) is None for other in ("", DIGEST, SECRET + "x", SECRET.lower(), "\udcff"))
    write(tmp_path / "keys.json", [entry(disabled=True)])
    keys.reload_if_changed()
    assert keys.authenticate(SECRET) is None


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
        [entry(outputs=["https://host/x"])],
        [entry(outputs=["s3://"])],
        [entry(requests_per_minute=0)],
        [entry(weight=0)],
        '[{"name": "gis", "sha256": "' + DIGEST + '", "weight": NaN}]',
        [entry(max_parallel=0)],
        [entry(max_queued=-1)],
        [entry(), entry()],
        [entry(), {**entry(), "name": "other"}],
    ],
)
def test_an_invalid_file_leaves_the_keys_unchanged(tmp_path: Path, document: object) -> None:
    """The gateway logs one warning without key and hash, sets a gauge, and keeps the previous keys."""
    path = write(tmp_path / "keys.json", [entry()])
    metrics = Metrics()
    keys = ApiKeyFile(path, metrics)
    loaded_at = value(metrics, "sarlens_keys_loaded_timestamp_seconds")
    assert time.time() - 60 < loaded_at <= time.time()
    write(path, document)
    with structlog.testing.capture_logs() as logged:
        keys.reload_if_changed()
        keys.reload_if_changed()
    assert keys.authenticate(SECRET) is not None
    assert [line["log_level"] for line in logged] == ["warning"]
    assert DIGEST not in str(logged)
    assert value(metrics, "sarlens_keys_reload_failing") == 1
    assert value(metrics, "sarlens_keys_loaded_timestamp_seconds") == loaded_at
    write(path, [entry(disabled=True)])
    keys.reload_if_changed()
    assert value(metrics, "sarlens_keys_reload_failing") == 0
    assert value(metrics, "sarlens_keys_loaded_timestamp_seconds") > loaded_at
    write(path, document)
    with pytest.raises(ApiKeyFileError):
        load_api_keys(path)


def test_a_missing_file_leaves_the_keys_unchanged(tmp_path: Path) -> None:
    """A running gateway keeps its keys without the file; a new gateway doesn't start."""
    path = write(tmp_path / "keys.json", [entry()])
    keys = ApiKeyFile(path)
    path.unlink()
    keys.reload_if_changed()
    assert keys.authenticate(SECRET) is not None
    with pytest.raises(ApiKeyFileError, match="can't be read"):
        ApiKeyFile(path)


@pytest.mark.parametrize(
    ("prefix", "url", "allowed"),
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
def test_a_prefix_allows_images_below_it(prefix: str, url: str, allowed: bool) -> None:
    """A prefix allows itself and URLs below it in any spelling, but no URL with the same beginning."""
    key = ApiKey.model_validate(entry(images=[prefix]))
    assert key.allows_image(canonical_url(url)) is allowed


@given(st.text(max_size=60), st.sampled_from(["s3://", "s3://open/", "https://", "https://host/", "data:", ""]))
def test_no_url_escapes_its_prefix(tail: str, head: str) -> None:
    """Any URL is either rejected or below the prefix that the key allows."""
    key = ApiKey.model_validate(entry(images=["s3://open/below"]))
    try:
        address = canonical_url(head + tail)
    except BadRequest:
        return
    if key.allows_image(address):
        assert address == "s3://open/below" or address.startswith("s3://open/below/")


def test_model_patterns_match_by_case() -> None:
    """A pattern allows matching model names, case-sensitively; without patterns a key allows every model."""
    key = ApiKey.model_validate(entry(models=["sar-*", "nano"]))
    assert [key.allows_model(name) for name in ("sar-qwen", "nano", "Nano", "nano2", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert ApiKey.model_validate(entry()).allows_model("anything")


@pytest.mark.parametrize(
    ("name", "gateway_prefixes", "expected"),
    [
        (
            "gis-team",
            ("s3://results/surveys", "s3://other/"),
            ("s3://results/surveys/gis-team/", "s3://other/gis-team/"),
        ),
        ("gis-team", (), ()),
        ("..", ("s3://results",), ()),
        ("a/b", ("s3://results",), ()),
        ("a b", ("s3://results",), ()),
        ("surveys", ("s3://results", "s3://results/surveys"), ("s3://results/surveys/surveys/",)),
    ],
)
def test_a_key_without_outputs_has_prefixes_of_its_own(
    name: str, gateway_prefixes: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """Without outputs, a key writes below its name, unless another key's prefix could be below it."""
    assert ApiKey(name=name, sha256=DIGEST).output_prefixes(gateway_prefixes) == expected


def test_outputs_replace_the_own_prefixes() -> None:
    """A key with outputs has exactly these, and none if the list is empty."""
    for outputs in ((), ("s3://results/shared",)):
        assert ApiKey(name="gis", sha256=DIGEST, outputs=outputs).output_prefixes(["s3://results"]) == outputs
