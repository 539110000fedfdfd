"""The vLLM workers that the chart starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chart.rendering import EVERYTHING, PROFILES, container, of_kind, rendered
from sarlens.workers.vllm import cpu_environment, cpu_options, worker_command, worker_environment

DOCKERFILE = (Path(__file__).parents[2] / "Dockerfile").read_text()


def test_workers_are_started_as_the_router_needs_them() -> None:
    """A worker gets every switch that `sarlens worker` gives, and a cache for prefixes and for images by id."""
    args = container(rendered(EVERYTHING), "StatefulSet")["args"]
    needed = worker_command("/models/qwen", "qwen", "0.0.0.0", 8000)[3:]
    assert args[: len(needed)] == needed
    after = dict(zip(args, [*args[1:], ""], strict=True))
    assert "--enable-prefix-caching" in args
    assert float(after["--mm-processor-cache-gb"]) > 0
    assert int(after["--shutdown-timeout"]) > 0
    assert after["--tensor-parallel-size"] == "2"
    given = {each["name"]: each.get("value") for each in container(rendered(EVERYTHING), "StatefulSet")["env"]}
    assert worker_environment().items() <= given.items()


_PARSED = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = make_arg_parser(FlexibleArgumentParser())
taken = [vars(parser.parse_args(args)) for args in json.loads(sys.argv[1])]
print(json.dumps(taken, default=str))
"""


@pytest.mark.slow
def test_vllm_understands_its_command_lines() -> None:
    """The parser of the vLLM that is pinned takes the arguments of every worker of every profile."""
    workers = [each for profile in [*PROFILES, EVERYTHING] for each in of_kind(rendered(profile), "StatefulSet")]
    args = [each["spec"]["template"]["spec"]["containers"][0]["args"] for each in workers]
    command = [sys.executable, "-c", _PARSED, json.dumps(args)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    taken = json.loads(ended.stdout.splitlines()[-1])
    assert len(taken) == len(args) > len(PROFILES)
    for each in taken:
        assert (each["api_server_count"], each["allowed_media_domains"]) == (1, ["none.invalid"])
        assert each["enable_prefix_caching"] is True
    assert "ships" in taken[-1]["lora_modules"][0]
    assert taken[-1]["otlp_traces_endpoint"] == "http://otel:4317"


def test_workers_connect_to_nothing() -> None:
    """A worker's pods may connect to nothing but what its values list; gateways and Prometheus may connect to them."""
    (workers,) = of_kind(rendered(EVERYTHING), "StatefulSet")
    chosen = workers["spec"]["template"]["metadata"]["labels"]
    policies = [
        each["spec"]
        for each in of_kind(rendered(EVERYTHING), "NetworkPolicy")
        if each["spec"]["podSelector"]["matchLabels"].items() <= chosen.items()
    ]
    assert [each.get("egress") or [] for each in policies] == [[]]
    assert all({"Ingress", "Egress"} <= set(each["policyTypes"]) for each in policies)
    assert [len(each["ingress"][0]["from"]) for each in policies] == [2]


def test_services_of_workers_are_headless() -> None:
    """Gateways see the pods of a worker, not one address for all, and the StatefulSet is named by its Service."""
    for profile in [*PROFILES, EVERYTHING]:
        services = {each["metadata"]["name"]: each["spec"] for each in of_kind(rendered(profile), "Service")}
        for each in of_kind(rendered(profile), "StatefulSet"):
            assert services[each["spec"]["serviceName"]]["clusterIP"] == "None"


def test_the_nano_worker_is_started_alike_everywhere(tmp_path: Path) -> None:
    """The image and the profile for trying out start sarlens-nano as `make serve` does on a CPU without bfloat16.

    They run on processors that are not known when they are built, and 32-bit numbers are what all have.
    """
    command = json.loads(DOCKERFILE.split("\nCMD ")[1].split("\n\n")[0].replace("\\\n", ""))
    assert command[:5] == ["worker", "--model", "/opt/sarlens-nano", "--host", "0.0.0.0"]
    processor = tmp_path / "cpuinfo"
    processor.write_text("flags\t\t: fpu avx2\n")
    options = cpu_options(processor)
    assert sorted(command[5:]) == sorted(options)
    nano = container(rendered("values-dev.yaml"), "StatefulSet")
    assert set(options) <= set(nano["args"])
    given = {each["name"]: each.get("value") for each in nano["env"]}
    assert cpu_environment().items() <= given.items()
    for name, value in cpu_environment().items() - worker_environment().items():
        assert f"{name}={value}" in DOCKERFILE
