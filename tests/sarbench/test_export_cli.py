"""Exports of a data set, held to the published formats of each tool."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarlens.prompts.applications import CAPTION_PROMPT
from support.sarlang_fixture import BOXED, NICE, write_released

TEXTS = 20
COUNTING = "Question: How many harbors are located in the image?. Answer the question concisely."


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the layout of the release."""
    return write_released(tmp_path / "data", train=True)


def export(data: Path, out: Path, to: str, *more: str) -> Result:
    """Run ``sarbench export``."""
    result = CliRunner().invoke(app, ["export", str(data), "--to", to, "--out", str(out), *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("to", ["llamafactory", "swift"])
def test_conversations_have_one_image_token_and_one_image(to: str, data: Path, tmp_path: Path) -> None:
    """Each line has a user's and an assistant's message, and an image file that exists, for both training tools."""
    assert export(data, tmp_path / "out", to, "--split", "train", "--name", "sar").exit_code == 0
    lines = read_lines(tmp_path / "out/sar.jsonl")
    assert len(lines) == TEXTS
    for line in lines:
        user, assistant = line["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert user["content"].count("<image>") == len(line["images"]) == 1
        with Image.open(line["images"][0]) as image:
            assert image.size == (64, 48)
    assert {"role": "user", "content": f"<image>{COUNTING}"} in [line["messages"][0] for line in lines]


def test_dataset_info_registers_the_file_and_keeps_others(data: Path, tmp_path: Path) -> None:
    """``dataset_info.json`` of LLaMA-Factory has columns and tags in its sharegpt format, for each export."""
    for split in ("train", "test"):
        assert export(data, tmp_path / "out", "llamafactory", "--split", split, "--name", f"sar_{split}").exit_code == 0
    info = json.loads((tmp_path / "out/dataset_info.json").read_text())
    assert list(info) == ["sar_train", "sar_test"]
    assert info["sar_test"] == {
        "file_name": "sar_test.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }


def test_vlmevalkit_gets_a_table(data: Path, tmp_path: Path) -> None:
    """The TSV file has the columns of a custom data set; its predictions are scored as they come back."""
    assert export(data, tmp_path / "out", "vlmevalkit").exit_code == 0
    with (tmp_path / "out/sarlang.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["index"] for row in rows] == [str(index) for index in range(TEXTS)]
    assert all(Path(row["image_path"]).is_file() for row in rows)
    result = tmp_path / "model_sarlang.tsv"
    with result.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "prediction"], delimiter="\t")
        writer.writeheader()
        writer.writerows(row | {"prediction": row["answer"]} for row in rows)
    score = CliRunner().invoke(app, ["score", str(result), "--data", str(data)])
    assert score.exit_code == 0, score.output
    document = json.loads((tmp_path / "model_sarlang-run/score.json").read_text())
    assert document["all_texts"] == {"texts": TEXTS, "outcomes": {"answered": TEXTS}}
    assert document["strict"]["overall"]["mean"] == 1.0


def _load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("exported_utils", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lmms_eval_gets_a_task(data: Path, tmp_path: Path) -> None:
    """The task names its data and functions, and these return image, prompt, and a number for each metric."""
    assert export(data, tmp_path / "out", "lmms-eval", "--application", "instance_counting").exit_code == 0
    # lmms-eval's loader resolves !function to a function of a file beside the task.
    task = yaml.safe_load((tmp_path / "out/sarlang.yaml").read_text().replace("!function ", ""))
    assert (task["task"], task["output_type"], task["dataset_path"]) == ("sarlang", "generate_until", "json")
    docs = read_lines(Path(task["dataset_kwargs"]["data_files"][task["test_split"]]))
    assert [doc["answer"] for doc in docs] == [row[2] for row in BOXED[:2]]
    utils = _load_module(tmp_path / "out/utils.py")
    functions = {task[name].removeprefix("utils.") for name in ("doc_to_visual", "doc_to_text", "process_results")}
    assert all(callable(getattr(utils, function)) for function in functions)
    assert utils.doc_to_text(docs[0]) == COUNTING
    assert utils.doc_to_visual(docs[0])[0].size == (64, 48)
    results = utils.process_results(docs[0], ["There are 2 harbors."])
    assert results == {"strict": 0.0, "lenient": 1.0, "paper_without_judge": 1.0}
    assert [metric["metric"] for metric in task["metric_list"]] == list(results)


def test_hugging_face_loads_the_export(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``datasets.load_dataset`` gives all texts with decoded images."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert export(data, tmp_path / "out", "hf").exit_code == 0
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["test"]
    assert len(loaded) == TEXTS
    assert loaded[0]["image"].size == (64, 48)
    assert CAPTION_PROMPT in loaded["prompt"]
    assert set(loaded["subset"]) == {"complex", "concise", "SARVQA1", "SARVQA2"}


def test_raw_images_are_rendered(data: Path, tmp_path: Path) -> None:
    """With --render, each image is an 8-bit PNG file of its own size below the output, once."""
    assert export(data, tmp_path / "out", "swift", "--render").exit_code == 0
    images = sorted(path.name for path in (tmp_path / "out/images").iterdir())
    assert images == sorted({"0009787.png", NICE, "SV_Darwin_-12.4278_130.8688.png"})
    for path in (tmp_path / "out/images").iterdir():
        with Image.open(path) as image:
            assert (image.format, image.size) == ("PNG", (64, 48))


def test_invalid_rows_stop_an_export(data: Path, tmp_path: Path) -> None:
    """An invalid row stops the export unless it is skipped."""
    (data / "SARimages" / NICE).unlink()
    result = export(data, tmp_path / "out", "swift")
    assert result.exit_code == 1
    assert "invalid rows: list them with sarbench validate" in " ".join(result.output.split())
    assert export(data, tmp_path / "out", "swift", "--skip-bad-rows").exit_code == 0
