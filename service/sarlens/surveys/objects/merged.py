"""Objects of a survey: the candidates of all tiles, merged and written as GeoJSON features."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from sarlens.errors import JobFailed
from sarlens.jobs.batch_writer import Feature
from sarlens.jobs.extent import Bounds
from sarlens.jobs.store import JobStore
from sarlens.surveys.objects.candidates import Candidate
from sarlens.surveys.objects.merging import EARTH_RADIUS_M, Placed, merge_candidates
from sarlens.surveys.plan import SurveyPlan

MAX_CANDIDATES = 100_000
"""Largest number of candidates of one survey, about 100 MB."""
_PAGE_SIZE = 500
_CANDIDATES = TypeAdapter(list[Candidate])


async def write_objects(store: JobStore, job_id: str, plan: SurveyPlan) -> None:
    """Merge the candidates of all tiles of a job, and store its objects in place of those of an earlier run.

    Raises:
        JobFailed: there are more than ``MAX_CANDIDATES``.
        JobNotActive: the job is complete, dismissed or deleted.
        JobsUnavailable: the database fails.
    """
    candidates: dict[int, list[Candidate]] = {}
    after = (-1, -1)
    while page := await store.objects.list_candidates(job_id, after=after, limit=_PAGE_SIZE):
        after = page[-1][:2]
        for _, question, text in page:
            candidates.setdefault(question, []).extend(_CANDIDATES.validate_json(text))
        if sum(map(len, candidates.values())) > MAX_CANDIDATES:
            raise JobFailed(
                f"The survey has more than {MAX_CANDIDATES} candidates of objects. Survey a part of the scene, or "
                "lower cfar.pfa."
            )
    features = await asyncio.to_thread(_features, job_id, plan, candidates)
    await store.objects.replace(job_id, features)


def _features(
    job_id: str, plan: SurveyPlan, candidates: Mapping[int, list[Candidate]]
) -> list[tuple[int, Feature, Bounds]]:
    """Return the index of the question, the feature and the bounds of each object, question by question."""
    return [
        (question, _feature(job_id, plan, question, number, placed), (placed.lon, placed.lat, placed.lon, placed.lat))
        for question in sorted(candidates)
        for number, placed in enumerate(merge_candidates(list(_placed(plan, candidates[question]))))
    ]


def _placed(plan: SurveyPlan, candidates: Sequence[Candidate]) -> Iterable[Placed]:
    """Yield candidates with their position on the ground, except those without one."""
    if plan.georeference is None or not candidates:
        return
    cols = np.array([candidate.col for candidate in candidates])
    rows = np.array([candidate.row for candidate in candidates])
    lon, lat = plan.georeference.pixel_to_lonlat(cols, rows)
    right, below = (plan.georeference.pixel_to_lonlat(cols + across, rows + down) for across, down in ((1, 0), (0, 1)))
    pixel_m = (_distances_m(lon, lat, *right) + _distances_m(lon, lat, *below)) / 2
    for index, candidate in enumerate(candidates):
        if np.isfinite([lon[index], lat[index], pixel_m[index]]).all():
            yield Placed(candidate, float(lon[index]), float(lat[index]), float(pixel_m[index]))


def _distances_m(lon: Any, lat: Any, other_lon: Any, other_lat: Any) -> Any:
    """Return distances of near points in meters, on a sphere with the mean radius of the Earth."""
    east = np.radians((other_lon - lon + 180) % 360 - 180) * np.cos(np.radians(lat))
    return EARTH_RADIUS_M * np.hypot(east, np.radians(other_lat - lat))


def _feature(job_id: str, plan: SurveyPlan, question: int, number: int, placed: Placed) -> Feature:
    found, task = placed.candidate, plan.spec.tasks[question]
    properties: dict[str, Any] = {
        "class": found.object_class,
        "score": found.score,
        "source": found.source,
        "contrast_db": _rounded(found.contrast_db, 1),
        "col": round(found.col, 2),
        "row": round(found.row, 2),
        "width": round(found.width, 2),
        "height": round(found.height, 2),
        "length_m": round(placed.length_m, 1),
        "tile": found.tile,
        "image_id": found.image_id,
        "question": task.question,
    }
    if task.id is not None:
        properties["question_id"] = task.id
    properties["model"] = plan.model
    if plan.spec.acquisition is not None:
        properties |= plan.spec.acquisition.as_flat_columns
    properties |= {"image": plan.name, "image_version": plan.version, "survey": job_id}
    properties["radiometry"] = plan.render.radiometry
    geometry = {"type": "Point", "coordinates": [round(placed.lon, 7), round(placed.lat, 7)]}
    return {"type": "Feature", "id": f"{job_id}.{question}.o{number}", "geometry": geometry, "properties": properties}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
