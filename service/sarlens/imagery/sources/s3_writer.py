"""Write survey results to S3."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from sarlens.errors import BadRequest, OutputExists, SarlensError
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from sarlens.imagery.sources.s3_errors import WRITE_ERRORS, map_write_error
from sarlens.imagery.sources.s3_url import S3Url

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

T = TypeVar("T")

_PART_BYTES = 8 * 2**20
_JOB = "sarlens-job"
"""Metadata of an object: the job that wrote it."""
_REFUSALS = frozenset({"PreconditionFailed", "NotImplemented", "NoSuchUpload"})
"""Error codes of a condition. ``NoSuchUpload`` follows a lost response: boto3 repeats the request."""


class S3Writer:
    """Uploads files to ``s3://`` URLs; large files are uploaded in parts, and an object is complete or absent.

    The store itself checks for an existing object: the request that creates the object has ``If-None-Match: *``, so of
    several writers one wins.
    """

    def __init__(self, stores: S3StoreFactory) -> None:
        self._stores = stores

    async def check(self, url: str, *, overwrite: bool) -> None:
        """Check that ``put`` can write to a URL: look for the bucket and an object, and begin and abort an upload.

        Raises:
            BadRequest: the URL doesn't name an object, or the bucket doesn't exist.
            OutputExists: the object exists, and ``overwrite`` is false.
            AccessDenied, StoreCredentials, SourceUnavailable, Timeout: the store's answer.
        """
        s3_url = S3Url.parse(url)
        target = _Object(await self._stores.client(), s3_url)
        if not await target.has_bucket():
            raise BadRequest(f"{s3_url} can't be written: the bucket doesn't exist.", param="output")
        if not overwrite and await target.job() is not None:
            raise _output_exists(s3_url)
        await target.abort(await target.begin({}))

    async def put(self, url: str, file: Path, *, job_id: str, media_type: str, overwrite: bool) -> None:
        """Upload a file. If ``overwrite`` is false, a file that the same job wrote earlier stays.

        Raises:
            BadRequest: the URL doesn't name an object, or the bucket doesn't exist.
            OutputExists: another object exists, and ``overwrite`` is false.
            AccessDenied, StoreCredentials, SourceUnavailable, Timeout: the store's answer.
        """
        s3_url = S3Url.parse(url)
        target = _Object(await self._stores.client(), s3_url)
        attributes = {"ContentType": media_type, "Metadata": {_JOB: job_id}}
        if not await target.create(file, attributes, overwrite=overwrite) and await target.job() != job_id:
            raise _output_exists(s3_url)


class _Object:
    """One object to write. The client's methods run in threads."""

    def __init__(self, client: S3Client, s3_url: S3Url) -> None:
        self._client = client
        self._s3_url = s3_url
        self._name = {"Bucket": s3_url.bucket, "Key": s3_url.key}

    async def create(self, file: Path, attributes: dict[str, Any], *, overwrite: bool) -> bool:
        """Write the object and return True; return False if it exists and ``overwrite`` is false."""
        if (await asyncio.to_thread(file.stat)).st_size <= _PART_BYTES:
            content = await asyncio.to_thread(file.read_bytes)
            return await self._write(self._client.put_object, overwrite=overwrite, Body=content, **attributes)
        upload_id = await self.begin(attributes)
        created = False
        try:
            parts = {"Parts": await self._send_parts(file, upload_id)}
            created = await self._write(
                self._client.complete_multipart_upload,
                overwrite=overwrite,
                UploadId=upload_id,
                MultipartUpload=parts,
            )
        finally:
            if not created:
                await asyncio.shield(self.abort(upload_id))
        return created

    async def begin(self, attributes: dict[str, Any]) -> str:
        """Begin a multipart upload, and return its id."""
        response = await self._call(self._client.create_multipart_upload, **attributes)
        return str(response["UploadId"])

    async def abort(self, upload_id: str) -> None:
        """Discard the parts; after a failure, the lifecycle rules of the bucket do."""
        with suppress(SarlensError):
            await self._call(self._client.abort_multipart_upload, UploadId=upload_id)

    async def has_bucket(self) -> bool:
        """Whether the bucket exists, or the store doesn't say."""

        def head(**name: Any) -> bool:
            try:
                self._client.head_bucket(Bucket=name["Bucket"])
            except ClientError as error:
                if _status(error) == 404:
                    return False
                if _status(error) != 403:
                    raise
            return True

        return await self._call(head)

    async def job(self) -> str | None:
        """Return the job that wrote the object; an empty string without a job, or None if there is no object."""

        def head(**name: Any) -> str | None:
            try:
                return self._client.head_object(**name)["Metadata"].get(_JOB, "")
            except ClientError as error:
                # Without the permission to list, a missing object is 403. The write itself has the condition.
                if _status(error) in {403, 404}:
                    return None
                raise

        return await self._call(head)

    async def _send_parts(self, file: Path, upload_id: str) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        with file.open("rb") as source:
            while content := await asyncio.to_thread(source.read, _PART_BYTES):
                part = {"PartNumber": len(parts) + 1}
                response = await self._call(self._client.upload_part, UploadId=upload_id, Body=content, **part)
                parts.append({"ETag": response["ETag"], **part})
        return parts

    async def _write(self, method: Callable[..., Any], *, overwrite: bool, **arguments: Any) -> bool:
        """Send the request that creates the object. If the store lacks the condition, a HEAD request replaces it."""
        if overwrite:
            await self._call(method, **arguments)
            return True

        def refusal(**parameters: Any) -> str:
            try:
                method(**parameters, IfNoneMatch="*")
            except ClientError as error:
                if (code := error.response["Error"].get("Code", "")) in _REFUSALS:
                    return code
                raise
            return ""

        code = await self._call(refusal, **arguments)
        if code == "NotImplemented" and await self.job() is None:
            return await self._write(method, overwrite=True, **arguments)
        return not code

    async def _call(self, method: Callable[..., T], **arguments: Any) -> T:
        try:
            return await asyncio.to_thread(method, **self._name, **arguments)
        except WRITE_ERRORS as error:
            mapped = map_write_error(error, self._s3_url)
        raise mapped  # outside the handler, so that the store's own words aren't its context


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _output_exists(s3_url: S3Url) -> OutputExists:
    return OutputExists(f'The output {s3_url} exists. Choose another one, or set "overwrite" to true.', param="output")
