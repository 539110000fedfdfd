"""The container image, as far as it can be judged without building it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from sarlens.seaweed import free_port
from stack.fake_worker import FakeWorker
from stack.gateway import until_it_answers
from stack.s3 import S3Server
from stack.scenes import geotiff

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    """The Dockerfile is clean by hadolint's rules."""
    hadolint = Path(sys.executable).with_name("hadolint")
    ended = subprocess.run([str(hadolint), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_no_target_runs_as_root() -> None:
    """What runs is built on a stage with a user of its own, and none takes that back."""
    stages = re.findall(r"^FROM (\S+) AS (\S+)", DOCKERFILE, re.MULTILINE)
    assert {name: base for base, name in stages if name in {"nano", "gateway"}} == dict.fromkeys(
        ("nano", "gateway"), "runtime"
    )
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]


def test_everything_installed_is_pinned() -> None:
    """Each pip installs pinned files, the package itself, or one exact version; base and Debian's are pinned too."""
    assert re.search(r"^ARG BASE=python:3\.11\.\d+-slim-bookworm$", DOCKERFILE, re.MULTILINE)
    (packages,) = re.findall(r"apt-get install --yes --no-install-recommends (.*?) \\\n", DOCKERFILE)
    assert all(re.fullmatch(r"[a-z0-9]+=[0-9.]+-\*", each) for each in packages.split())
    for line in re.findall(r"pip install (.*?)(?: \\)?$", DOCKERFILE, re.MULTILINE):
        assert re.search(r"--requirement (gateway|worker)\.txt$|--no-build-isolation \.$|^setuptools==[0-9.]+$", line)


def test_process_1_is_tini() -> None:
    """tini passes signals on, also to a process that has just begun, and waits for those that others leave behind."""
    assert re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE) == ['["tini", "--", "sarlens"]']


def test_the_label_says_the_version() -> None:
    """The image's label and the package name one version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in DOCKERFILE


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
import sarlens.cli, sarlens.processes, sarlens.surveyor
"""


def test_the_gateway_runs_on_its_own_pins() -> None:
    """The command loads where nothing is installed but what the gateway's requirement file names."""
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
    for name in ["sarlens", *(re.split("[=; ]", line)[0] for line in pins)]:
        _copy_package(name, folder)
    subprocess.run([str(ROOT / "service/requirements/trim.sh"), str(folder)], check=True)
    return folder


def _copy_package(name: str, folder: Path) -> None:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return  # pinned for another Python
    for each in files:
        if each.parts[0] != ".." and each.suffix != ".pyc":
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(each.locate()), folder / each)


_WHOLE = """
import ctypes, pathlib, sys
import sarlens.cli, sarlens.wiring, psycopg.pq, botocore.session

for library in pathlib.Path(sys.argv[1]).rglob("*.so"):
    ctypes.CDLL(str(library))
assert psycopg.pq.__impl__ == "binary"
for service in ("s3", "sts", "sso", "sso-oidc", "signin"):
    botocore.session.Session().create_client(service, region_name="eu-central-1")
"""


def _packages(trimmed: Path) -> dict[str, str]:
    """An environment in which Python finds the trimmed packages and Sarlens, and with ``-S`` nothing else."""
    return os.environ | {"PYTHONPATH": f"{trimmed}:{ROOT / 'service'}", "PYTHONDONTWRITEBYTECODE": "1"}


def test_trimming_leaves_what_is_opened(trimmed: Path) -> None:
    """After trimming all compiled code loads, AWS credentials can be had in each way, and 240 MB are not exceeded."""
    command = [sys.executable, "-S", "-c", _WHOLE, str(trimmed)]
    ended = subprocess.run(command, env=_packages(trimmed), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert sum(each.stat().st_size for each in trimmed.rglob("*") if each.is_file()) < 240 * 2**20


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
        await until_it_answers(f"{url}/readyz")
        async with aiohttp.ClientSession(url) as session:
            image = "s3://scenes/trimmed.tif"
            async with session.get("/v1/sar/picture", params={"url": image}) as answer:
                assert (answer.status, (await answer.read())[:4]) == (200, b"\x89PNG")
            async with session.post("/v1/sar/vqa", json={"image": image, "questions": ["How many ships?"]}) as answer:
                assert answer.status == 200, await answer.text()
    finally:
        if process.returncode is None:
            process.kill()
