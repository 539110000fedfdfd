"""Upgrades of a release: what restarts pods, what scales them, and what Kubernetes can't change."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from chart.rendering import (
    CHART,
    EVERYTHING,
    PROFILES,
    Object,
    container,
    everything,
    merged,
    of_kind,
    render,
    values_of,
)

WORKER = everything()["workers"][0]


def pod_templates(objects: list[Object]) -> list[Object]:
    """The pod templates of the gateway and of the workers."""
    return [item["spec"]["template"] for item in of_kind(objects, "Deployment", "StatefulSet")]


def chart_with(folder: Path, replace: dict[str, dict[str, str]]) -> Path:
    """Copy the chart into a folder, and replace texts of its files."""
    copied = Path(shutil.copytree(CHART, folder / "sarlens"))
    for file, texts in replace.items():
        text = (copied / file).read_text()
        for old, new in texts.items():
            assert old in text
            text = text.replace(old, new)
        (copied / file).write_text(text)
    return copied


@pytest.mark.parametrize("profile", [*PROFILES, EVERYTHING])
def test_a_profile_renders_the_same_objects_each_time(profile: str) -> None:
    """Twenty renders have the same bytes, but for the Secret, so that an upgrade without a change restarts nothing."""
    with helm.Chart.load(str(CHART)) as chart:
        renders = [chart.render(values_of(profile), name="demo", namespace="sar") for _ in range(20)]
    texts = [{path: text for path, text in files.items() if not path.endswith("/secret.yaml")} for files in renders]
    assert len(texts[0]) > 10
    assert all(files == texts[0] for files in texts)


def test_resources_of_a_worker_are_those_of_its_values() -> None:
    """Requests and limits stay apart, and both have the GPUs; without GPUs, nothing is added."""
    resources = {"requests": {"cpu": "4", "memory": "24Gi"}, "limits": {"memory": "48Gi"}}
    worker = merged(WORKER, {"resources": resources})
    with_gpus = container(render(everything() | {"workers": [worker]}), "StatefulSet")["resources"]
    assert with_gpus == {
        "requests": {"cpu": "4", "memory": "24Gi", "nvidia.com/gpu": 2},
        "limits": {"memory": "48Gi", "nvidia.com/gpu": 2},
    }
    cpu = merged(worker, {"gpu": {"count": 0}, "tensorParallelSize": 1})
    assert container(render(everything() | {"workers": [cpu]}), "StatefulSet")["resources"] == resources


def test_a_new_version_of_the_chart_restarts_no_pod(tmp_path: Path) -> None:
    """Pod templates depend on ``podLabels``, not on the chart's version or common labels."""
    version = re.search(r"^version: .*$", (CHART / "Chart.yaml").read_text(), re.MULTILINE)
    assert version
    newer = chart_with(tmp_path, {"Chart.yaml": {version[0]: "version: 9.9.9"}})
    values = merged(everything(), {"gateway": {"podLabels": {"team": "ice"}}})
    before = render(values)
    after = render(values | {"commonLabels": {"cost": "7"}}, newer)
    assert pod_templates(after) == pod_templates(before)
    (deployment,) = of_kind(after, "Deployment")
    labels = deployment["metadata"]["labels"]
    assert (labels["helm.sh/chart"], labels["cost"]) == ("sarlens-9.9.9", "7")
    assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "ice"
    assert deployment["spec"]["selector"]["matchLabels"].items() < labels.items()


def upgraded(folder: Path, worker: Object, current: Object) -> Object:
    """Render a worker's StatefulSet as an upgrade does that finds ``current`` in the cluster."""
    lookup = {'lookup "apps/v1" "StatefulSet" $.Release.Namespace $name': f"fromJson `{json.dumps(current)}`"}
    chart = chart_with(folder, {"templates/workers/statefulset.yaml": lookup})
    (item,) = of_kind(render(everything() | {"workers": [merged(WORKER, worker)]}, chart), "StatefulSet")
    return item


def in_cluster(replicas: int = 1, size: str = "9Gi", storage_class: str | None = None) -> Object:
    """A StatefulSet as the cluster returns it."""
    claim: Object = {"resources": {"requests": {"storage": size}}}
    claim |= {"storageClassName": storage_class} if storage_class else {}
    return {"spec": {"replicas": replicas, "volumeClaimTemplates": [{"spec": claim}] if size else []}}


@pytest.mark.parametrize(("current", "replicas"), [({}, 2), (in_cluster(1), 2), (in_cluster(3), 3), (in_cluster(9), 4)])
def test_autoscaled_workers_keep_their_replicas(tmp_path: Path, current: Object, replicas: int) -> None:
    """An installation starts with ``minReplicas``; an upgrade keeps the current number, within the limits."""
    item = upgraded(tmp_path, {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}, current)
    assert item["spec"]["replicas"] == replicas


def test_autoscaled_gateways_start_with_their_minimum() -> None:
    """An installation with autoscaling has ``minReplicas`` gateways."""
    (item,) = of_kind(render(merged(everything(), {"gateway": {"autoscaling": {"minReplicas": 3}}})), "Deployment")
    assert item["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    ("cache", "current"),
    [
        ({"size": "40Gi"}, in_cluster(size="40Gi")),
        ({"size": "1Gi"}, in_cluster(size="1024Mi")),
        ({"size": "1.5Gi"}, in_cluster(size="1536Mi")),
        ({"size": ""}, in_cluster(size="")),
        ({"size": "", "storageClassName": "fast"}, in_cluster(size="")),
        ({"size": "2Gi", "storageClassName": "fast"}, in_cluster(size="2Gi", storage_class="fast")),
    ],
)
def test_an_unchanged_cache_is_accepted(tmp_path: Path, cache: Object, current: Object) -> None:
    """An upgrade with the same size, in any unit, and the same storage class renders."""
    assert upgraded(tmp_path, {"cache": cache}, current)["spec"]["serviceName"] == "demo-sarlens-qwen"


@pytest.mark.parametrize(
    ("cache", "current"),
    [
        ({"size": "80Gi"}, in_cluster(size="40Gi")),
        ({"size": "40Gi"}, in_cluster(size="40G")),
        ({"size": "40Gi"}, in_cluster(size="")),
        ({"size": ""}, in_cluster(size="40Gi")),
        ({"size": "2Gi", "storageClassName": "fast"}, in_cluster(size="2Gi")),
    ],
)
def test_a_changed_cache_is_refused_before_anything_is_applied(
    tmp_path: Path, cache: dict[str, Any], current: Object
) -> None:
    """Kubernetes rejects a change of the claims of a StatefulSet, so the chart refuses it and names the way."""
    with pytest.raises(helm.HelmError, match=r"demo-sarlens-qwen: Kubernetes can't change cache\.size.*cascade=orphan"):
        upgraded(tmp_path, {"cache": cache}, current)


def test_cut_names_of_two_releases_differ() -> None:
    """Two releases whose names agree in their first 31 characters have different objects, of at most 31 characters."""
    for region in ("eu", "us"):
        whole = f"national-sar-archive-production-{region}"
        (item,) = of_kind(render(everything() | {"fullnameOverride": whole}), "Deployment")
        digest = hashlib.sha256(whole.encode()).hexdigest()
        assert item["metadata"]["name"] == f"national-sar-archive-pro-{digest[:6]}"
        assert len(item["metadata"]["name"]) == 31
