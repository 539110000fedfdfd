"""Echo: a process that returns its input, to try the job API without an image."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, ConfigDict

from sarlens.jobs.models import Job

ECHO = "echo"
"""Process id."""


class Echo(BaseModel):
    """Parameters of an echo job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    """The result."""
    pause_s: float = 0.0
    """Duration of the job in seconds."""
    wrap_as_document: bool = False
    """Whether the result is a document of OGC API Processes instead of the raw text."""


async def run_echo(job: Job) -> None:
    """Wait for the job's pause. The result is in the job's request."""
    await asyncio.sleep(Echo.model_validate_json(job.request).pause_s)
