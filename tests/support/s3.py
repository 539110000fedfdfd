"""S3 server (SeaweedFS) with an owner, a reader of one bucket, and a public bucket."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sarlens.devstack.ports import free_port
from sarlens.devstack.seaweedfs import seaweedfs_command
from sarlens.runtime.child_process import ManagedProcess, run_process

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def _keys(access: str, secret: str) -> dict[str, str]:
    return {"accessKey": access, "secretKey": secret}


OWNER = ("OWNER-ACCESS-KEY", "owner-secret-key")
READER = ("READER-ACCESS-KEY", "reader-secret-key")
BUCKETS = ("scenes", "open", "closed")
_IDENTITIES = [
    {"name": "owner", "actions": ["Admin", "Read", "Write", "List"], "credentials": [_keys(*OWNER)]},
    {"name": "reader", "actions": ["Read:scenes"], "credentials": [_keys(*READER)]},
    {"name": "anonymous", "actions": ["Read:open"]},
]


@dataclass(frozen=True)
class S3Server:
    """A server with three buckets.

    ``OWNER`` has all permissions, ``READER`` can read ``scenes``, and anonymous users can read ``open``.
    """

    endpoint: str
    process: ManagedProcess
    access_key: str = OWNER[0]
    secret_key: str = OWNER[1]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables from which the AWS chain reads the endpoint and the owner's keys."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
        }

    def client(self) -> S3Client:
        """Return a boto3 client of the owner."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1}),
        )


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start the server, wait until it stores an object, and yield it."""
    with tempfile.TemporaryDirectory(prefix="weed-") as folder:
        identities = Path(folder, "identities.json")
        identities.write_text(json.dumps({"identities": _IDENTITIES}))
        port = free_port()
        command = [*seaweedfs_command(Path(folder, "data"), port), f"-s3.config={identities}"]
        with run_process("S3 server", command, {}, Path(folder, "log")) as process:
            server = S3Server(f"http://127.0.0.1:{port}", process)
            _wait(server)
            yield server


def _wait(server: S3Server) -> None:
    client = server.client()
    deadline = time.monotonic() + 60
    while True:
        try:
            existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
            for bucket in BUCKETS:
                if bucket not in existing:
                    client.create_bucket(Bucket=bucket)
                client.put_object(Bucket=bucket, Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            server.process.raise_if_exited()
            assert time.monotonic() < deadline, server.process.log_tail()
            time.sleep(0.05)
        else:
            return
