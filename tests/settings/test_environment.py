"""Settings from the environment and from ``.env``."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarlens.errors import StartupError
from sarlens.settings import load_settings
from sarlens.settings.environment import FOREIGN_VARIABLES

SECRET = "XyZZy-secret"


def error_of(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> str:
    """Return the error of a variable."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(StartupError) as raised:
        load_settings()
    return str(raised.value)


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("SARLENS_LOGLEVEL", "SARLENS_LOG_LEVEL"),
        ("SARLENS_KEY__FILE", "SARLENS_KEYS__FILE"),
        ("SARLENS_WORKER__URLSS", "SARLENS_WORKER__URLS"),
        ("SARLENS_WORKER__URLS__0", "SARLENS_WORKER__URLS"),
        ("SARLENS_WORKER_URLS", "SARLENS_WORKER__URLS"),
        ("SARLENS_WORKER__PROBE_INTERVAL", "SARLENS_WORKER__PROBE_INTERVAL_S"),
        ("SARLENS_WORKER__WEIGHTS__nano", "SARLENS_WORKER__WEIGHTS"),
        ("sarlens_loglevel", "SARLENS_LOG_LEVEL"),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, nearest: str
) -> None:
    """A typo at any level stops the start."""
    message = error_of(monkeypatch, variable, "1")
    assert message.startswith(f"{variable.upper()} in the environment isn't a setting of the gateway")
    assert message.endswith(f"did you mean {nearest}?")


def test_all_unknown_variables_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two typos are two clauses of one line; a name without a near setting refers to the list."""
    monkeypatch.setenv("SARLENS_HOSTT", "1")
    assert error_of(monkeypatch, "SARLENS_QWXZV_QQQ", "1") == (
        "SARLENS_HOSTT in the environment isn't a setting of the gateway; did you mean SARLENS_HOST?; "
        "SARLENS_QWXZV_QQQ in the environment isn't a setting of the gateway; `sarlens settings` lists all settings"
    )


def test_an_unknown_variable_in_the_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A typo in `.env` stops the start too, with the name of the file; other programs' variables don't matter."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("OTHER_PORT=1\nSARLENS_PROT=9000\n")
    with pytest.raises(StartupError, match=r"SARLENS_PROT in the file \.env .* did you mean SARLENS_PORT\?"):
        load_settings()


def test_a_group_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole group as JSON isn't supported: each setting has its own variable."""
    message = error_of(monkeypatch, "SARLENS_KEYS", '{"allow_anonymous": true}')
    assert message.startswith("SARLENS_KEYS in the environment isn't a setting of the gateway")


def test_variables_of_kubernetes_services_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that Kubernetes sets for a service of a like name is an error that names the remedy."""
    message = error_of(monkeypatch, "SARLENS_GATEWAY_PORT_8080_TCP", "tcp://10.0.0.1:8080")
    assert message.endswith("Kubernetes sets it unless the pod has enableServiceLinks: false")


def test_variables_of_other_commands_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the command-line client, of the examples and of the load tests don't stop a gateway."""
    for variable in FOREIGN_VARIABLES:
        monkeypatch.setenv(variable, "x")
    assert load_settings().port == 8080


@pytest.mark.parametrize(
    ("variable", "value", "form"),
    [
        ("SARLENS_PORT", "many", "a whole number, such as 8080"),
        ("SARLENS_PORT", "none", "a whole number, such as 8080"),
        ("SARLENS_PORT", "70000", "a whole number less than or equal to 65535, such as 8080"),
        ("SARLENS_WORKER__PROBE_INTERVAL_S", "fast", "a number of seconds, such as 2.0"),
        ("SARLENS_WORKER__PROBE_INTERVAL_S", "0", "a number of seconds greater than 0, such as 2.0"),
        ("SARLENS_LIMIT__MAX_BODY_BYTES", "64MB", "a whole number of bytes, such as 67108864"),
        ("SARLENS_LIMIT__MAX_SCENE_PIXELS", "big", "a whole number of pixels, such as 2000000000"),
        ("SARLENS_ACCESS_LOG_RATIO", "often", "a number, such as 0.1"),
        ("SARLENS_ROUTING__HEDGE_AFTER_S", "soon", "a number of seconds, such as 1.5"),
        ("SARLENS_S3__ANONYMOUS", "perhaps", "true or false"),
        ("SARLENS_ROUTING__POLICY", "random", "one of affinity, least_load, round_robin, power_of_two"),
        ("SARLENS_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("SARLENS_WORKER__WEIGHTS", "gpu-1=0.1", 'a JSON object, such as {"http://gpu-1:8000": 0.1}'),
        ("SARLENS_WORKER__WEIGHTS", '{"http://gpu-1": "big"}', 'a JSON object, such as {"http://gpu-1:8000": 0.1}'),
        ("SARLENS_WORKER__URLS", '["http://gpu-1', "a list, comma-separated or JSON, such as http://gpu-1:8000,"),
        ("SARLENS_S3__BUCKETS", "[1]", "a list, comma-separated or JSON, such as scenes,archive"),
        ("SARLENS_SURVEY__OUTPUT_PREFIXES", "/tmp", "a list, comma-separated or JSON, such as s3://results/surveys"),
    ],
)
def test_an_invalid_value_is_an_error_that_shows_the_form(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, form: str
) -> None:
    """The error names the variable, the expected form with its unit, and an example."""
    assert error_of(monkeypatch, variable, value).startswith(f"{variable} must be {form}")


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("SARLENS_WORKER__URLS", "gpu-1", "such as http://gpu-1:8000"),
        ("SARLENS_WORKER__URLS", f"http://u:{SECRET}@gpu-1:8000", "must not contain credentials"),
        ("SARLENS_TRACING__ENDPOINT", "collector:4318", "such as http://collector:4318"),
        ("SARLENS_TRACING__ENDPOINT", f"http://u:{SECRET}@collector:4318", "must not contain credentials"),
        ("SARLENS_S3__ENDPOINT", f"ftp://{SECRET}@store?{SECRET}", "must not contain credentials"),
    ],
)
def test_an_invalid_url_is_an_error_without_its_credentials(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, text: str
) -> None:
    """The error says what a URL must look like, and never repeats credentials."""
    message = error_of(monkeypatch, variable, value)
    assert message.startswith(f"{variable}: ")
    assert text in message
    assert SECRET not in message


