"""Who the gateway is to a store: the AWS chain, and what a store says to strangers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pytest

from sarlens.errors import AccessDenied, SarlensError, SourceUnavailable, StoreCredentials
from sarlens.imagery.cache import ByteLRU
from sarlens.imagery.s3 import S3
from sarlens.imagery.s3_account import Account
from stack.canned import canned, http
from stack.overheard import overheard
from stack.s3 import OWNER, READER, S3Server
from stack.tls import tls

STRANGER = ("STRANGER-ACCESS-KEY", "stranger-secret-key")


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Writes the AWS configuration file that the chain reads; none of the machine's own keys are in its way."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return (tmp_path / "config").write_text


def source(account: Account) -> S3:
    """What an account can read."""
    return S3(account, ByteLRU(2**20, weigh=len), timeout_s=5)


def carry(keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put keys into the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])


@pytest.mark.parametrize(
    ("keys", "bucket", "kind", "reason"),
    [
        (STRANGER, "scenes", StoreCredentials, "does not know the gateway's access key"),
        ((OWNER[0], "wrong-secret-key"), "scenes", StoreCredentials, "secret key is not the one"),
        (READER, "closed", AccessDenied, "refuses"),
        (None, "scenes", StoreCredentials, "has no S3 credentials"),
    ],
)
@pytest.mark.usefixtures("configure")
async def test_refusals_are_told_apart_and_tell_no_secret(
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    keys: tuple[str, str] | None,
    bucket: str,
    kind: type[SarlensError],
    reason: str,
) -> None:
    """Wrong keys are the gateway's fault, a refused bucket is not, and no log can hold a key, a signature or a path."""
    if keys:
        carry(keys, monkeypatch)
    with pytest.raises(kind, match=reason) as refused:
        await source(Account(endpoint=s3.endpoint)).open(f"s3://{bucket}/ready")
    assert type(refused.value) is kind
    words = overheard(refused.value)
    secrets = [*OWNER, *STRANGER, *READER, "wrong-secret-key", "Signature", s3.endpoint, "<Error>"]
    assert [secret for secret in secrets if secret in words] == []
    assert "/" not in refused.value.message.replace(f"s3://{bucket}/ready", "")


async def test_a_process_that_gives_no_keys_is_not_repeated(configure: Callable[[str], int]) -> None:
    """What a credential process prints when it fails stays inside, as does its command line."""
    program = "import sys; sys.exit('secret-word')"
    configure(f'[default]\ncredential_process={sys.executable} -c "{program}"\n')
    with pytest.raises(StoreCredentials, match="renewed") as refused:
        await source(Account()).open("s3://scenes/ready")
    assert "secret-word" not in overheard(refused.value)


@pytest.mark.usefixtures("configure")
async def test_keys_that_come_later_are_found(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that started without credentials reads as soon as there are some."""
    images = source(Account(endpoint=s3.endpoint))
    with pytest.raises(StoreCredentials):
        await images.open("s3://scenes/ready")
    carry(OWNER, monkeypatch)
    assert (await images.open("s3://scenes/ready")).size == 5


async def test_a_profile_gives_keys_and_endpoint(
    s3: S3Server, configure: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile's keys, region and endpoint are used, and those of the environment do not get past it."""
    configure(
        f"[profile radar]\naws_access_key_id={OWNER[0]}\naws_secret_access_key={OWNER[1]}\n"
        f"region=eu-central-1\nendpoint_url={s3.endpoint}\n"
    )
    carry(STRANGER, monkeypatch)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "stranger-token")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert (await source(Account(profile="radar")).open("s3://closed/ready")).size == 5


