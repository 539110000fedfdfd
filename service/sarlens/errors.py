"""The error tree, with the status, code and type of each error in every protocol.

SarlensError
├── BadRequest                400  the request is invalid
│   ├── UnsupportedImage      400  the image format isn't supported
│   ├── WindowOutOfBounds     400  the window is empty or outside the image
│   ├── BandNotFound          400  the image has no such band
│   ├── NotGeoreferenced      400  the image has no georeference
│   ├── CalibrationMissing    400  the image can't be calibrated as requested
│   ├── NoValidPixels         400  the window has no valid pixel
│   ├── SourceNotAllowed      400  the scheme or host of the URL isn't allowed
│   ├── UnsupportedItem       400  the JSON isn't a STAC Item with an image
│   ├── AssetNotFound         400  the STAC Item has no such asset, or several candidates
│   └── MethodNotAllowed      405  the path doesn't support the method
├── Unauthenticated           401  the API key is missing or unknown
├── PermissionDenied          403  the API key doesn't allow the image
├── AccessDenied              403  the object store denies access
├── NotFound                  404
│   ├── ImageNotFound         404  the object, bucket or page doesn't exist
│   ├── ModelNotFound         404  no worker serves the model, or the key doesn't allow it
│   ├── ProcessNotFound       404  the process doesn't exist
│   ├── JobNotFound           404  the job doesn't exist, or belongs to another key
│   ├── FileNotFound          404  the file doesn't exist, or belongs to another key
│   └── ResultNotReady        404  the job has no result yet
├── PayloadTooLarge           413  a body or an image exceeds a limit
├── DeadlineExceeded          408  the caller's deadline passed
├── RequestTimeout            408  the request didn't arrive in time
├── SourceChanged             409  the object changed while it was read
├── OutputExists              409  the output of a survey exists already
├── QuotaExceeded             429  the API key reached its rate limit
├── HeadTooLarge              431  the headers exceed the limit
├── SourceUnavailable         502  the object store is unreachable or fails
│   ├── SourceThrottled       503  the object store or web server rejects requests for a while
│   └── StoreCredentials      502  the gateway's own credentials are missing or wrong
├── JobFailed                 500  the job failed
├── JobsUnavailable           503  the job database fails
├── FilesUnavailable          503  the file storage fails
├── WorkerFailed              502  a worker closed the connection or sent an invalid response
│   ├── WorkerUnreachable     502  a worker doesn't accept connections
│   └── WorkerLost            502  a worker failed its health check before it responded
├── NoWorkerAvailable         503  no worker is available
│   └── WorkersFull           429  every worker declined the request with 429
├── Overloaded                503  the gateway is overloaded
├── Draining                  503  the gateway is shutting down
└── Timeout                   504  a source or a worker took too long

Errors hold a sentence for the caller and, if one field is invalid, its name.
They never hold requests, credentials or local paths.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

MAX_MESSAGE_CHARS = 4000
"""Maximum length of a message; messages can quote what a caller sent."""
MAX_PARAM_CHARS = 256
"""Maximum length of a field's name."""


class SarlensError(Exception):
    """An error that the gateway reports to a caller."""

    status: ClassVar[int] = 500
    """HTTP status code."""
    openai_type: ClassVar[str] = "server_error"
    """Field ``type`` of an OpenAI error object."""
    code: ClassVar[str] = "internal_error"
    """Field ``code`` of an OpenAI error object; also the label of the metrics."""
    grpc_status: ClassVar[str] = "INTERNAL"
    """Name of the gRPC status code."""
    ogc_exception: ClassVar[str | None] = None
    """Name of the exception in OGC API Processes, if it defines one."""

    def __init__(self, message: str, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message[:MAX_MESSAGE_CHARS])
        self.message = message if len(message) <= MAX_MESSAGE_CHARS else f"{message[: MAX_MESSAGE_CHARS - 1]}…"
        self.param = param and param[:MAX_PARAM_CHARS]
        self.retry_after = retry_after


