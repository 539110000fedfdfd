"""Bodies and objects of ``/v1/files`` and ``/v1/batches``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from sarlens.batches.file_service import Purpose
from sarlens.batches.spec import BatchSpec, Endpoint, batch_id
from sarlens.jobs.batches import Batch
from sarlens.jobs.files import StoredFile
from sarlens.jobs.models import JobStatus
from sarlens.validation import BoundedModel, at_most

_MIN_TTL_S, _MAX_TTL_S = 3600, 2_592_000


class ExpiresAfter(BaseModel):
    """When a file expires."""

    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"] = Field(description="Always `created_at`: the time counts from the creation.")
    seconds: int = Field(ge=_MIN_TTL_S, le=_MAX_TTL_S, description="Seconds until the file expires.")


class FileFields(BoundedModel):
    """Fields of the form of an upload, next to the file."""

    model_config = ConfigDict(extra="forbid")

    purpose: Purpose
    expires_after: ExpiresAfter | None = None

    @property
    def ttl_s(self) -> float | None:
        """Time in seconds after which the file expires; None for the default."""
        return None if self.expires_after is None else float(self.expires_after.seconds)


MetadataKey = Annotated[str, StringConstraints(max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]


class BatchBody(BoundedModel):
    """Body of ``POST /v1/batches``."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = Field(
        description="Id of an uploaded file with the purpose `batch`, or the `s3://` URL of an object."
    )
    endpoint: Endpoint = Field(description="Path of all requests of the batch.")
    completion_window: Literal["24h"] = Field(description="Always `24h`: requests without a result expire then.")
    metadata: Annotated[dict[MetadataKey, MetadataValue], at_most(16)] | None = Field(
        None, description="Up to 16 texts, returned with the batch."
    )
    output_expires_after: ExpiresAfter | None = Field(None, description="When the files with the results expire.")
    output: Annotated[str, StringConstraints(pattern=r"^s3://[^/]+/.+$", max_length=1900)] | None = Field(
        None, description="`s3://` URL of a folder for the results. Default: files of the gateway."
    )

    @property
    def to_spec(self) -> BatchSpec:
        """The batch that the body requests."""
        expiry = self.output_expires_after
        return BatchSpec(
            endpoint=self.endpoint,
            input_file_id=self.input_file_id,
            output=self.output,
            output_ttl_s=None if expiry is None else float(expiry.seconds),
            metadata=self.metadata or {},
        )


def file_object(file: StoredFile) -> dict[str, Any]:
    """Return OpenAI's object of a file."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created),
        "expires_at": int(file.expires),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def batch_status(batch: Batch) -> str:
    """Return OpenAI's status of a batch."""
    if batch.status is JobStatus.FAILED:
        return "failed"
    if batch.status.is_terminal:
        return batch.ended or "cancelled"
    if batch.canceling is not None:
        return "cancelling"
    if batch.total is None:
        return "validating"
    return "in_progress" if batch.finalizing is None else "finalizing"


def batch_object(batch: Batch) -> dict[str, Any]:
    """Return OpenAI's object of a batch."""
    spec, status = BatchSpec.model_validate_json(batch.request), batch_status(batch)
    ended_at = {f"{status}_at": _seconds(batch.finished)} if batch.status.is_terminal else {}
    times = {f"{name}_at": None for name in ("completed", "failed", "expired", "cancelled")} | ended_at
    return {
        "id": batch_id(batch.job),
        "object": "batch",
        "endpoint": spec.endpoint,
        "errors": _errors(batch),
        "input_file_id": spec.input_file_id,
        "completion_window": "24h",
        "status": status,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": int(batch.created),
        "in_progress_at": _seconds(batch.validated),
        "expires_at": int(batch.expires),
        "finalizing_at": _seconds(batch.finalizing),
        "cancelling_at": _seconds(batch.canceling),
        **times,
        "request_counts": {"total": batch.total or 0, "completed": batch.completed, "failed": batch.failed},
        "metadata": spec.metadata or None,
    }


def _errors(batch: Batch) -> dict[str, Any] | None:
    errors = orjson.loads(batch.errors) if batch.errors else []
    if batch.code is not None:
        errors.append({"code": batch.code, "message": batch.message, "param": None, "line": None})
    return {"object": "list", "data": errors} if errors else None


def _seconds(time: float | None) -> int | None:
    return None if time is None else int(time)


def list_object(data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return OpenAI's object of a page of a list."""
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, **ends, "has_more": has_more}
