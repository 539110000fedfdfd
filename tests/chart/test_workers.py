"""The vLLM workers of the chart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from chart.rendering import CHART, EVERYTHING, PROFILES, container, everything, merged, of_kind, render, rendered
from sarlens.devstack.vllm import cpu_environment, cpu_options, vllm_command, vllm_environment

DOCKERFILE = (Path(__file__).parents[2] / "Dockerfile").read_text()


def test_workers_have_the_options_of_sarlens_worker() -> None:
    """A worker has every option of `sarlens worker`, and caches for prefixes and for images by id."""
    args = container(rendered(EVERYTHING), "StatefulSet")["args"]
    required = vllm_command("/models/qwen", "qwen", "::", 8000)[3:]
    assert args[: len(required)] == required
    options = dict(zip(args, [*args[1:], ""], strict=True))
    assert "--enable-prefix-caching" in args
    assert float(options["--mm-processor-cache-gb"]) > 0
    assert int(options["--shutdown-timeout"]) > 0
    assert options["--tensor-parallel-size"] == "2"
    environment = {item["name"]: item.get("value") for item in container(rendered(EVERYTHING), "StatefulSet")["env"]}
    assert vllm_environment().items() <= environment.items()


def test_workers_schedule_by_priority_if_the_gateway_sends_it() -> None:
    """`settings.worker.priority_scheduling` configures both sides, and extraArgs can't contradict it."""
    worker = {"name": "a", "model": "/models/a", "modelClaim": "models"}
    plain: dict[str, Any] = {"keys": {"allowAnonymous": True}, "workers": [worker]}
    prioritized = merged(plain, {"settings": {"worker": {"priority_scheduling": True}}})
    objects = render(prioritized)
    args = container(objects, "StatefulSet")["args"]
    assert args[args.index("--scheduling-policy") + 1] == "priority"
    settings = {name: value for item in of_kind(objects, "ConfigMap") for name, value in item["data"].items()}
    assert settings["SARLENS_WORKER__PRIORITY_SCHEDULING"] == "true"
    assert "--scheduling-policy" not in container(render(plain), "StatefulSet")["args"]
    with pytest.raises(helm.HelmError, match="extraArgs must not contain --scheduling-policy"):
        render(merged(prioritized, {"workers": [worker | {"extraArgs": ["--scheduling-policy=fcfs"]}]}))


_PARSED = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = make_arg_parser(FlexibleArgumentParser())
parsed = [vars(parser.parse_args(args)) for args in json.loads(sys.argv[1])]
print(json.dumps([parsed, [action.option_strings for action in parser._actions]], default=str))
"""
_RESERVED = re.compile(r'list ("--allowed-local-media-path".*?) }}')
_ALIASES = re.compile(r"\$aliases := dict (.*?) }}")


@pytest.mark.slow
def test_vllm_understands_its_command_lines() -> None:
    """The argument parser of the pinned vLLM accepts the arguments of every worker of every profile."""
    workers = [item for profile in [*PROFILES, EVERYTHING] for item in of_kind(rendered(profile), "StatefulSet")]
    args = [worker["spec"]["template"]["spec"]["containers"][0]["args"] for worker in workers]
    command = [sys.executable, "-c", _PARSED, json.dumps(args)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-2000:]
    parsed, options_of_vllm = json.loads(process.stdout.splitlines()[-1])
    assert len(parsed) == len(args) > len(PROFILES)
    for options in parsed:
        assert (options["api_server_count"], options["allowed_media_domains"]) == (1, ["none.invalid"])
        assert options["enable_prefix_caching"] is True
    assert "ships" in parsed[-1]["lora_modules"][0]
    assert parsed[-1]["otlp_traces_endpoint"] == "http://otel:4317"
    assert (parsed[-1]["max_loras"], parsed[-1]["max_lora_rank"]) == (2, 16)
    _assert_refusals_fit(args[-1], options_of_vllm)


def _assert_refusals_fit(args: list[str], options_of_vllm: list[list[str]]) -> None:
    """Options that the chart refuses exist, with all their short names, and no other option begins one of them."""
    template = (CHART / "templates/_validate.tpl").read_text()
    refused = {item for item in args[: args.index("--max-model-len")] if item.startswith("--")}
    refused |= set(json.loads(f"[{_RESERVED.findall(template)[0].replace(' ', ',')}]"))
    flags = {name for names in options_of_vllm for name in names}
    assert refused <= flags | {"--enable-scale-out", "--config"}
    named = json.loads(f"[{_ALIASES.findall(template)[0].replace(' ', ',')}]")
    short_names = {name: names[0] for names in options_of_vllm for name in names if name[1] != "-"}
    assert dict(zip(named[::2], named[1::2], strict=True)) == {
        name: long for name, long in short_names.items() if long in refused
    }
    assert not {(flag, long) for flag in flags - refused for long in refused if long.startswith(flag)}


def test_workers_have_no_egress() -> None:
    """Pods of a worker have no egress by default, and only gateways and Prometheus can connect to them."""
    objects = render(everything() | {"workers": [everything()["workers"][0] | {"extraArgs": []}]})
    (workers,) = of_kind(objects, "StatefulSet")
    labels = workers["spec"]["template"]["metadata"]["labels"]
    policies = [
        item["spec"]
        for item in of_kind(objects, "NetworkPolicy")
        if item["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ]
    assert [policy["egress"] for policy in policies] == [[]]
    assert all({"Ingress", "Egress"} <= set(policy["policyTypes"]) for policy in policies)
    assert [len(policy["ingress"][0]["from"]) for policy in policies] == [2]


def test_services_of_workers_are_headless() -> None:
    """The Service of a worker is headless, so that gateways discover its pods, and the StatefulSet refers to it."""
    for profile in [*PROFILES, EVERYTHING]:
        services = {item["metadata"]["name"]: item["spec"] for item in of_kind(rendered(profile), "Service")}
        for item in of_kind(rendered(profile), "StatefulSet"):
            assert services[item["spec"]["serviceName"]]["clusterIP"] == "None"


def test_all_nano_workers_have_the_same_options(tmp_path: Path) -> None:
    """The image and the development profile start sarlens-nano as `make serve` does on a CPU without bfloat16.

    Their processor isn't known at build time, and every processor supports 32-bit floats.
    """
    command = json.loads(DOCKERFILE.split("\nCMD ")[1].split("\n\n")[0].replace("\\\n", ""))
    assert command[:5] == ["worker", "--model", "/opt/sarlens-nano", "--host", "0.0.0.0"]
    processor = tmp_path / "cpuinfo"
    processor.write_text("flags\t\t: fpu avx2\n")
    options = cpu_options(processor)
    assert sorted(command[5:]) == sorted(options)
    nano = container(rendered("values-dev.yaml"), "StatefulSet")
    assert set(options) <= set(nano["args"])
    environment = {item["name"]: item.get("value") for item in nano["env"]}
    assert cpu_environment().items() <= environment.items()
    for name, value in cpu_environment().items() - vllm_environment().items():
        assert f"{name}={value}" in DOCKERFILE