def error_of_caller(code: str) -> type[SarlensError] | None:
    """Return the error with a code, if its cause is the request: the status is below 500, and the key is valid."""
    classes, found = [SarlensError], None
    while classes and found is None:
        error = classes.pop()
        classes += error.__subclasses__()
        found = error if error.code == code and error.status < 500 and error is not Unauthenticated else None
    return found


class StartupError(Exception):
    """The gateway can't start; the message is one line for the operator, without secrets."""


class BindError(StartupError):
    """The gateway can't listen on an address."""


class BadRequest(SarlensError):
    """The request is invalid."""

    status = 400
    openai_type = "invalid_request_error"
    code = "bad_request"
    grpc_status = "INVALID_ARGUMENT"


class UnsupportedImage(BadRequest):
    """The image format isn't supported."""

    code = "unsupported_image"


class WindowOutOfBounds(BadRequest):
    """The window is empty or outside the image."""

    code = "window_outside"


class BandNotFound(BadRequest):
    """The image has no such band."""

    code = "band_missing"


class NotGeoreferenced(BadRequest):
    """The image has no georeference."""

    code = "not_georeferenced"


class CalibrationMissing(BadRequest):
    """The calibration data is missing or doesn't belong to the image."""

    code = "calibration_missing"


class NoValidPixels(BadRequest):
    """The window has no valid pixel."""

    code = "nothing_measured"


class SourceNotAllowed(BadRequest):
    """The scheme or host of the image URL isn't allowed."""

    code = "source_refused"


class UnsupportedItem(BadRequest):
    """The JSON isn't a STAC Item with an image."""

    code = "unsupported_item"


class AssetNotFound(BadRequest):
    """The STAC Item has no such asset, or several candidates."""

    code = "asset_missing"


class MethodNotAllowed(BadRequest):
    """The path doesn't support the method."""

    status = 405
    code = "wrong_method"

    def __init__(self, message: str, *, allow: Collection[str] = ()) -> None:
        """``allow`` has the methods that the path supports."""
        super().__init__(message)
        self.allow = allow


class Unauthenticated(SarlensError):
    """The API key is missing or unknown."""

    status = 401
    openai_type = "authentication_error"
    code = "invalid_api_key"
    grpc_status = "UNAUTHENTICATED"


class PermissionDenied(SarlensError):
    """The API key doesn't allow the image, the metrics, or the model of a job."""

    status = 403
    openai_type = "permission_error"
    code = "not_allowed"
    grpc_status = "PERMISSION_DENIED"


class QuotaExceeded(SarlensError):
    """The API key reached its limit of requests or tokens per minute, or of queued requests."""

    status = 429
    openai_type = "rate_limit_error"
    code = "quota_exceeded"
    grpc_status = "RESOURCE_EXHAUSTED"


class AccessDenied(SarlensError):
    """The object store denies access to the object."""

    status = 403
    openai_type = "permission_error"
    code = "access_denied"
    grpc_status = "PERMISSION_DENIED"


class NotFound(SarlensError):
    """The resource doesn't exist."""

    status = 404
    openai_type = "not_found_error"
    code = "not_found"
    grpc_status = "NOT_FOUND"


class ImageNotFound(NotFound):
    """The object, bucket or page doesn't exist."""

    code = "image_not_found"


class ModelNotFound(NotFound):
    """No worker serves the model, or the API key doesn't allow it."""

    code = "model_not_found"


class ProcessNotFound(NotFound):
    """The process doesn't exist."""

    code = "process_not_found"
    ogc_exception = "no-such-process"


class JobNotFound(NotFound):
    """The job doesn't exist, or belongs to another caller."""

    code = "job_not_found"
    ogc_exception = "no-such-job"


class FileNotFound(NotFound):
    """The file doesn't exist, belongs to another caller, or has expired."""

    code = "file_not_found"


class ResultNotReady(NotFound):
    """The job has no result yet."""

    code = "result_not_ready"
    ogc_exception = "result-not-ready"


