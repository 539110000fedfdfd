"""The S3 server of a local stack: SeaweedFS, as a child process.

Its bucket can be read without credentials, on the loopback address only; writing requires ``S3_CREDENTIALS``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sarlens.devstack.ports import free_port, free_ports, is_free
from sarlens.runtime.child_process import ManagedProcess, ProcessFailed

BUCKET = "scenes"
S3_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "sarlens", "AWS_SECRET_ACCESS_KEY": "sarlens-local", "AWS_REGION": "us-east-1"}
_STARTUP_TIMEOUT_S = 60
_SIDE_PORTS = (
    *("s3.port.grpc", "master.port", "master.port.grpc"),
    *("filer.port", "filer.port.grpc", "volume.port", "volume.port.grpc"),
)


def seaweedfs_command(data: Path, port: int, identities: Path | None = None) -> list[str]:
    """Return the command line of a SeaweedFS server on the loopback address; its other ports are free ones.

    Args:
        data: directory of the objects.
        port: port of S3.
        identities: file of access keys; None, the server takes one from the AWS variables of its environment.

    Raises:
        ProcessFailed: SeaweedFS isn't installed.
    """
    data.mkdir(parents=True, exist_ok=True)
    return [
        *(str(find_seaweedfs()), f"-logdir={data}", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-s3.port={port}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={side}" for name, side in zip(_SIDE_PORTS, free_ports(len(_SIDE_PORTS)), strict=True)),
        *(f"-admin.port={_admin_port()}", "-admin.ui=false", "-webdav=false", "-master.telemetry=false"),
        *(() if identities is None else (f"-s3.config={identities}",)),
    ]


def find_seaweedfs() -> Path:
    """Return the path of the SeaweedFS executable.

    Raises:
        ProcessFailed: it isn't installed.
    """
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        raise ProcessFailed('SeaweedFS isn\'t installed: run `make serve`, or `pip install ".[local]"` in a checkout')
    return weed


def write_identities(file: Path) -> Path:
    """Write the access keys of the local stack: ``S3_CREDENTIALS`` for everything, none for reading the bucket."""
    keys = {"accessKey": S3_CREDENTIALS["AWS_ACCESS_KEY_ID"], "secretKey": S3_CREDENTIALS["AWS_SECRET_ACCESS_KEY"]}
    identities = [
        {"name": "sarlens", "actions": ["Admin", "Read", "Write", "List", "Tagging"], "credentials": [keys]},
        {"name": "anonymous", "actions": [f"Read:{BUCKET}", f"List:{BUCKET}"]},
    ]
    file.write_text(json.dumps({"identities": identities}))
    return file


def _admin_port() -> int:
    """Return a free port whose gRPC twin, 10,000 above it, is free too: SeaweedFS requires that one."""
    while True:
        port = free_port()
        if is_free(port + 10_000):
            return port


def s3_client(endpoint: str, credentials: Mapping[str, str] = S3_CREDENTIALS) -> Any:
    """Return a boto3 client of an S3 server on this machine."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        region_name=credentials["AWS_REGION"],
        config=Config(
            connect_timeout=2, read_timeout=10, retries={"max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}
        ),
    )


def upload_samples(server: ManagedProcess, endpoint: str, scenes: Path | None) -> list[str]:
    """Wait for the S3 server, upload the files below ``scenes``, and return up to 1,000 keys of the bucket.

    Raises:
        ProcessFailed: the server ended or didn't answer within 60 s.
    """
    client = s3_client(endpoint)
    deadline = time.monotonic() + _STARTUP_TIMEOUT_S
    while True:
        try:
            if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=BUCKET)
            for key, path in _files_below(scenes):
                client.upload_file(str(path), BUCKET, key)
            return [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]
        except (BotoCoreError, ClientError, boto3.exceptions.S3UploadFailedError) as error:
            server.raise_if_exited()
            if time.monotonic() > deadline:
                raise ProcessFailed(f"the S3 server doesn't answer: {error}") from error
            time.sleep(0.2)


def _files_below(folder: Path | None) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")) if folder else ():
        if path.is_file():
            yield path.relative_to(folder or path).as_posix(), path
