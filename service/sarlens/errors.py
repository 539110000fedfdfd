"""The error tree, and the one table that says how each looks on the wire.

SarlensError
├── BadRequest                400  what was sent cannot be understood
│   ├── UnsupportedImage      400  the bytes are no image that Sarlens reads
│   ├── WindowOutside         400  the window is empty or lies outside the image
│   ├── BandMissing           400  the image has no such band
│   ├── NotGeoreferenced      400  the image does not say where on the Earth it lies
│   ├── CalibrationMissing    400  the image cannot be calibrated as asked
│   ├── NothingMeasured       400  no pixel of the window was measured
│   ├── SourceRefused         400  a scheme or host that policy does not allow
│   ├── UnsupportedItem       400  the JSON is no STAC Item that leads to an image
│   ├── AssetMissing          400  the STAC Item does not say which asset is meant
│   └── WrongMethod           405  the path is right, the method is not
├── Unauthenticated           401  no API key, or none that is known
├── NotAllowed                403  the API key does not open a model or an image
├── AccessDenied              403  the store refuses the object to these credentials
├── NotFound                  404
│   ├── ImageNotFound         404  no such object, bucket or page
│   ├── ModelNotFound         404  no worker serves the model
│   ├── ProcessNotFound       404  no such process
│   ├── JobNotFound           404  no such job, or another key's
│   └── ResultNotReady        404  the job is not over yet
├── TooLarge                  413  a body or an image over the limit
├── DeadlinePassed            408  the caller's deadline came before the answer
├── SourceChanged             409  the object changed while it was read
├── QuotaExceeded             429  the API key has used up its minute
├── SourceUnavailable         502  the store cannot be reached or fails
│   └── StoreCredentials      502  the gateway's own credentials are missing or wrong
├── JobFailed                 500  a job has come to no result
├── JobsUnavailable           503  the database of jobs fails
├── WorkerFailed              502  a worker broke off or answered nonsense
│   └── WorkerUnreachable     502  a worker answered not one byte
├── NoWorker                  503  no worker can take the request now
├── Overloaded                503  more is asked than can be answered soon
├── Draining                  503  this gateway is going down
└── Timeout                   504  a source or a worker took too long

Errors carry plain values: a sentence for the caller and, where one field is to blame, its name.
They never carry requests, credentials or paths of this machine.
"""

from __future__ import annotations

from typing import ClassVar