@pytest.mark.usefixtures("configure")
async def test_an_endpoint_that_is_set_wins(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed requests go to the endpoint that the gateway is set to, whatever endpoint the environment names."""
    carry(OWNER, monkeypatch)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await source(Account(endpoint=s3.endpoint)).open("s3://scenes/ready")).size == 5


@pytest.mark.usefixtures("configure")
async def test_a_profile_that_does_not_exist_is_named_as_the_trouble() -> None:
    """A profile that nobody wrote is the gateway's trouble, not the caller's."""
    with pytest.raises(StoreCredentials, match="profile"):
        await source(Account(profile="nobody")).open("s3://scenes/ready")


async def test_credentials_are_renewed_before_they_expire(
    s3: S3Server, configure: Callable[[str], int], tmp_path: Path
) -> None:
    """Keys that expire, as those of roles do, are replaced by the chain's next ones without a restart."""
    handed_out = tmp_path / "handed-out"
    script = tmp_path / "keys.py"
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    later = (datetime.now(UTC) + timedelta(hours=6)).isoformat()
    first, second = (
        json.dumps({"Version": 1, "AccessKeyId": keys[0], "SecretAccessKey": keys[1], "Expiration": expiry})
        for keys, expiry in ((READER, soon), (OWNER, later))
    )
    script.write_text(
        f"import pathlib\nseen = pathlib.Path({str(handed_out)!r})\n"
        f"print({second!r} if seen.exists() else {first!r})\nseen.touch()\n"
    )
    configure(f"[default]\ncredential_process={sys.executable} {script}\n")
    images = source(Account(endpoint=s3.endpoint))
    assert (await images.open("s3://scenes/ready")).size == 5
    assert (await images.open("s3://closed/ready")).size == 5


async def test_an_open_archive_is_read_without_keys(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anonymous access signs nothing, even where keys are at hand, and reads what is open to everybody."""
    carry(OWNER, monkeypatch)
    images = source(Account(endpoint=s3.endpoint, anonymous=True))
    assert (await images.open("s3://open/ready")).size == 5
    with pytest.raises(AccessDenied):
        await images.open("s3://closed/ready")


@pytest.mark.parametrize("endpoint", ["http://", "nonsense:secret-word@x", "http://user:secret-word@127.0.0.1:9"])
async def test_a_bad_endpoint_is_reported_without_repeating_it(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that cannot be used gives an error that does not show it."""
    carry(OWNER, monkeypatch)
    with pytest.raises(SarlensError) as failed:
        await source(Account(endpoint=endpoint, timeout_s=1)).open("s3://scenes/ready")
    assert failed.value.status == 502
    assert "secret-word" not in overheard(failed.value)


@pytest.mark.usefixtures("configure")
async def test_a_private_authority_of_the_chain_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with a certificate of a private authority is read once the AWS chain names a file that holds it."""
    carry(OWNER, monkeypatch)
    trust = tls(tmp_path, "localhost")
    answer = http(
        206, b"abcd", ["Content-Range: bytes 0-3/4", 'ETag: "one"', "Last-Modified: Mon, 23 Nov 2026 22:27:41 GMT"]
    )
    async with canned(answer, tls=trust.server) as server:
        endpoint = f"https://localhost:{server.port}"
        monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
        with pytest.raises(SourceUnavailable):
            await source(Account(endpoint=endpoint)).open("s3://scenes/ready")
        for useless in (tmp_path / "nothing.pem", tmp_path / "server.key"):
            monkeypatch.setenv("AWS_CA_BUNDLE", str(useless))
            with pytest.raises(StoreCredentials, match="cannot be used") as refused:
                await source(Account(endpoint=endpoint)).open("s3://scenes/ready")
            assert str(tmp_path) not in str(refused.value)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(trust.authority))
        assert (await source(Account(endpoint=endpoint)).open("s3://scenes/ready")).size == 4


@pytest.mark.parametrize(
    ("virtual_hosted", "url"),
    [
        (False, "https://store.example.com/radar.scenes/port.tif?"),
        (True, "https://radar.scenes.store.example.com/port.tif?"),
    ],
)
@pytest.mark.usefixtures("configure")
async def test_a_bucket_stands_in_the_path_or_in_the_host(
    monkeypatch: pytest.MonkeyPatch, virtual_hosted: bool, url: str
) -> None:
    """The bucket is named in the path, or before the host of the store if that is asked for."""
    carry(OWNER, monkeypatch)
    account = Account(endpoint="https://store.example.com", virtual_hosted=virtual_hosted)
    store = await account.store("radar.scenes")
    assert obstore.sign(store, "GET", "port.tif", timedelta(minutes=1)).startswith(url)
