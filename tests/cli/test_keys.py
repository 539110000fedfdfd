"""``sarlens key``."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from sarlens.admission.api_keys import load_api_keys
from support.cli_runner import error_line, invoke


def test_the_entry_goes_to_standard_output() -> None:
    """Without --file, the entry is one line of JSON with the hash of the key, which is on standard error."""
    made = invoke("key", "gis", "--models", "sar-*", "--image", "s3://scenes", "--images", "data:", "--priority", "-1")
    entry = json.loads(made.stdout)
    secret = re.fullmatch(r"The key of gis, shown only once: (sar-\S{43})\n", made.stderr)
    assert secret is not None
    assert entry == {
        "name": "gis",
        "sha256": hashlib.sha256(secret[1].encode()).hexdigest(),
        "models": ["sar-*"],
        "images": ["s3://scenes", "data:"],
        "priority": -1,
    }


def test_a_share_goes_to_the_entry() -> None:
    """Weight and limits of concurrent and queued requests are fields of the entry; 0 queued requests is a limit too."""
    options = ("--weight", "2.5", "--max-parallel", "8", "--max-queued", "0")
    entry = json.loads(invoke("key", "gis", *options).stdout)
    assert {field: entry[field] for field in ("weight", "max_parallel", "max_queued")} == {
        "weight": 2.5,
        "max_parallel": 8,
        "max_queued": 0,
    }
    assert "weight" in error_line("key", "gis", "--weight", "0", exit_code=2)


def test_a_key_lists_the_restricted_fields_that_it_may_send() -> None:
    """--field is repeatable, and a field that isn't restricted is an error."""
    made = invoke("key", "lab", "--field", "priority", "--fields", "chat_template_kwargs")
    assert json.loads(made.stdout)["fields"] == ["priority", "chat_template_kwargs"]
    assert "fields: 'temperature' isn't a restricted field" in invoke("key", "lab", "--field", "temperature").stderr


def test_entries_are_added_to_a_file(tmp_path: Path) -> None:
    """--file creates a file that only its owner can read, and adds to one that exists."""
    file = tmp_path / "keys.json"
    for name in ("gis", "lab"):
        made = invoke("key", name, "--requests-per-minute", "600", "--file", str(file))
        assert (made.exit_code, made.stdout) == (0, "")
        assert f"The key of {name}" in made.stderr
    assert [key.name for key in load_api_keys(file).values()] == ["gis", "lab"]
    assert [entry["requests_per_minute"] for entry in json.loads(file.read_text())] == [600, 600]
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_name_is_added_once(tmp_path: Path) -> None:
    """A second key of one name is rejected, and the file stays as it is."""
    file = tmp_path / "keys.json"
    invoke("key", "gis", "--file", str(file))
    before = file.read_text()
    assert error_line("key", "gis", "--file", str(file)) == f"{file} already has a key named gis"
    assert file.read_text() == before


def test_a_file_of_another_form_is_not_touched(tmp_path: Path) -> None:
    """A file that holds no list of entries is an error that names it."""
    file = tmp_path / "keys.json"
    file.write_text('{"name": "gis"}')
    assert error_line("key", "gis", "--file", str(file)).startswith(f"{file}: ")
    assert file.read_text() == '{"name": "gis"}'


def test_the_directory_must_exist(tmp_path: Path) -> None:
    """A file in a directory that doesn't exist is an error, and no key is shown."""
    assert error_line("key", "gis", "--file", str(tmp_path / "no" / "keys.json")) == (
        f"the directory {tmp_path}/no doesn't exist"
    )


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--images", "scenes"), "images: "),
        (("--images", "ftp://scenes"), "images: "),
        (("--requests-per-minute", "0"), "requests-per-minute: "),
        (("--priority", "5000"), "priority: "),
    ],
)
def test_a_wrong_restriction_is_a_usage_error(arguments: tuple[str, ...], option: str) -> None:
    """A value out of range ends the command with exit code 2 and without a key."""
    assert error_line("key", "gis", *arguments, exit_code=2).startswith(option)
