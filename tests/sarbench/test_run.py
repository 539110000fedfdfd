"""Asking an endpoint: what is sent, what is kept, and that nothing is lost or asked twice."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from sarbench.cli import app
from sarbench.run.answers import read_answers
from sarbench.run.plan import read_about
from sarlens.prompts.applications import CAPTION_PROMPT
from stack.oracle import Oracle, error, first, picture, picture_url, prompt, serving
from stack.released import BOXED, DARWIN, GENERAL, NICE, SARDET, write_csv, write_questions, write_released

TEXTS = 20
"""Texts in the test split of the released fixture."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are short here."""
    monkeypatch.setattr("sarbench.run.endpoint.FIRST_PAUSE_S", 0.001)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set in the released layout."""
    return write_released(tmp_path / "data")


def arguments(oracle: Oracle, data: Path, out: Path, *more: str) -> list[str]:
    """The command line of a run."""
    return ["run", "--base-url", oracle.url, "--model", "m", "--data", str(data), "--out", str(out), *more]


async def run(oracle: Oracle, data: Path, out: Path, *more: str) -> Result:
    """Run the command beside the endpoint."""
    return await asyncio.to_thread(CliRunner().invoke, app, arguments(oracle, data, out, *more))


def errors(out: Path) -> list[dict[str, Any]]:
    """The recorded failures."""
    return [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]


async def test_every_text_is_asked_once_in_the_papers_words(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Captions and questions go out with the paper's prompts, the picture's bytes first, at temperature 0."""
    oracle.answer = str.upper
    result = await run(oracle, data, tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert set(oracle.asked.values()) == {1, 2}  # both captions of an image are asked in the same words
    assert len(oracle.bodies) == TEXTS
    prompts = [prompt(body) for body in oracle.bodies]
    assert prompts.count(CAPTION_PROMPT) == 4
    assert "Question: What is the shape of the pools?. Answer the question concisely." in prompts
    assert {body["temperature"] for body in oracle.bodies} == {0}
    assert {body["model"] for body in oracle.bodies} == {"m"}
    sent = {picture(body) for body in oracle.bodies}
    assert sent == {path.read_bytes() for path in (data / "SARimages").iterdir()}
    answers = read_answers(tmp_path / "run")
    assert len({answer.key for answer in answers}) == TEXTS
    assert all(answer.answer.isupper() for answer in answers)


async def test_boxed_questions_name_the_classes_where_subsets_mix(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """SARVQA1 questions are prefixed when SARVQA2 is asked too, and only then."""
    asked = "What is the object present in the area [56.0, 191.0, 112.0, 122.0]?"
    named = f"Question: The classes are: tank, car, aircraft, harbor, bridge, ship. {asked}. Answer"
    placed = "Question: The classes are: top, center, bottom, left, right. Where are most bridges"
    await run(oracle, data, tmp_path / "mixed")
    prompts = [prompt(body) for body in oracle.bodies]
    assert sum(text.startswith((named, placed)) for text in prompts) == 2
    assert sum("The classes are" in text for text in prompts) == 3
    oracle.bodies.clear()
    (data / "Text/VQA/test/SARVQA2_test.csv").unlink()
    await run(oracle, data, tmp_path / "alone")
    assert not any("The classes are" in prompt(body) for body in oracle.bodies)


async def test_a_finished_run_asks_nothing_more(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Running the same command again sends no request."""
    await run(oracle, data, tmp_path / "run")
    result = await run(oracle, data, tmp_path / "run")
    assert result.exit_code == 0
    assert len(oracle.bodies) == TEXTS


async def test_a_half_written_line_is_dropped_and_its_text_asked_again(
    oracle: Oracle, data: Path, tmp_path: Path
) -> None:
    """What a dying machine left of the last line costs that one answer and nothing else."""
    await run(oracle, data, tmp_path / "run")
    path = tmp_path / "run" / "answers.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-1]) + whole[-1][:25])
    assert len(read_answers(tmp_path / "run")) == TEXTS - 1
    result = await run(oracle, data, tmp_path / "run")
    assert result.exit_code == 0
    assert len(oracle.bodies) == TEXTS + 1
    assert len(read_answers(tmp_path / "run")) == TEXTS


@pytest.mark.parametrize("line", [b"{not json}\n", b"[]\n", b'{"key": "k"}\n'])
async def test_a_damaged_line_is_named(line: bytes, oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """A line that is no answer is not guessed at: the run stops and says which it is."""
    await run(oracle, data, tmp_path / "run")
    path = tmp_path / "run" / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(line + whole)
    result = await run(oracle, data, tmp_path / "run")
    assert result.exit_code == 2
    assert "answers.jsonl:1: this line is" in result.output
    assert path.read_bytes() == line + whole


async def test_kill_nine_loses_nothing_and_asks_nothing_twice(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """A run killed at any moment keeps every answer it wrote, and going on asks only the others."""
    oracle.pause_s = 0.05
    out = tmp_path / "run"
    command = [sys.executable, "-c", "from sarbench.cli import app; app()"]
    process = await asyncio.create_subprocess_exec(
        *command, *arguments(oracle, data, out, "--concurrency", "2"), stdout=subprocess.DEVNULL
    )
    while not (out / "answers.jsonl").exists() or (out / "answers.jsonl").read_bytes().count(b"\n") < 5:
        await asyncio.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    kept = read_answers(out)
    assert 5 <= len(kept) < TEXTS
    before = len(oracle.bodies)
    result = await run(oracle, data, out)
    assert result.exit_code == 0
    assert len(oracle.bodies) - before == TEXTS - len(kept)
    assert read_answers(out)[: len(kept)] == kept
    assert len(read_answers(out)) == TEXTS


async def test_a_passing_failure_is_recorded_and_asked_again(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Three 500s cost three recorded attempts and no answer."""
    oracle.misbehave = first(3, lambda: error(500, "out of memory"))
    result = await run(oracle, data, tmp_path / "run", "--concurrency", "1")
    assert result.exit_code == 0
    assert len(read_answers(tmp_path / "run")) == TEXTS
    recorded = errors(tmp_path / "run")
    assert [(line["attempt"], line["status"], line["error"]) for line in recorded] == [
        (attempt, 500, "out of memory") for attempt in (1, 2, 3)
    ]


async def test_a_failure_is_never_an_answer(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """A text whose picture the endpoint refuses is recorded, left out, and asked again by the next run."""
    corrupt = (data / "SARimages" / DARWIN).read_bytes()
    oracle.misbehave = lambda body: error(400, "the image is damaged") if picture(body) == corrupt else None
    result = await run(oracle, data, tmp_path / "run")
    failed = sum(row[0] == DARWIN for row in (*BOXED, *GENERAL)) + 2
    assert result.exit_code == 1
    assert f"{TEXTS - failed} answers more, {failed} failed" in result.output
    assert {line["status"] for line in errors(tmp_path / "run")} == {400}
    assert len(errors(tmp_path / "run")) == failed
    assert DARWIN not in {answer.image for answer in read_answers(tmp_path / "run")}
    oracle.misbehave = lambda _: None
    assert (await run(oracle, data, tmp_path / "run")).exit_code == 0
    assert len(read_answers(tmp_path / "run")) == TEXTS


async def test_an_endpoint_that_dies_midway_stops_the_run_and_loses_nothing(data: Path, tmp_path: Path) -> None:
    """When nothing answers any more the run says so; once the endpoint is back, the same command finishes."""
    many = [(SARDET, f"How many ships are in row {number}?", "1") for number in range(80)]
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", many)
    out, oracle = tmp_path / "run", Oracle(pause_s=0.01)
    async with serving(oracle):
        task = asyncio.create_task(run(oracle, data, out, "--concurrency", "2", "--attempts", "2"))
        while len(oracle.bodies) < 10:
            await asyncio.sleep(0.002)
    result = await task
    assert result.exit_code == 2
    assert "20 texts in a row got no answer" in result.output
    assert "the same command goes on" in result.output
    kept = read_answers(out)
    assert kept
    oracle.bodies.clear()
    async with serving(oracle):
        assert (await run(oracle, data, out)).exit_code == 0
    assert len(oracle.bodies) == 80 + TEXTS - len(BOXED) - len(kept)


async def test_a_model_that_is_not_there_stops_the_run_early(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """An endpoint that refuses everything is not asked the whole data set."""
    many = [(SARDET, f"How many ships are in row {number}?", "1") for number in range(300)]
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", many)
    oracle.misbehave = lambda _: error(404, "The model `m` does not exist.")
    result = await run(oracle, data, tmp_path / "run")
    assert result.exit_code == 2
    assert "The model `m` does not exist." in result.output
    assert len(oracle.bodies) < 60


async def test_texts_that_always_fail_do_not_hold_up_the_others(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """What failed before is asked last, so a run that stopped over a poisonous image gets past it."""
    poison = [(NICE, f"How many ships are in row {number}?", "1") for number in range(25)]
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", [*poison, *(row[:3] for row in BOXED)])
    bad = (data / "SARimages" / NICE).read_bytes()
    oracle.misbehave = lambda body: error(500, "crashed") if picture(body) == bad else None
    more = ("--attempts", "1", "--concurrency", "1", "--application", "instance_counting")
    assert (await run(oracle, data, tmp_path / "run", *more)).exit_code == 2
    assert not read_answers(tmp_path / "run")
    assert (await run(oracle, data, tmp_path / "run", *more)).exit_code == 2
    assert {answer.image for answer in read_answers(tmp_path / "run")} == {SARDET}
    assert len(read_answers(tmp_path / "run")) == 2


async def test_a_file_with_the_wrong_columns_stops_the_run(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """A data set with the wrong columns is told before anything is asked."""
    write_csv(data / "Text/VQA/test/SARVQA1_test.csv", ("Picture", "Question", "Answer"), [BOXED[0][:3]])
    result = await run(oracle, data, tmp_path / "run", "--skip-bad-rows")
    assert result.exit_code == 2
    assert "SARVQA1_test.csv:1: no column Image Name" in result.output
    assert not oracle.bodies


async def test_requests_run_side_by_side_up_to_the_limit(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Concurrency is used, and not exceeded."""
    oracle.pause_s = 0.02
    await run(oracle, data, tmp_path / "run", "--concurrency", "5")
    assert oracle.most_running == 5


async def test_images_may_go_as_addresses(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """With a prefix the endpoint is told where each image lies, and how to render it."""
    sar = {"filter": "lee", "size": 224}
    more = ("--image-url-prefix", "s3://scenes/SARimages/", "--sar", json.dumps(sar))
    await run(oracle, data, tmp_path / "run", *more)
    images = [body["messages"][0]["content"][0]["image_url"] for body in oracle.bodies]
    assert {image["url"] for image in images} == {f"s3://scenes/SARimages/{name}" for name in (DARWIN, NICE, SARDET)}
    assert all(image["sar"] == sar for image in images)


async def test_the_address_names_the_file_that_is_there(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Rows that say .png are asked about the .tif that the data set holds in its place."""
    (data / "SARimages" / NICE).rename(data / "SARimages" / NICE.replace(".png", ".tif"))
    await run(oracle, data, tmp_path / "run", "--image-url-prefix", "s3://scenes")
    assert f"s3://scenes/{NICE.replace('.png', '.tif')}" in {picture_url(body) for body in oracle.bodies}


async def test_blacked_out_pictures_keep_only_their_size(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """The question-only baseline sends a black picture as large as the image."""
    await run(oracle, data, tmp_path / "run", "--blackout")
    for body in oracle.bodies:
        with Image.open(BytesIO(picture(body))) as shown:
            assert shown.size == (64, 48)
            assert shown.convert("L").getextrema() == (0, 0)


async def test_a_corrupt_image_fails_its_own_texts_only(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """A file that is no image is a recorded failure; the others are answered."""
    (data / "SARimages" / NICE).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    result = await run(oracle, data, tmp_path / "run", "--blackout")
    assert result.exit_code == 1
    assert {line["error"] for line in errors(tmp_path / "run")} == {f"{NICE} is no image that can be read"}
    assert {answer.image for answer in read_answers(tmp_path / "run")} == {DARWIN, SARDET}


async def test_the_gateway_is_asked_like_any_endpoint(url: str, data: Path, tmp_path: Path) -> None:
    """Sarlens answers a run, renders as it is told to, and its refusal of a damaged image is a recorded failure."""
    (data / "SARimages" / NICE).write_bytes(b"damaged")
    command = ["run", "--base-url", f"{url}/v1", "--model", "sarlens-nano", "--sar", '{"size": 32}']
    result = await asyncio.to_thread(
        CliRunner().invoke, app, [*command, "--data", str(data), "--out", str(tmp_path / "run")]
    )
    assert result.exit_code == 1, result.output
    assert {answer.answer for answer in read_answers(tmp_path / "run")} == {"There are 3 ships."}
    assert {answer.image for answer in read_answers(tmp_path / "run")} == {DARWIN, SARDET}
    assert {line["status"] for line in errors(tmp_path / "run")} == {400}


async def test_a_limit_draws_the_same_texts_for_a_seed(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """A draw is repeatable, as large as asked for, and another for another seed."""
    drawn = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        await run(oracle, data, tmp_path / name, "--limit", "7", "--seed", seed)
        drawn.append({answer.key for answer in read_answers(tmp_path / name)})
    assert len(drawn[0]) == 7
    assert drawn[0] == drawn[1] != drawn[2]
    assert read_about(tmp_path / "a").total == 7


async def test_one_application_can_be_asked_alone(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Only texts of the named application are sent."""
    await run(oracle, data, tmp_path / "run", "--application", "instance_counting")
    assert {answer.question for answer in read_answers(tmp_path / "run")} == {row[1] for row in BOXED[:2]}


async def test_a_run_is_not_mixed_with_another(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Another model, or a data set that changed meanwhile, needs another folder."""
    await run(oracle, data, tmp_path / "run")
    result = await run(oracle, data, tmp_path / "run", "--blackout")
    assert result.exit_code == 2
    assert "holds a run that differs in blackout" in result.output
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", [(SARDET, "Q?", "A")])
    result = await run(oracle, data, tmp_path / "run")
    assert "holds a run that differs in texts" in result.output


async def test_flawed_data_is_asked_only_on_purpose(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """Bad rows stop a run before the first request, unless they are to be skipped, and then they are counted."""
    write_questions(data / "Text/VQA/test/SARVQA1_test.csv", [(SARDET, "How many ships?", ""), BOXED[0][:3]])
    result = await run(oracle, data, tmp_path / "run")
    assert result.exit_code == 2
    assert "SARVQA1_test.csv:2: Answer is empty" in result.output
    assert not oracle.bodies
    assert (await run(oracle, data, tmp_path / "run", "--skip-bad-rows")).exit_code == 0
    assert read_about(tmp_path / "run").bad_rows == 1


async def test_credentials_are_sent_and_never_written(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """A key goes out as a bearer token, credentials in the address as basic ones, and neither into a file."""
    await run(oracle, data, tmp_path / "key", "--api-key", "sk-secret")
    assert set(oracle.keys) == {"Bearer sk-secret"}
    oracle.keys.clear()
    in_address = ("--base-url", oracle.url.replace("http://", "http://user:pa55@"))
    await run(oracle, data, tmp_path / "address", *in_address)
    assert set(oracle.keys) == {"Basic dXNlcjpwYTU1"}
    written = [path.read_text() for run_ in ("key", "address") for path in (tmp_path / run_).iterdir()]
    assert len(written) == 6
    assert not any("sk-secret" in text or "pa55" in text for text in written)


@pytest.mark.parametrize(
    "address", ["localhost:8080/v1", "ftp://u:pa55@host/v1", "http://[::1/v1", "http://user:pa55@127.0.0.1/v1"]
)
async def test_an_unusable_address_is_told_before_anything_is_asked(
    address: str, oracle: Oracle, data: Path, tmp_path: Path
) -> None:
    """An address without http, or with credentials beside a key, stops the run before it begins."""
    result = await run(oracle, data, tmp_path / "run", "--base-url", address, "--api-key", "k")
    assert result.exit_code == 2
    assert not (tmp_path / "run").exists()
    assert "pa55" not in result.output


async def test_fields_are_merged_into_every_request(oracle: Oracle, data: Path, tmp_path: Path) -> None:
    """A field that an endpoint needs can be added, and one that it refuses taken out."""
    await run(oracle, data, tmp_path / "run", "--body", '{"max_tokens": null, "max_completion_tokens": 9}')
    assert all("max_tokens" not in body and body["max_completion_tokens"] == 9 for body in oracle.bodies)


@pytest.mark.parametrize("option", ["--sar", "--body"])
@pytest.mark.parametrize("value", ["{", "[1]", "3"])
async def test_an_option_that_is_no_json_object_is_told(
    option: str, value: str, oracle: Oracle, data: Path, tmp_path: Path
) -> None:
    """A slip in a JSON option stops the run before it begins."""
    result = await run(oracle, data, tmp_path / "run", option, value)
    assert result.exit_code == 2
    assert option in result.output
    assert not oracle.bodies
