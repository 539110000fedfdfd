"""Credentials of the AWS chain, and access errors of a store."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest

from sarlens.errors import AccessDenied, SarlensError, SourceUnavailable, StoreCredentials
from sarlens.imagery.core.cache import LRUCache
from sarlens.imagery.sources.aws_credential_chain import AwsCredentialChain
from sarlens.imagery.sources.s3 import S3Source
from sarlens.imagery.sources.s3_credentials import S3StoreFactory
from support.canned_http_server import canned, http
from support.exception_text import exception_text
from support.s3 import OWNER, READER, S3Server
from support.tls import tls

UNKNOWN = ("UNKNOWN-ACCESS-KEY", "unknown-secret-key")


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Write the AWS configuration file of the chain; credentials of the environment are removed."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return (tmp_path / "config").write_text


def s3_source(stores: S3StoreFactory) -> S3Source:
    """A source with the credentials of a store factory."""
    return S3Source(stores, LRUCache(2**20, getsizeof=len), timeout_s=5)


def set_keys(keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an access key into the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])


@pytest.mark.parametrize(
    ("keys", "bucket", "error_cls", "reason"),
    [
        (UNKNOWN, "scenes", StoreCredentials, "doesn't know the gateway's access key"),
        ((OWNER[0], "wrong-secret-key"), "scenes", StoreCredentials, "secret key is wrong"),
        (READER, "closed", AccessDenied, "denies the gateway access"),
        (None, "scenes", StoreCredentials, "has no S3 credentials"),
    ],
)
@pytest.mark.usefixtures("configure")
async def test_access_errors_have_reasons_without_secrets(
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    keys: tuple[str, str] | None,
    bucket: str,
    error_cls: type[SarlensError],
    reason: str,
) -> None:
    """Wrong credentials are the gateway's error and a denied bucket isn't; no log has a key, a signature or a path."""
    if keys:
        set_keys(keys, monkeypatch)
    with pytest.raises(error_cls, match=reason) as rejected:
        await s3_source(S3StoreFactory(endpoint=s3.endpoint)).open(f"s3://{bucket}/ready")
    assert type(rejected.value) is error_cls
    text = exception_text(rejected.value)
    secrets = [*OWNER, *UNKNOWN, *READER, "wrong-secret-key", "Signature", s3.endpoint, "<Error>"]
    assert [secret for secret in secrets if secret in text] == []
    assert "/" not in rejected.value.message.replace(f"s3://{bucket}/ready", "")


async def test_output_of_a_credential_process_is_hidden(configure: Callable[[str], int]) -> None:
    """The output and the command line of a credential process that fails aren't part of the error."""
    program = "import sys; sys.exit('secret-word')"
    configure(f'[default]\ncredential_process={sys.executable} -c "{program}"\n')
    with pytest.raises(StoreCredentials, match="renewed") as rejected:
        await s3_source(S3StoreFactory()).open("s3://scenes/ready")
    assert "secret-word" not in exception_text(rejected.value)


@pytest.mark.usefixtures("configure")
async def test_credentials_can_be_added_later(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that started without credentials reads as soon as the environment has them."""
    source = s3_source(S3StoreFactory(endpoint=s3.endpoint))
    with pytest.raises(StoreCredentials):
        await source.open("s3://scenes/ready")
    set_keys(OWNER, monkeypatch)
    assert (await source.open("s3://scenes/ready")).size == 5


async def test_a_profile_defines_keys_and_endpoint(
    s3: S3Server, configure: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys, region and endpoint of a profile are used, and those of the environment don't override them."""
    configure(
        f"[profile radar]\naws_access_key_id={OWNER[0]}\naws_secret_access_key={OWNER[1]}\n"
        f"region=eu-central-1\nendpoint_url={s3.endpoint}\n"
    )
    set_keys(UNKNOWN, monkeypatch)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "unknown-token")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert (await s3_source(S3StoreFactory(profile="radar")).open("s3://closed/ready")).size == 5


