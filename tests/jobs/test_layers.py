"""Layers: the extent of the answers of each question."""

from __future__ import annotations

import asyncio

import pytest

from jobs.conftest import add_job
from sarlens.jobs.batch_writer import TileResult
from sarlens.jobs.extent import Bounds
from sarlens.jobs.filters import AnswerFilter, JobFilter
from sarlens.jobs.layers import Extent
from sarlens.jobs.models import Job
from sarlens.jobs.store import JobStore

TEXTS = ("How many ships?", "Any ships?")


def result(job: Job, tile: int, *bounds: Bounds | None, image: str = "s3://x") -> TileResult:
    """Return a tile with one feature per bounds, each about another question."""
    features = []
    for index, box in enumerate(bounds):
        properties = {"question": TEXTS[index], "image": image}
        features.append(({"type": "Feature", "id": f"{job.id}.{tile}.{index}", "properties": properties}, box))
    return TileResult(tile, "answered", features)


async def test_each_question_has_an_extent(store: JobStore) -> None:
    """The extent of a question grows with its answers, across transactions, also beyond the antimeridian."""
    job, empty = await add_job(store, created=1.0), await add_job(store, created=2.0)
    await asyncio.gather(store.write_tile(job.id, result(job, 0, (179.0, 0.0, 180.0, 1.0), None)))
    await asyncio.gather(
        store.write_tile(job.id, result(job, 1, (-180.0, 1.0, -179.0, 2.0))),
        store.write_tile(job.id, result(job, 2, (178.0, 0.0, 179.0, 1.0))),
    )
    newest, survey = await store.layers.surveys(JobFilter(), limit=10)
    assert (newest.id, newest.extents) == (empty.id, {})
    assert survey.id == job.id
    assert survey.extents[0].bounds == (178.0, 0.0, 181.0, 2.0)
    assert survey.extents[1].bounds is None
    times = [survey.extents[index].first for index in (0, 1)]
    assert times[0] == times[1] == survey.extents[1].last
    assert times[0] is not None
    assert times[0] <= (survey.extents[0].last or 0)
    assert await store.layers.surveys(JobFilter(ids=[job.id]), limit=10) == [survey]
    assert await store.layers.surveys(JobFilter(), limit=1, offset=1) == [survey]


async def test_an_owner_has_an_extent(store: JobStore) -> None:
    """The extent of an owner has only the owner's answers."""
    mine, yours = await add_job(store, owner="me"), await add_job(store, owner="you")
    await store.write_tile(mine.id, result(mine, 0, (1.0, 2.0, 3.0, 4.0)))
    await store.write_tile(yours.id, result(yours, 0, (11.0, 12.0, 13.0, 14.0)))
    assert (await store.layers.extent("me")).bounds == (1.0, 2.0, 3.0, 4.0)
    assert (await store.layers.extent(None)).bounds == (1.0, 2.0, 13.0, 14.0)
    assert await store.layers.extent("nobody") == Extent()


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({"text": TEXTS[0]}, ["a.0.0", "b.0.0"]),
        ({"image": "s3://b"}, ["b.0.0", "b.0.1"]),
        ({"text": TEXTS[1], "image": "s3://a", "owner": "me"}, ["a.0.1"]),
        ({"text": TEXTS[0], "owner": "me"}, ["a.0.0"]),
        ({"job": "b", "question": 1}, ["b.0.1"]),
        ({"text": "Other?"}, []),
    ],
)
async def test_answers_are_selected_by_question_and_image(
    store: JobStore, fields: dict[str, str], ids: list[str]
) -> None:
    """Question, image, index of the question and owner select answers together."""
    for name, owner in (("a", "me"), ("b", "you")):
        job = await add_job(store, id=name, owner=owner)
        await store.write_tile(name, result(job, 0, None, None, image=f"s3://{name}"))
    answer_filter = AnswerFilter(**fields)  # type: ignore[arg-type]
    found = [feature.split('"id":"')[1].split('"')[0] for _, feature in await store.list_answers(answer_filter)]
    assert found == ids
    assert await store.count_answers(answer_filter) == len(ids)
