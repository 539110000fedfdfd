"""CPU milliseconds an answer, by batch and one by one: a vLLM worker's API server and engine, and the gateway.

Two gateways are in front of one worker. Callers ask eight questions about an image at a time. Interleaved, each gateway
gets the same questions about images of its own.

    .venv/bin/python loadtests/question_batches.py
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import numpy as np
from PIL import Image

from harness import paired, print_machine, run_ms, run_ms_apart, sarlens, spread, starter, vllm_worker
from sar_scenes import MODEL_SIDE
from sar_workload import QUESTIONS
from sarbench.nano.checkpoint import write_trained
from sarlens.runtime.child_process import ManagedProcess

KINDS = ("ships", "cars", "tanks", "bridges", "harbors", "aircraft", "buildings", "ports")
ONE_TYPE = tuple(f"Are there any {kind} in the image?" for kind in KINDS)
CASES = {
    "known image, one answer type": (True, ONE_TYPE),
    "known image, four answer types": (True, QUESTIONS),
    "new image, one answer type": (False, ONE_TYPE),
    "new image, four answer types": (False, QUESTIONS),
}
MODES = {"batch": "16", "one by one": "1"}
"""Value of ``SARLENS_WORKER__MAX_BATCH_QUESTIONS``."""


def image(seed: int) -> str:
    """Return a noise image as a data URL."""
    pixels = np.random.default_rng(seed).gamma(2, 30, (MODEL_SIDE, MODEL_SIDE)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


async def ask_all(url: str, images: Sequence[str], questions: Sequence[str], callers: int) -> None:
    """Ask all questions about each image, ``callers`` images at a time."""
    remaining = iter(images)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:

        async def caller() -> None:
            for url_of_image in remaining:
                body = {"image": url_of_image, "questions": questions, "max_tokens": 8}
                async with session.post(f"{url}/v1/sar/vqa", json=body) as response:
                    answer = await response.json()
                    assert response.status == 200, answer
                    assert all("text" in item for item in answer["data"]), answer

        await asyncio.gather(*(caller() for _ in range(callers)))


def processes_ms(worker: ManagedProcess, gateway: ManagedProcess) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the CPU time of the worker's API server, of its engine and of a gateway, in milliseconds."""
    return np.array([*run_ms_apart(worker), run_ms(gateway)])


def main() -> None:
    """Start all processes, measure them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=24, help="images a round; each has eight questions")
    parser.add_argument("--callers", type=int, default=4, help="images at a time")
    args = parser.parse_args()
    figures = defaultdict[tuple[str, str], list[Sequence[float]]](list)
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = starter(stack, state)
        write_trained(state / "sarlens-nano")
        worker_url, worker = vllm_worker(start, "worker", state / "sarlens-nano")
        gateways = {
            mode: sarlens(start, [worker_url], {"SARLENS_WORKER__MAX_BATCH_QUESTIONS": maximum})
            for mode, maximum in MODES.items()
        }
        for number in range(args.rounds + 1):
            for case, (known, questions) in CASES.items():
                for mode in list(MODES)[:: -1 if number % 2 else 1]:
                    url, gateway = gateways[mode]
                    first = 10_000 * (
                        list(MODES).index(mode) + 2 * list(CASES).index(case) + 8 * (0 if known else number)
                    )
                    images = [image(first + index) for index in range(args.images)]
                    before = processes_ms(worker, gateway)
                    asyncio.run(ask_all(url, images, questions, args.callers))
                    spent = (processes_ms(worker, gateway) - before) / (len(images) * len(questions))
                    print(f"round {number}: {case}, {mode}: {spent.round(2)}", file=sys.stderr)
                    if number:  # round 0 warms up, and makes images known
                        figures[case, mode].append([*spent[:2], spent[0] + spent[1], spent[2]])
    print_machine()
    print(f"{'CPU ms an answer':44}{'API server':26}{'engine':26}{'worker':26}gateway")
    for case in CASES:
        columns = {mode: list(zip(*figures[case, mode], strict=True)) for mode in MODES}
        for mode in MODES:
            _print_row(f"{case}, {mode}", columns[mode])
        _print_row("  ratio by round", [paired(*pair) for pair in zip(*columns.values(), strict=True)])


def _print_row(name: str, columns: Sequence[Sequence[float]]) -> None:
    cells = [f"{spread(column, '.2f'):26}" for column in columns]
    print(f"{name:44}{''.join(cells)}")


if __name__ == "__main__":
    main()
