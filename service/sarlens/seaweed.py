"""A real S3 server for one machine: SeaweedFS, as a child process."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sarlens.child import Child, ChildFailed

BUCKET = "scenes"
KEYS = {"AWS_ACCESS_KEY_ID": "sarlens", "AWS_SECRET_ACCESS_KEY": "sarlens-local", "AWS_REGION": "us-east-1"}
_SIDE_PORTS = (
    *("s3.port.grpc", "master.port", "master.port.grpc"),
    *("filer.port", "filer.port.grpc", "volume.port", "volume.port.grpc"),
)


def s3_command(data: Path, port: int) -> list[str]:
    """The command line of a SeaweedFS server; every other port that it wants is a free one.

    Raises:
        ChildFailed: SeaweedFS is not installed.
    """
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        raise ChildFailed("SeaweedFS is not installed here; `make serve` installs it")
    data.mkdir(parents=True, exist_ok=True)
    return [
        *(str(weed), f"-logdir={data}", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-s3.port={port}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={side}" for name, side in zip(_SIDE_PORTS, _free_ports(len(_SIDE_PORTS)), strict=True)),
        *(f"-admin.port={_admin_port()}", "-admin.ui=false", "-webdav=false", "-master.telemetry=false"),
    ]


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    return _free_ports(1)[0]


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


def _admin_port() -> int:
    """A free port whose gRPC twin, 10,000 above it, is free too: SeaweedFS insists on that one."""
    while True:
        port = free_port()
        with suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + 10_000)):
            return port


def fill_bucket(server: Child, endpoint: str, scenes: Path | None) -> list[str]:
    """Wait for the S3 server, put the files below ``scenes`` into the bucket, and list what it holds, up to 1,000 keys.

    Raises:
        ChildFailed: the server ended, or never answered.
    """
    quick = Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=endpoint, config=quick)
    below = sorted(scenes.rglob("*")) if scenes else []
    files = {path.relative_to(scenes or path).as_posix(): path for path in below if path.is_file()}
    until = time.monotonic() + 60
    while True:
        try:
            if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=BUCKET)
            for key, path in files.items():
                client.upload_file(str(path), BUCKET, key)
            return [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]
        except (BotoCoreError, ClientError, boto3.exceptions.S3UploadFailedError) as error:
            server.check()
            if time.monotonic() > until:
                raise ChildFailed(f"the S3 server does not answer: {error}") from error
            time.sleep(0.2)