def test_settings_that_belong_together_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate without its key is an error that names both variables."""
    message = error_of(monkeypatch, "SARLENS_GRPC__CERT_FILE", "tls.crt")
    assert message == "SARLENS_GRPC__CERT_FILE and SARLENS_GRPC__KEY_FILE must be set together"


@pytest.mark.parametrize(
    "value",
    [
        "http://gpu-1:8000,http://gpu-2:8000",
        " http://gpu-1:8000 , http://gpu-2:8000,",
        '["http://gpu-1:8000", "http://gpu-2:8000"]',
    ],
)
def test_a_list_is_comma_separated_or_json(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Both forms give the same setting."""
    monkeypatch.setenv("SARLENS_WORKER__URLS", value)
    assert load_settings().worker.urls == ("http://gpu-1:8000", "http://gpu-2:8000")


def test_every_list_takes_bare_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """One value needs no brackets; an empty variable is an empty list."""
    monkeypatch.setenv("SARLENS_WORKER__URLS", "http://gpu-1:8000")
    monkeypatch.setenv("SARLENS_S3__BUCKETS", "scenes")
    monkeypatch.setenv("SARLENS_HTTPS__HOSTS", "example.com,*.example.org")
    monkeypatch.setenv("SARLENS_SURVEY__OUTPUT_PREFIXES", "")
    settings = load_settings()
    assert settings.worker.urls == ("http://gpu-1:8000",)
    assert settings.s3.buckets == ("scenes",)
    assert settings.https.hosts == ("example.com", "*.example.org")
    assert settings.survey.output_prefixes == ()


def test_maps_are_json_and_none_unsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map is a JSON object; `none` and an empty text unset an optional setting."""
    monkeypatch.setenv("SARLENS_WORKER__WEIGHTS", '{"http://gpu-1:8000/v1": 0.1}')
    monkeypatch.setenv("SARLENS_GRPC__PORT", "none")
    monkeypatch.setenv("SARLENS_KEYS__FILE", "")
    settings = load_settings()
    assert settings.worker.weights == {"http://gpu-1:8000": 0.1}
    assert settings.grpc.port is None
    assert settings.keys.file is None


def test_options_precede_the_environment_and_that_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each source fills in what the ones before it leave out, also inside a group."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("SARLENS_PORT=1\nSARLENS_HOST=::1\nSARLENS_S3__REGION=file\nSARLENS_S3__PROFILE=file\n")
    monkeypatch.setenv("SARLENS_PORT", "2")
    monkeypatch.setenv("SARLENS_S3__REGION", "environment")
    settings = load_settings({"port": 3, "s3": {"anonymous": True}})
    assert (settings.port, settings.host) == (3, "::1")
    assert (settings.s3.region, settings.s3.profile, settings.s3.anonymous) == ("environment", "file", True)


def test_a_file_that_is_no_text_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A `.env` that isn't UTF-8 stops the start."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_bytes(b"SARLENS_PORT=\xff")
    with pytest.raises(StartupError, match=r"the file \.env can't be read"):
        load_settings()


def test_a_worker_key_can_t_add_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker key with a line end stops the start, and isn't quoted; a space is allowed."""
    message = error_of(monkeypatch, "SARLENS_WORKER__API_KEY", f"{SECRET}\r\nX-Evil: 1")
    assert "must not contain control characters" in message
    assert SECRET not in message
    monkeypatch.setenv("SARLENS_WORKER__API_KEY", "a b")
    load_settings()
