"""``GET /workers`` of the management port: what the gateway knows of its workers now."""

from __future__ import annotations

from time import monotonic
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

import sarlens
from sarlens.workers.pool import WorkerPool
from sarlens.workers.worker import Worker


class WorkerLocation(BaseModel):
    """A location of workers, as `SARLENS_WORKER__URLS` names it."""

    location: str = Field(description="Location, without credentials.")
    workers: int = Field(description="Number of workers found there.")
    error: str | None = Field(description="Why the last attempt failed; null if it didn't.")
    checked_s_ago: float = Field(description="Time since the last attempt, in seconds.")


class WorkerStatus(BaseModel):
    """A worker."""

    name: str = Field(description="Name in logs and metrics: that of its pod, or the base URL.")
    url: str = Field(description="Base URL.")
    ready: bool = Field(description="Whether it gets requests.")
    reason: str | None = Field(description="Why the last health check failed; null if it didn't.")
    models: list[str] = Field(description="Models and adapters that it serves.")
    weight: float = Field(description="Share of the traffic, relative to the other workers.")
    in_flight: int = Field(description="Requests of this gateway process in flight.")
    load: float = Field(description="Load in requests: those of this process and of others, and images to prefill.")
    mean_duration_s: float = Field(description="Mean duration of a request, in seconds.")
    breaker: Literal["closed", "open", "half_open"] = Field(
        description="State of the circuit breaker. `open`: it gets no requests. `half_open`: the next one is a trial."
    )
    known_images: int = Field(description="Number of images in its cache, as far as the gateway knows.")


class FleetStatus(BaseModel):
    """The workers of a gateway process."""

    version: str = Field(description="Version of the gateway.")
    locations: list[WorkerLocation] = Field(description="Locations of workers.")
    workers: list[WorkerStatus] = Field(description="Workers.")


def workers_router(pool: WorkerPool) -> APIRouter:
    """The route of the workers' state, for operators."""
    router = APIRouter(tags=["workers"])

    @router.get("/workers")
    async def workers() -> FleetStatus:
        """Describe the workers as the process that answers sees them."""
        now = monotonic()
        locations = [
            WorkerLocation(
                location=location, workers=found.workers, error=found.error, checked_s_ago=round(now - found.at, 3)
            )
            for location, found in pool.locations.items()
        ]
        return FleetStatus(
            version=sarlens.__version__, locations=locations, workers=[_describe(worker) for worker in pool.workers]
        )

    return router


def _describe(worker: Worker) -> WorkerStatus:
    breaker: Literal["closed", "open", "half_open"] = "closed"
    if not worker.breaker.is_closed:
        breaker = "open" if worker.breaker.is_open else "half_open"
    return WorkerStatus(
        name=worker.name,
        url=worker.client.url,
        ready=worker.ready,
        reason=worker.unready_reason,
        models=sorted(worker.models),
        weight=worker.weight,
        in_flight=worker.load.in_flight,
        load=round(worker.load.total, 3),
        mean_duration_s=round(worker.load.mean_duration_s, 4),
        breaker=breaker,
        known_images=len(worker.known_images),
    )
