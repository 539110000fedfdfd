"""The container image, as far as tests can check it without building it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from sarlens.devstack.ports import free_port
from support.gateway import until_it_answers
from support.georeferenced_scenes import geotiff
from support.s3 import S3Server
from support.workers.fake_worker import FakeWorker

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_reports_nothing() -> None:
    """The Dockerfile is clean by hadolint's rules."""
    hadolint = Path(sys.executable).with_name("hadolint")
    ended = subprocess.run([str(hadolint), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_no_target_runs_as_root() -> None:
    """The targets that run are built on a stage with an unprivileged user, and none of them changes it."""
    stages = re.findall(r"^FROM (\S+) AS (\S+)", DOCKERFILE, re.MULTILINE)
    assert {name: base for base, name in stages if name in {"nano", "gateway"}} == dict.fromkeys(
        ("nano", "gateway"), "runtime"
    )
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]


def test_everything_installed_is_pinned() -> None:
    """Each pip installs pinned files, the package itself, or one exact version; base and Debian's are pinned too."""
    assert re.search(r"^ARG BASE=python:3\.11\.\d+-slim-bookworm$", DOCKERFILE, re.MULTILINE)
    (packages,) = re.findall(r"apt-get install --yes --no-install-recommends (.*?) \\\n", DOCKERFILE)
    assert all(re.fullmatch(r"[a-z0-9-]+=(\d+:)?[0-9.]+-\*", package) for package in packages.split())
    for line in re.findall(r"pip install (.*?)(?: \\)?$", DOCKERFILE, re.MULTILINE):
        assert re.search(r"--requirement (gateway|worker)\.txt$|--no-build-isolation \.$|^setuptools==[0-9.]+$", line)


def test_process_1_is_tini() -> None:
    """tini forwards signals, also to a process that has just started, and reaps orphans."""
    assert re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE) == ['["tini", "--", "sarlens"]']


def test_the_gateway_carries_no_model_engine() -> None:
    """The pinned set of the gateway's image holds neither torch nor vLLM."""
    pins = (ROOT / "service/requirements/gateway.txt").read_text()
    assert not re.search(r"^(torch|vllm|transformers|nvidia)", pins, re.MULTILINE)


_ALONE = """
import importlib.abc, re, sys
from importlib.metadata import packages_distributions

pins = {re.split("[=; ]", line)[0].lower() for line in open(sys.argv[1]) if line.strip()} | {"sarlens"}
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
holders = {top: {plain(name) for name in names} for top, names in packages_distributions().items()}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in holders and not holders[top] & pins:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import sarlens.cli, sarlens.server.supervisor, sarlens.client, sarlens.surveys.features
"""


@pytest.mark.slow
def test_the_gateway_runs_on_its_own_pins() -> None:
    """The command loads if only the packages of the gateway's requirement file are installed."""
    pins = str(ROOT / "service/requirements/gateway.txt")
    ended = subprocess.run([sys.executable, "-c", _ALONE, pins], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of the gateway's image, trimmed as the Dockerfile does it."""
    if shutil.which("strip") is None:
        pytest.skip("strip, of the Debian package binutils, is not installed")
    folder = tmp_path_factory.mktemp("trimmed")
    pins = (ROOT / "service/requirements/gateway.txt").read_text().splitlines()
    for name in (re.split("[=; ]", line)[0] for line in pins if line[0] != " "):
        _copy_package(name, folder)
    shutil.copytree(ROOT / "service/sarlens", folder / "sarlens", ignore=shutil.ignore_patterns("*.pyc", "web"))
    subprocess.run([str(ROOT / "service/requirements/trim.sh"), str(folder)], check=True)
    return folder


def _copy_package(name: str, folder: Path) -> None:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return  # pinned for another Python
    for file in files:
        if file.parts[0] != ".." and file.suffix != ".pyc":
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), folder / file)


_WHOLE = """
import ctypes, pathlib, sys
import sarlens.cli, sarlens.bootstrap.gateway, psycopg.pq, botocore.session

for library in pathlib.Path(sys.argv[1]).rglob("*.so"):
    ctypes.CDLL(str(library))
assert psycopg.pq.__impl__ == "binary"
for service in ("s3", "sts", "sso", "sso-oidc", "signin"):
    botocore.session.Session().create_client(service, region_name="eu-central-1")
"""


def _packages(trimmed: Path) -> dict[str, str]:
    """Variables with which Python finds the trimmed packages and Sarlens, and with ``-S`` nothing else."""
    return os.environ | {"PYTHONPATH": f"{trimmed}:{ROOT / 'service'}", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.slow
def test_trimming_leaves_all_required_files(trimmed: Path) -> None:
    """After trimming, all compiled code loads, each kind of AWS credentials works, and the size is below 240 MB."""
    command = [sys.executable, "-S", "-c", _WHOLE, str(trimmed)]
    ended = subprocess.run(command, env=_packages(trimmed), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert sum(path.stat().st_size for path in trimmed.rglob("*") if path.is_file()) < 240 * 2**20


async def test_a_trimmed_gateway_answers(trimmed: Path, worker: FakeWorker, s3: S3Server) -> None:
    """A gateway of the trimmed packages reads a radar image from S3, renders it, and answers a question about it."""
    s3.client().put_object(
        Bucket="scenes", Key="trimmed.tif", Body=geotiff(np.arange(65536, dtype="u2").reshape(256, 256))
    )
    url = f"http://127.0.0.1:{free_port()}"
    command = ["-S", "-m", "sarlens", "serve", "--open", "--worker", worker.url, "--port", url.rpartition(":")[2]]
    environment = _packages(trimmed) | s3.environment
    process = await asyncio.create_subprocess_exec(sys.executable, *command, env=environment)
    try:
        await until_it_answers(f"{url}/health")
        async with aiohttp.ClientSession(url) as session:
            image = "s3://scenes/trimmed.tif"
            async with session.get("/v1/sar/picture", params={"url": image}) as answer:
                assert (answer.status, (await answer.read())[:4]) == (200, b"\x89PNG")
            async with session.post("/v1/sar/vqa", json={"image": image, "questions": ["How many ships?"]}) as answer:
                assert answer.status == 200, await answer.text()
    finally:
        if process.returncode is None:
            process.kill()
