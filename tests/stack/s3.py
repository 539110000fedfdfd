"""A real S3 server: SeaweedFS, with an owner, a reader of one bucket, and a bucket that anybody may read."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from types_boto3_s3 import S3Client

from sarlens.child import Child, child
from sarlens.seaweed import free_port, s3_command


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
    """A server with three buckets: ``OWNER`` may do everything, ``READER`` reads ``scenes``, anybody reads ``open``."""

    endpoint: str
    process: Child
    access_key: str = OWNER[0]
    secret_key: str = OWNER[1]

    @property
    def environment(self) -> dict[str, str]:
        """What makes the AWS chain find the server and its owner's keys."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
        }

    def client(self) -> S3Client:
        """boto3, as the owner."""
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
    """Start it, wait until it takes an object, and yield it; it ends with the context."""
    with tempfile.TemporaryDirectory(prefix="weed-") as folder:
        identities = Path(folder, "identities.json")
        identities.write_text(json.dumps({"identities": _IDENTITIES}))
        port = free_port()
        command = [*s3_command(Path(folder, "data"), port), f"-s3.config={identities}"]
        with child("S3 server", command, {}, Path(folder, "log")) as process:
            server = S3Server(f"http://127.0.0.1:{port}", process)
            _wait(server)
            yield server


def _wait(server: S3Server) -> None:
    client = server.client()
    deadline = time.monotonic() + 60
    while True:
        try:
            made = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
            for bucket in BUCKETS:
                if bucket not in made:
                    client.create_bucket(Bucket=bucket)
                client.put_object(Bucket=bucket, Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            server.process.check()
            assert time.monotonic() < deadline, server.process.last_words()
            time.sleep(0.05)
        else:
            return