@pytest.mark.usefixtures("configure")
async def test_the_configured_endpoint_takes_precedence(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed requests go to the configured endpoint, not to endpoints of the environment."""
    set_keys(OWNER, monkeypatch)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await s3_source(S3StoreFactory(endpoint=s3.endpoint)).open("s3://scenes/ready")).size == 5


@pytest.mark.usefixtures("configure")
async def test_a_missing_profile_is_reported() -> None:
    """A profile that doesn't exist is an error of the gateway's configuration."""
    with pytest.raises(StoreCredentials, match="profile"):
        await s3_source(S3StoreFactory(profile="missing")).open("s3://scenes/ready")


async def test_credentials_are_renewed_before_they_expire(
    s3: S3Server, configure: Callable[[str], int], tmp_path: Path
) -> None:
    """Credentials that expire, such as those of roles, are replaced by the chain's next ones without a restart."""
    first_call = tmp_path / "first-call"
    script = tmp_path / "keys.py"
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    later = (datetime.now(UTC) + timedelta(hours=6)).isoformat()
    first, second = (
        json.dumps({"Version": 1, "AccessKeyId": keys[0], "SecretAccessKey": keys[1], "Expiration": expiry})
        for keys, expiry in ((READER, soon), (OWNER, later))
    )
    script.write_text(
        f"import pathlib\nseen = pathlib.Path({str(first_call)!r})\n"
        f"print({second!r} if seen.exists() else {first!r})\nseen.touch()\n"
    )
    configure(f"[default]\ncredential_process={sys.executable} {script}\n")
    source = s3_source(S3StoreFactory(endpoint=s3.endpoint))
    assert (await source.open("s3://scenes/ready")).size == 5
    assert (await source.open("s3://closed/ready")).size == 5


async def test_concurrent_requests_read_the_chain_once(configure: Callable[[str], int], tmp_path: Path) -> None:
    """Fifty buckets opened at once run one credential process; later ones run none while the credentials last."""
    calls = tmp_path / "calls"
    script = tmp_path / "keys.py"
    keys = {"Version": 1, "AccessKeyId": READER[0], "SecretAccessKey": READER[1], "SessionToken": "session-token"}
    keys["Expiration"] = (datetime.now(UTC) + timedelta(hours=6)).isoformat()
    script.write_text(f"open({str(calls)!r}, 'a').write('x')\nprint({json.dumps(keys)!r})\n")
    configure(f"[default]\nregion=eu-central-1\ncredential_process={sys.executable} {script}\n")
    stores = S3StoreFactory(endpoint="https://store.example.com")
    opened = await asyncio.gather(*(stores.store(f"bucket-{number}") for number in range(50)))
    assert await stores.store("bucket-1") is opened[1]
    assert calls.read_text() == "x"
    url = obstore.sign(opened[0], "GET", "port.tif", timedelta(minutes=1))
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Credential"][0].startswith(f"{READER[0]}/")
    assert query["X-Amz-Credential"][0].split("/")[2] == "eu-central-1"
    assert query["X-Amz-Security-Token"] == ["session-token"]


@pytest.mark.usefixtures("configure")
async def test_the_credential_is_returned_without_blocking(monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore gets the cached credential, valid for a minute, so that it asks again and sees renewed ones at once."""
    set_keys(OWNER, monkeypatch)
    chain = AwsCredentialChain("https://store.example.com", "eu-central-1", None, anonymous=False)
    assert chain.needs_refresh
    chain.refresh()
    assert not chain.needs_refresh
    monkeypatch.setattr("botocore.credentials.Credentials.get_frozen_credentials", lambda _: pytest.fail("blocks"))
    credential = chain.credential()
    assert (credential["access_key_id"], credential["secret_access_key"]) == OWNER
    expires_at = credential["expires_at"]
    assert expires_at is not None
    assert timedelta(seconds=59) < expires_at - datetime.now(UTC) <= timedelta(seconds=60)


async def test_anonymous_requests_are_not_signed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anonymous access signs no request, even with keys in the environment, and reads public objects only."""
    set_keys(OWNER, monkeypatch)
    source = s3_source(S3StoreFactory(endpoint=s3.endpoint, anonymous=True))
    assert (await source.open("s3://open/ready")).size == 5
    with pytest.raises(AccessDenied):
        await source.open("s3://closed/ready")


@pytest.mark.parametrize("endpoint", ["http://", "nonsense:secret-word@x", "http://user:secret-word@127.0.0.1:9"])
async def test_an_invalid_endpoint_is_not_repeated(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of an invalid endpoint doesn't contain the endpoint."""
    set_keys(OWNER, monkeypatch)
    with pytest.raises(SarlensError) as failed:
        await s3_source(S3StoreFactory(endpoint=endpoint, timeout_s=1)).open("s3://scenes/ready")
    assert failed.value.status == 502
    assert "secret-word" not in exception_text(failed.value)


@pytest.mark.usefixtures("configure")
async def test_the_ca_bundle_of_the_chain_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with a certificate of a private authority is read once the AWS chain names its CA bundle."""
    set_keys(OWNER, monkeypatch)
    trust = tls(tmp_path, "localhost")
    response = http(
        206, b"abcd", ["Content-Range: bytes 0-3/4", 'ETag: "one"', "Last-Modified: Mon, 23 Nov 2026 22:27:41 GMT"]
    )
    async with canned(response, tls=trust.server) as server:
        endpoint = f"https://localhost:{server.port}"
        monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
        with pytest.raises(SourceUnavailable):
            await s3_source(S3StoreFactory(endpoint=endpoint)).open("s3://scenes/ready")
        for invalid in (tmp_path / "nothing.pem", tmp_path / "server.key"):
            monkeypatch.setenv("AWS_CA_BUNDLE", str(invalid))
            with pytest.raises(StoreCredentials, match="isn't valid") as rejected:
                await s3_source(S3StoreFactory(endpoint=endpoint)).open("s3://scenes/ready")
            assert str(tmp_path) not in str(rejected.value)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(trust.authority))
        assert (await s3_source(S3StoreFactory(endpoint=endpoint)).open("s3://scenes/ready")).size == 4


@pytest.mark.parametrize(
    ("virtual_hosted", "url"),
    [
        (False, "https://store.example.com/radar.scenes/port.tif?"),
        (True, "https://radar.scenes.store.example.com/port.tif?"),
    ],
)
@pytest.mark.usefixtures("configure")
async def test_a_bucket_is_in_the_path_or_in_the_host(
    monkeypatch: pytest.MonkeyPatch, virtual_hosted: bool, url: str
) -> None:
    """The bucket is part of the path by default, and of the host name if virtual hosting is on."""
    set_keys(OWNER, monkeypatch)
    stores = S3StoreFactory(endpoint="https://store.example.com", virtual_hosted=virtual_hosted)
    store = await stores.store("radar.scenes")
    assert obstore.sign(store, "GET", "port.tif", timedelta(minutes=1)).startswith(url)


@pytest.mark.parametrize("requester_pays", [False, True])
@pytest.mark.usefixtures("configure")
async def test_the_requester_pays_if_the_setting_says_so(monkeypatch: pytest.MonkeyPatch, requester_pays: bool) -> None:
    """Requests for an object have the header x-amz-request-payer only with the setting."""
    set_keys(OWNER, monkeypatch)
    dated = ('ETag: "a"', "Last-Modified: Mon, 30 Nov 2026 00:00:00 GMT")
    async with canned(http(200, b"ok", dated)) as server:
        factory = S3StoreFactory(
            endpoint=f"http://127.0.0.1:{server.port}", region="eu-central-1", requester_pays=requester_pays
        )
        response = await obstore.get_async(await factory.store("scenes"), "port.tif")
        assert bytes(await response.bytes_async()) == b"ok"
    (head,) = server.asked
    assert ("x-amz-request-payer: requester" in head.lower()) is requester_pays
