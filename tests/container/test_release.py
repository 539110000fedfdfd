"""What a release publishes: wheel, bill of materials, notes, and the workflows that publish them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

import sarlens
from sarlens.devstack.ports import free_port
from sarlens.runtime.child_process import run_process
from support.gateway import until_it_answers

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    """Yield each step of each job."""
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job.get("steps", ())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_are_valid_and_least_privileged(workflow: Path) -> None:
    """A workflow is valid by GitHub's schema, may only read by default, and each action has a version."""
    schema = ["--builtin-schema", "vendor.github-workflows", str(workflow)]
    ended = subprocess.run([sys.executable, "-m", "check_jsonschema", *schema], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stdout.decode()
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}
    actions = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert all(re.search(r"@(v\d+|release/v1)$", action) for action in actions), actions


def test_workflows_run_commands_that_exist() -> None:
    """Each make target and each script that a workflow runs is in the repository."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [step["run"] for workflow in WORKFLOWS for step in steps(workflow) if "run" in step]
    wanted = {
        word
        for command in commands
        for words in re.findall(r"^make ((?:-*[a-z-]+ ?)+)", command)
        for word in words.split()
    }
    assert {"wheel", "sbom", "release-notes"} <= wanted
    assert {word for word in wanted if not word.startswith("-")} <= targets
    scripts = {command for command in commands if command.startswith(".ci/")}
    assert scripts == {".ci/run", ".ci/kind"}
    assert all((ROOT / script).stat().st_mode & 0o111 for script in scripts)


@pytest.mark.slow
def test_the_bill_of_materials_has_each_pin(tmp_path: Path) -> None:
    """The CycloneDX document is valid, reproducible, and has each pinned package of the gateway with its version."""
    command = [str(BIN / "cyclonedx-py"), "requirements", "service/requirements/gateway.txt", "--validate"]
    command += ["--pyproject", "pyproject.toml", "--output-reproducible", "--output-format", "JSON", "--output-file"]
    documents = [tmp_path / "a.json", tmp_path / "b.json"]
    for document in documents:
        subprocess.run([*command, str(document)], cwd=ROOT, check=True, capture_output=True)
    assert documents[0].read_bytes() == documents[1].read_bytes()
    components = json.loads(documents[0].read_text())["components"]
    lines = (ROOT / "service/requirements/gateway.txt").read_text().splitlines()
    pins = {re.split(" [;\\\\]", line)[0] for line in lines if line[0] != " "}
    assert {f"{one['name']}=={one['version']}" for one in components} == pins
    assert all(
        one["hashes"][0]["alg"] == "SHA-256" for reference in components for one in reference["externalReferences"]
    )


def test_release_notes_group_the_commits(tmp_path: Path) -> None:
    """Notes have features before fixes, with their scopes and without chores, since the last tag."""

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    for message in ("feat: old", "fix(s3): a", "feat(chart)!: b", "perf: c", "chore: d", "not conventional"):
        git("commit", "--quiet", "--allow-empty", "--message", message)
        if message == "feat: old":
            git("tag", "v0.1.0")
    command = [str(BIN / "git-cliff"), "--config", str(ROOT / ".ci/release-notes.toml"), "--unreleased"]
    notes = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert re.sub(r"\n+", "\n", notes).strip().splitlines() == [
        *("## Unreleased", "### Features", "- **chart**: b (breaking)"),
        *("### Fixes", "- **s3**: a", "### Performance", "- c"),
    ]


@pytest.fixture(scope="module")
def wheel_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the scripts of a new environment with the built wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob(f"sarlens-{sarlens.__version__}-cp311-abi3-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
    ]
    subprocess.run([*install, str(wheel)], check=True)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (own,) = (BIN.parent).glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{own}\n")
    return folder / "venv/bin"


@pytest.mark.slow
async def test_the_wheel_works_outside_of_a_checkout(wheel_environment: Path, tmp_path: Path) -> None:
    """From the wheel, ``sarlens`` has native kernels, writes the model, and serves the console."""

    def output(*command: str) -> str:
        command = (str(wheel_environment / command[0]), *command[1:])
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        ended = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    where = output("python", "-c", "import sarlens; print(sarlens.__file__)")
    assert where.startswith(str(wheel_environment.parent))
    assert output("sarlens", "--version") == f"sarlens {sarlens.__version__} (native kernels)\n"
    output("sarbench", "nano", "--out", str(tmp_path / "nano"))
    assert (tmp_path / "nano/model.safetensors").stat().st_size > 10_000_000
    port = free_port()
    serve = [str(wheel_environment / "sarlens"), "serve", "--port", str(port), "--worker", "http://127.0.0.1:9"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SARLENS_GRPC__PORT": "none"}
    with run_process("gateway", serve, environment, tmp_path / "gateway.log"):
        url = f"http://127.0.0.1:{port}"
        await until_it_answers(f"{url}/healthz")
        async with aiohttp.ClientSession() as session, session.get(f"{url}/console/") as response:
            assert (response.status, response.content_type) == (200, "text/html")
