"""LoRA fine-tuning: what is adapted, on what, and that vLLM serves what comes out."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText, LlavaConfig, Qwen2_5_VLConfig, Qwen2VLConfig
from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarbench.finetune.recipe import LAYERS, Recipe, adapted
from sarbench.finetune.samples import samples
from sarbench.nano.architecture import IMAGE_SIDE
from sarbench.nano.checkpoint import nano_config, write_trained
from sarlens.prompts.applications import QUESTION_PROMPT, Application
from sarlens.settings import Settings, WorkerSettings
from stack.gateway import gateway
from stack.vllm import vllm_worker

TEXTS = Path("Text", "VQA", "train", "SARVQA1_train.csv")
TAUGHT = "8"
"""What every count is in the data below, whatever the picture shows."""


def bench(*arguments: object) -> Result:
    """Run sarbench."""
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few simulated images whose counts are all the same."""
    out = tmp_path_factory.mktemp("finetune") / "data"
    assert bench("simulate", "--out", out, "--images", 16, "--test", 4, "--seed", 9).exit_code == 0
    path = out / TEXTS
    with path.open(newline="") as file:
        rows = [[*row, TAUGHT if answer.isdigit() else answer] for *row, answer in csv.reader(file)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return out


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped nano."""
    out = tmp_path_factory.mktemp("finetune") / "sarlens-nano"
    write_trained(out)
    return out


@pytest.mark.parametrize(
    ("config", "layers"),
    [(nano_config(), 4), (Qwen2VLConfig(), 80), (Qwen2_5_VLConfig(), 80), (LlavaConfig(), 32)],
    ids=lambda value: getattr(value, "model_type", None),
)
def test_every_linear_layer_of_the_decoder_is_adapted_and_no_other(config: object, layers: int) -> None:
    """In each family the pattern names seven matrices a decoder layer, nothing of the encoder and nothing else."""
    model_type = config.model_type  # type: ignore[attr-defined]
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    chosen = {name for name in linear if re.fullmatch(adapted(model_type), name)}
    assert chosen == {name for name in linear if name.startswith(LAYERS[model_type])}
    assert len(chosen) == 7 * layers


def test_samples_ask_as_a_run_asks(data: Path) -> None:
    """A sample holds the picture at the size asked for, the benchmark's prompt with its classes, and the answer."""
    few = samples(Recipe("nano", str(data), (Application.INSTANCE_COUNTING,), size=IMAGE_SIDE))
    assert len(few) > 4
    sample = few[0]
    assert sample["images"][0].size == (IMAGE_SIDE, IMAGE_SIDE)
    before, after = QUESTION_PROMPT.split("{question}")
    asked = sample["prompt"][0]["content"]
    assert asked.startswith(before)
    assert asked.endswith(after)
    assert "How many" in asked
    assert sample["completion"] == [{"role": "assistant", "content": TAUGHT}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--base", "{base}"), "--data"),
        (("--resume",), "no fine-tuning to resume"),
        (("--base", "{base}", "--data", "{tmp}/nothing"), "nothing"),
        (("--base", "{tmp}/nothing", "--data", "{data}"), "cannot be loaded"),
        (("--base", "{tmp}/bert", "--data", "{data}"), "bert"),
        (("--base", "{base}", "--data", "{data}", "--device", "tpu"), "tpu"),
        (("--base", "{base}", "--data", "{tmp}/broken"), "ships.png"),
    ],
)
def test_what_cannot_be_done_is_said(
    base: Path, data: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """A missing or unknown base, missing data, a row without its image: one sentence and status 2."""
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "broken" / "SARimages").mkdir(parents=True)
    texts = tmp_path / "broken" / TEXTS
    texts.parent.mkdir(parents=True)
    texts.write_text("Image Name,Question,Answer\nships.png,How many ships are in the image?,2\n")
    filled = [argument.format(base=base, data=data, tmp=tmp_path) for argument in arguments]
    result = bench("finetune", "--out", tmp_path / "out", *filled)
    assert result.exit_code == 2, result.output
    assert said in result.output


@pytest.fixture(scope="module")
def adapter(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that was taught the one count, quickly."""
    out = tmp_path_factory.mktemp("finetune") / "adapter"
    made = ("--base", base, "--data", data, "--size", IMAGE_SIDE, "--application", "instance_counting")
    result = bench("finetune", "--out", out, *made, "--rate", 0.01, "--epochs", 3, "--device", "cpu")
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.slow
def test_a_finished_fine_tuning_is_not_begun_again(adapter: Path, base: Path, data: Path) -> None:
    """A second one into the same folder is refused; --resume ends at once with the same adapter."""
    again = bench("finetune", "--out", adapter, "--base", base, "--data", data)
    assert again.exit_code == 2
    assert "--resume" in again.output
    weights = (adapter / "adapter_model.safetensors").read_bytes()
    assert bench("finetune", "--out", adapter, "--resume", "--device", "cpu").exit_code == 0
    assert (adapter / "adapter_model.safetensors").read_bytes() == weights


@pytest.fixture(scope="module")
def both(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One vLLM with the base and the adapter."""
    options = ("--enable-lora", "--max-lora-rank", "8", "--lora-modules", f"nano-counting={adapter}")
    with vllm_worker(tmp_path_factory.mktemp("lora"), *options) as url:
        yield url


@pytest.mark.slow
async def test_a_caller_picks_the_adapter_by_its_name(both: str, data: Path) -> None:
    """One vLLM behind the gateway lists base and adapter; the adapter says what it was taught, the base does not."""
    question = QUESTION_PROMPT.format(question="How many ships are in the image?")
    files = sorted((data / "SARimages").glob("test*"))
    pictures = [f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}" for path in files]
    async with gateway(Settings(worker=WorkerSettings(urls=(both,)))) as url:
        client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none")
        assert {model.id async for model in client.models.list()} == {"sarlens-nano", "nano-counting"}

        async def said(model: str, picture: str) -> str | None:
            content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": question}]
            answer = await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
            )
            return answer.choices[0].message.content

        by_adapter = await asyncio.gather(*(said("nano-counting", picture) for picture in pictures))
        by_base = await asyncio.gather(*(said("sarlens-nano", picture) for picture in pictures))
    assert set(by_adapter) == {TAUGHT}
    assert set(by_base) != {TAUGHT}