class SarlensError(Exception):
    """Anything that Sarlens tells a caller went wrong.

    ``status`` is the HTTP status, ``kind`` the ``type`` of an OpenAI error object and ``code`` its ``code``,
    which is also the closed label that metrics count by. ``rpc`` is the status code of gRPC, ``ogc`` the name of the
    exception in OGC API Processes, where that has one.
    """

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    rpc: ClassVar[str] = "INTERNAL"
    ogc: ClassVar[str | None] = None

    def __init__(self, message: str, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


class CannotStart(Exception):
    """Why a gateway does not start: one line for the operator, without secrets."""


class BadRequest(SarlensError):
    """What was sent cannot be understood."""

    status = 400
    kind = "invalid_request_error"
    code = "bad_request"
    rpc = "INVALID_ARGUMENT"


class UnsupportedImage(BadRequest):
    """The bytes are no image that Sarlens reads."""

    code = "unsupported_image"


class WindowOutside(BadRequest):
    """The window is empty or lies outside the image."""

    code = "window_outside"


class BandMissing(BadRequest):
    """The image has no such band."""

    code = "band_missing"


class NotGeoreferenced(BadRequest):
    """The image does not say where on the Earth it lies."""

    code = "not_georeferenced"


class CalibrationMissing(BadRequest):
    """What a calibration needs is not there, or does not belong to the image."""

    code = "calibration_missing"


class NothingMeasured(BadRequest):
    """No pixel of the window was measured."""

    code = "nothing_measured"


class SourceRefused(BadRequest):
    """The image's scheme or host is not allowed here."""

    code = "source_refused"


class UnsupportedItem(BadRequest):
    """The JSON is no STAC Item, or one that leads to no image."""

    code = "unsupported_item"


class AssetMissing(BadRequest):
    """A STAC Item has no such asset, or none that is meant for certain."""

    code = "asset_missing"


class WrongMethod(BadRequest):
    """The path is right, the method is not."""

    status = 405
    code = "wrong_method"


class Unauthenticated(SarlensError):
    """The request carries no API key that is known here."""

    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"
    rpc = "UNAUTHENTICATED"


class NotAllowed(SarlensError):
    """The API key does not open a model or an image."""

    status = 403
    kind = "permission_error"
    code = "not_allowed"
    rpc = "PERMISSION_DENIED"


class QuotaExceeded(SarlensError):
    """The API key has used up its requests or tokens for now."""

    status = 429
    kind = "rate_limit_error"
    code = "quota_exceeded"
    rpc = "RESOURCE_EXHAUSTED"


class AccessDenied(SarlensError):
    """The store refuses the object to these credentials."""

    status = 403
    kind = "permission_error"
    code = "access_denied"
    rpc = "PERMISSION_DENIED"


class NotFound(SarlensError):
    """Nothing is there under that name."""

    status = 404
    kind = "not_found_error"
    code = "not_found"
    rpc = "NOT_FOUND"


class ImageNotFound(NotFound):
    """No such object, bucket or page."""

    code = "image_not_found"


class ModelNotFound(NotFound):
    """No worker serves the model."""

    code = "model_not_found"


class ProcessNotFound(NotFound):
    """There is no process of that name."""

    code = "process_not_found"
    ogc = "no-such-process"


class JobNotFound(NotFound):
    """No job has that id, or it is another caller's."""

    code = "job_not_found"
    ogc = "no-such-job"


class ResultNotReady(NotFound):
    """The job has no result yet."""

    code = "result_not_ready"
    ogc = "result-not-ready"


class JobFailed(SarlensError):
    """A job has ended without a result."""

    code = "job_failed"


class JobsUnavailable(SarlensError):
    """The database that jobs are kept in fails."""

    status = 503
    code = "jobs_unavailable"
    rpc = "UNAVAILABLE"


class DeadlinePassed(SarlensError):
    """The caller's deadline came before the answer."""

    status = 408
    kind = "timeout_error"
    code = "deadline_passed"
    rpc = "DEADLINE_EXCEEDED"


class SourceChanged(SarlensError):
    """The object was replaced while it was being read."""

    status = 409
    kind = "conflict_error"
    code = "source_changed"
    rpc = "ABORTED"


class TooLarge(SarlensError):
    """A body or an image is over its limit."""

    status = 413
    kind = "invalid_request_error"
    code = "too_large"
    rpc = "RESOURCE_EXHAUSTED"


class SourceUnavailable(SarlensError):
    """The place that holds the image cannot be reached or fails."""

    status = 502
    kind = "upstream_error"
    code = "source_unavailable"
    rpc = "UNAVAILABLE"


class StoreCredentials(SourceUnavailable):
    """The gateway's own credentials for the store are missing or wrong."""

    code = "store_credentials"


class WorkerFailed(SarlensError):
    """A worker broke off, or answered what no worker should."""

    status = 502
    kind = "upstream_error"
    code = "worker_failed"
    rpc = "UNAVAILABLE"


class WorkerUnreachable(WorkerFailed):
    """A worker answered not one byte, so another may be asked."""

    code = "worker_unreachable"


class NoWorker(SarlensError):
    """No worker can take the request now."""

    status = 503
    kind = "overloaded_error"
    code = "no_worker"
    rpc = "UNAVAILABLE"


class Overloaded(SarlensError):
    """More is asked than can be answered soon."""

    status = 503
    kind = "overloaded_error"
    code = "overloaded"
    rpc = "RESOURCE_EXHAUSTED"


class Draining(SarlensError):
    """This gateway is going down and takes no more work."""

    status = 503
    kind = "overloaded_error"
    code = "draining"
    rpc = "UNAVAILABLE"


class Timeout(SarlensError):
    """A source or a worker took longer than allowed."""

    status = 504
    kind = "timeout_error"
    code = "timeout"
    rpc = "DEADLINE_EXCEEDED"
