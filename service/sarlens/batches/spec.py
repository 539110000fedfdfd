"""Batch specification: a request to run the lines of a file, independent of the protocol."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from sarlens.errors import JobNotFound

Endpoint = Literal[
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/sar/vqa", "/v1/sar/captions", "/v1/sar/surveys"
]
"""Paths whose requests can be lines."""
WINDOW_S = 86_400.0
"""Time from the creation of a batch until lines without a result expire, in seconds."""
_PREFIX = "batch_"


class BatchSpec(BaseModel):
    """Which requests to run, and where their results go. The job database has it as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Endpoint
    input_file_id: str
    """Id of a file, or an ``s3://`` URL."""
    output: str | None = None
    """``s3://`` URL of the folder of the results; None for files of the gateway."""
    output_ttl_s: float | None = None
    """Time in seconds after which the files with the results expire; None for that of all files."""
    metadata: dict[str, str] = {}
    """Values of the client, returned with the batch."""

    @property
    def input_url(self) -> str | None:
        """The ``s3://`` URL of the input, or None if it is a file."""
        return self.input_file_id if self.input_file_id.startswith("s3://") else None

    def result_url(self, batch_id: str, kind: Literal["output", "error"]) -> str | None:
        """Return the ``s3://`` URL of a result, or None if it is a file."""
        return None if self.output is None else f"{self.output.rstrip('/')}/{batch_id}_{kind}.jsonl"


def batch_id(job_id: str) -> str:
    """Return the id of a batch for callers."""
    return f"{_PREFIX}{job_id}"


def job_of(id_: str) -> str:
    """Return the id of the job of a batch.

    Raises:
        JobNotFound: no batch has such an id.
    """
    if not id_.startswith(_PREFIX):
        raise JobNotFound(f"Batch {id_[:64]!r} doesn't exist.")
    return id_.removeprefix(_PREFIX)
