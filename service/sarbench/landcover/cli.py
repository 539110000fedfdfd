"""The ``sarbench landcover`` command."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console

from sarbench.errors import DatasetError, RunError
from sarbench.landcover.legend import Legend
from sarbench.landcover.scores import CoverAnswer, dominant_table, presence_table
from sarbench.landcover.truth import DOMINANT_QUESTION, PRESENCE_QUESTIONS, WindowTruth, window_truths
from sarlens.client.image_input import to_image_url

_TIMEOUT = aiohttp.ClientTimeout(total=300)


def landcover(
    images: Annotated[Path, typer.Option(help="Directory of radar images, as GeoTIFF.")],
    truth: Annotated[
        Path, typer.Option(help="Directory of land cover rasters: lulc_NAME.tif for each image NAME.tif or *_NAME.tif.")
    ],
    out: Annotated[Path, typer.Option(help="File of all answers with their truth, as JSON.")],
    base_url: Annotated[str, typer.Option(help="Address of the gateway.")] = "http://localhost:8080",
    model: Annotated[str | None, typer.Option(help="Name of the model; optional if the gateway serves one.")] = None,
    legend: Annotated[Legend, typer.Option(help="Legend of the rasters.")] = "terramesh",
    side: Annotated[int, typer.Option(min=32, help="Side of the windows in pixels.")] = 112,
) -> None:
    """Compare a model's answers about real radar images with land cover rasters of the same ground.

    The key of the gateway is read from SARLENS_API_KEY.
    """
    truths = [
        window for image, raster in pair_files(images, truth) for window in window_truths(image, raster, legend, side)
    ]
    answers = asyncio.run(_ask_all(base_url.rstrip("/"), model, truths))
    out.write_text(json.dumps([asdict(answer) | {"right": answer.right} for answer in answers], indent=1) + "\n")
    console = Console()
    console.print(f"{len(truths)} windows of {len({window.image for window in truths})} images")
    console.print(presence_table(answers))
    console.print(dominant_table(answers))


def pair_files(images: Path, truth: Path) -> list[tuple[Path, Path]]:
    """Return each image with its raster.

    Raises:
        DatasetError: a raster has no image, or there is no raster.
    """
    pairs = []
    candidates = [image for image in sorted(images.glob("*.tif")) if not image.name.startswith("lulc_")]
    for raster in sorted(truth.glob("lulc_*.tif")):
        name = raster.name.removeprefix("lulc_")
        found = [image for image in candidates if image.name == name or image.name.endswith(f"_{name}")]
        if len(found) != 1:
            raise DatasetError(f"{raster.name} needs one image {name} or *_{name} in {images}; there are {len(found)}.")
        pairs.append((found[0], raster))
    if not pairs:
        raise DatasetError(f"{truth} has no land cover raster: name them lulc_NAME.tif.")
    return pairs


async def _ask_all(base_url: str, model: str | None, truths: Sequence[WindowTruth]) -> list[CoverAnswer]:
    key = os.environ.get("SARLENS_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:
        return [answer for truth in truths for answer in await _ask(session, base_url, model, truth)]


async def _ask(
    session: aiohttp.ClientSession, base_url: str, model: str | None, truth: WindowTruth
) -> list[CoverAnswer]:
    """Ask all questions about a window in one request."""
    presence, dominant = truth.presence(), truth.dominant()
    asked: list[tuple[str | None, bool | str]] = list(presence.items())
    asked += [(None, dominant)] if dominant else []
    questions = [PRESENCE_QUESTIONS[cover] if cover else DOMINANT_QUESTION for cover, _ in asked]
    if not questions:
        return []
    image = {"url": await to_image_url(truth.image, None), "sar": {"window": list(truth.window)}}
    body = {"model": model, "image": image, "questions": questions, "confidence": True}
    items = await _post(session, f"{base_url}/v1/sar/vqa", {name: value for name, value in body.items() if value})
    return [_cover_answer(truth, cover, expected, item) for (cover, expected), item in zip(asked, items, strict=True)]


def _cover_answer(truth: WindowTruth, cover: str | None, expected: bool | str, item: dict[str, Any]) -> CoverAnswer:
    typed = item.get("answer") or {}
    value = typed.get("value") if typed.get("type") == "boolean" else None
    return CoverAnswer(
        truth.image.name, truth.window, cover, expected, item.get("text") or "", value, item.get("confidence")
    )


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        async with session.post(url, json=body) as response:
            text = await response.text()
    except aiohttp.ClientError as error:
        raise RunError(f"No gateway answers at {url}: {error}") from error
    if response.status != 200:
        raise RunError(f"{url} answers {response.status}: {text[:300]}")
    items: list[dict[str, Any]] = json.loads(text)["data"]
    return items
