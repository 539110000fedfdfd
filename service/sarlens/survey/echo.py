"""A job that gives back what it was given, for clients that want to try jobs out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from sarlens.survey.job import Job

ECHO = "echo"
"""The process of such jobs."""


class Echo(BaseModel):
    """What comes back, and after how many seconds; ``document`` wraps it as OGC API Processes does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    pause_s: float = 0.0
    document: bool = False


async def echo(job: Job, stopping: asyncio.Event, told: Callable[[], None]) -> None:
    """Wait for as long as the job says; its result is in its request."""
    await asyncio.sleep(Echo.model_validate_json(job.request).pause_s)
