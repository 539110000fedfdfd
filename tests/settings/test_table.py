"""The table of the settings in force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sarlens.settings import Settings, current_settings, describe, load_settings

SECRET = "XyZZy-secret"


def rows(settings: Settings, *options: str) -> dict[str, tuple[str, str]]:
    """Values and sources by variable."""
    return {variable: (value, source) for variable, value, source in current_settings(settings, options)}


def test_each_value_has_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The source is the default, the file, the environment or an option."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("SARLENS_HOST=::1\nSARLENS_PORT=1\n")
    monkeypatch.setenv("SARLENS_PORT", "2")
    monkeypatch.setenv("SARLENS_S3__BUCKETS", '["scenes","archive"]')
    table = rows(load_settings({"worker": {"urls": ["http://gpu-1:8000"]}}), "SARLENS_WORKER__URLS")
    assert table["SARLENS_HOST"] == ("::1", ".env")
    assert table["SARLENS_PORT"] == ("2", "environment")
    assert table["SARLENS_S3__BUCKETS"] == ("scenes,archive", "environment")
    assert table["SARLENS_WORKER__URLS"] == ("http://gpu-1:8000", "option")
    assert table["SARLENS_WORKER__WEIGHTS"] == ("{}", "default")
    assert table["SARLENS_DRAIN_TIMEOUT_S"] == ("30.0", "default")
    assert table["SARLENS_PUBLIC_URL"] == ("", "default")
    assert list(table) == [variable for variable, _, _ in describe()]


@pytest.mark.parametrize(
    ("variable", "value", "masked"),
    [
        ("SARLENS_WORKER__API_KEY", SECRET, "***"),
        ("SARLENS_KEYS__REDIS_URL", f"redis://:{SECRET}@valkey:6379/0", "redis://:***@valkey:6379/0"),
        ("SARLENS_KEYS__REDIS_URL", f"redis://{SECRET}@valkey", "redis://***@valkey"),
        ("SARLENS_KEYS__REDIS_URL", f"redis://u:a@b/{SECRET}@valkey", "redis://u:***@valkey"),
        ("SARLENS_SURVEY__DATABASE", f"postgresql://u:{SECRET}@db/jobs", "postgresql://u:***@db/jobs"),
        ("SARLENS_SURVEY__DATABASE", f"postgresql://db/jobs?password={SECRET}", "postgresql://db/jobs?***"),
    ],
)
def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, masked: str) -> None:
    """Tokens and the logins of URLs aren't shown."""
    monkeypatch.setenv(variable, value)
    table = rows(load_settings())
    assert table[variable] == (masked, "environment")
    assert SECRET not in json.dumps(table)


def test_the_default_database_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting, the table shows the database in force."""
    monkeypatch.delenv("SARLENS_SURVEY__DATABASE")
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert rows(load_settings())["SARLENS_SURVEY__DATABASE"] == ("sqlite:////var/state/sarlens/jobs.db", "default")
