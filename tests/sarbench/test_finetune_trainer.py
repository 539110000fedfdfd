"""LoRA training, and serving of the adapter by vLLM."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from finetune_data import TRAINED_COUNT, sarbench_command, write_counting_data
from typer.testing import Result

from sarbench.nano.checkpoint import write_trained
from sarbench.nano.dimensions import IMAGE_SIDE
from sarlens.devstack.ports import free_port
from sarlens.prompts.applications import QUESTION_PROMPT
from sarlens.settings import ManagementSettings, Settings, WorkerSettings
from support.cli_runner import invoke
from support.gateway import gateway
from support.vllm import vllm_worker


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated images with constant counts."""
    return write_counting_data(tmp_path_factory.mktemp("finetune") / "data")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled sarlens-nano."""
    out = tmp_path_factory.mktemp("finetune") / "sarlens-nano"
    write_trained(out)
    return out


@pytest.fixture(scope="module")
def adapter(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter trained on the constant count."""
    out = tmp_path_factory.mktemp("finetune") / "adapter"
    made = ("--base", base, "--data", data, "--size", IMAGE_SIDE, "--application", "instance_counting")
    result = sarbench_command("finetune", "--out", out, *made, "--rate", 0.01, "--epochs", 3, "--device", "cpu")
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.slow
def test_a_finished_fine_tuning_is_not_overwritten(adapter: Path, base: Path, data: Path) -> None:
    """A second fine-tuning into the same directory is rejected, and --resume keeps the adapter unchanged."""
    again = sarbench_command("finetune", "--out", adapter, "--base", base, "--data", data)
    assert again.exit_code == 1
    assert "--resume" in again.output
    weights = (adapter / "adapter_model.safetensors").read_bytes()
    assert sarbench_command("finetune", "--out", adapter, "--resume", "--device", "cpu").exit_code == 0
    assert (adapter / "adapter_model.safetensors").read_bytes() == weights


@pytest.fixture(scope="module")
def worker_url(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One vLLM worker with the base model and the adapter."""
    options = ("--enable-lora", "--max-lora-rank", "8", "--lora-modules", f"nano-counting={adapter}")
    variables = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    with vllm_worker(tmp_path_factory.mktemp("lora"), *options, environment=variables) as url:
        yield url


@pytest.mark.slow
async def test_requests_select_the_adapter_by_model_name(worker_url: str, data: Path) -> None:
    """The gateway lists base model and adapter, and only the adapter gives the trained count."""
    question = QUESTION_PROMPT.format(question="How many ships are in the image?")
    files = sorted((data / "SARimages").glob("test*"))
    image_urls = [f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}" for path in files]
    async with gateway(Settings(worker=WorkerSettings(urls=(worker_url,)))) as url:
        client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none")
        assert {model.id async for model in client.models.list()} == {"sarlens-nano", "nano-counting"}

        async def answer(model: str, picture: str) -> str | None:
            content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": question}]
            answer = await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
            )
            return answer.choices[0].message.content

        by_adapter = await asyncio.gather(*(answer("nano-counting", picture) for picture in image_urls))
        by_base = await asyncio.gather(*(answer("sarlens-nano", picture) for picture in image_urls))
    assert set(by_adapter) == {TRAINED_COUNT}
    assert set(by_base) != {TRAINED_COUNT}


@pytest.mark.slow
async def test_an_adapter_is_loaded_at_run_time(worker_url: str, adapter: Path) -> None:
    """vLLM loads a second adapter from the command line, rejects a directory without one, and unloads it."""
    port = free_port()
    settings = Settings(worker=WorkerSettings(urls=(worker_url,)), management=ManagementSettings(port=port))

    async def command(*arguments: str) -> Result:
        return await asyncio.to_thread(invoke, "adapter", *arguments, "--management", f"http://127.0.0.1:{port}")

    async with gateway(settings) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as sdk:
        assert "isn't loaded" in (await command("load", "nothing", str(adapter.parent))).stderr
        loaded = await command("load", "late", str(adapter))
        assert loaded.exit_code == 0, loaded.output
        assert f"late: sarlens-nano, {adapter}, on 1 workers" in (await command("list")).stdout
        answer = await sdk.chat.completions.create(model="late", messages=[{"role": "user", "content": "Ships?"}])
        assert answer.model == "late"
        assert (await command("unload", "late")).exit_code == 0
        assert {model.id async for model in sdk.models.list()} == {"sarlens-nano", "nano-counting"}