class JobFailed(SarlensError):
    """The job failed."""

    code = "job_failed"


class JobsUnavailable(SarlensError):
    """The job database fails."""

    status = 503
    code = "jobs_unavailable"
    grpc_status = "UNAVAILABLE"


class FilesUnavailable(SarlensError):
    """The file storage fails."""

    status = 503
    code = "files_unavailable"
    grpc_status = "UNAVAILABLE"


class DeadlineExceeded(SarlensError):
    """The caller's deadline passed."""

    status = 408
    openai_type = "timeout_error"
    code = "deadline_passed"
    grpc_status = "DEADLINE_EXCEEDED"


class RequestTimeout(SarlensError):
    """The request didn't arrive in time, or too slowly."""

    status = 408
    openai_type = "timeout_error"
    code = "request_timeout"
    grpc_status = "DEADLINE_EXCEEDED"


class SourceChanged(SarlensError):
    """The object changed while the gateway read it."""

    status = 409
    openai_type = "conflict_error"
    code = "source_changed"
    grpc_status = "ABORTED"


class OutputExists(SarlensError):
    """The output of a survey exists, or another survey writes to it."""

    status = 409
    openai_type = "conflict_error"
    code = "output_exists"
    grpc_status = "ALREADY_EXISTS"


class PayloadTooLarge(SarlensError):
    """A body or an image exceeds a limit."""

    status = 413
    openai_type = "invalid_request_error"
    code = "too_large"
    grpc_status = "RESOURCE_EXHAUSTED"


class HeadTooLarge(SarlensError):
    """The request line and headers exceed the limit."""

    status = 431
    openai_type = "invalid_request_error"
    code = "head_too_large"
    grpc_status = "RESOURCE_EXHAUSTED"


class SourceUnavailable(SarlensError):
    """The object store or web server is unreachable or fails."""

    status = 502
    openai_type = "upstream_error"
    code = "source_unavailable"
    grpc_status = "UNAVAILABLE"


class SourceThrottled(SourceUnavailable):
    """The object store or web server rejects requests because it gets too many."""

    DEFAULT_RETRY_AFTER_S: ClassVar[int] = 5
    """Seconds until a retry, if the source doesn't say."""

    status = 503
    openai_type = "overloaded_error"
    code = "source_throttled"


class StoreCredentials(SourceUnavailable):
    """The gateway's own credentials for the store are missing or wrong."""

    code = "store_credentials"


class WorkerFailed(SarlensError):
    """A worker closed the connection or sent an invalid response."""

    status = 502
    openai_type = "upstream_error"
    code = "worker_failed"
    grpc_status = "UNAVAILABLE"


class WorkerUnreachable(WorkerFailed):
    """A worker doesn't accept connections; the request can go to another worker."""

    code = "worker_unreachable"


class WorkerLost(WorkerFailed):
    """A worker failed its health check before it responded; it may have processed the request."""

    code = "worker_lost"


class NoWorkerAvailable(SarlensError):
    """No worker is available."""

    status = 503
    openai_type = "overloaded_error"
    code = "no_worker"
    grpc_status = "UNAVAILABLE"


class WorkersFull(NoWorkerAvailable):
    """Every worker declined the request with 429."""

    status = 429
    openai_type = "rate_limit_error"
    code = "workers_full"
    grpc_status = "RESOURCE_EXHAUSTED"


class Overloaded(SarlensError):
    """The gateway is overloaded."""

    status = 503
    openai_type = "overloaded_error"
    code = "overloaded"
    grpc_status = "RESOURCE_EXHAUSTED"


class Draining(SarlensError):
    """The gateway is shutting down."""

    status = 503
    openai_type = "overloaded_error"
    code = "draining"
    grpc_status = "UNAVAILABLE"


class Timeout(SarlensError):
    """A source or a worker took longer than allowed."""

    status = 504
    openai_type = "timeout_error"
    code = "timeout"
    grpc_status = "DEADLINE_EXCEEDED"
