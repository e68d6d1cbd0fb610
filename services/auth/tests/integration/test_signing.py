import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from auth.domain.keys import RotationPolicy
from auth.domain.tokens import AccessClaims
from auth.providers.key_files import KeyFolder
from auth.providers.signing import RELOAD_SECONDS, TokenSigner
from chassis.clock import ManualClock
from chassis.metrics import value_of

POLICY = RotationPolicy(publish_ahead=timedelta(minutes=10), token_lifetime=timedelta(days=7))


@pytest.fixture
def keys(tmp_path: Path, clock: ManualClock) -> KeyFolder:
    folder = KeyFolder(tmp_path / "auth-keys", POLICY)
    folder.prepare(clock.now())
    return folder


def claims(clock: ManualClock) -> AccessClaims:
    return AccessClaims(
        issuer="bourse",
        audience="clients",
        user_id="42",
        session_id="session-1",
        token_id="token-1",
        issued_at=clock.now(),
        expires_at=clock.now() + timedelta(days=7),
        is_admin=False,
    )


def test_a_token_is_verified_with_the_published_key_it_names(keys: KeyFolder, clock: ManualClock) -> None:
    signer = TokenSigner(keys, clock=clock)
    token = signer.sign(claims(clock)).get_secret_value()
    header = jwt.get_unverified_header(token)
    (published,) = signer.published_keys()
    assert header == {"alg": "EdDSA", "kid": published.id, "typ": "JWT"}
    verified = jwt.decode(
        token,
        Ed25519PublicKey.from_public_bytes(published.raw),
        algorithms=["EdDSA"],
        audience="clients",
        issuer="bourse",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert verified == claims(clock).as_registered()


async def until(holds: Callable[[], bool], clock: ManualClock) -> None:
    # The folder is read in a thread, which the clock does not wait for.
    async with asyncio.timeout(10):
        while not holds():
            await clock.advance(RELOAD_SECONDS)
            await asyncio.sleep(0.01)


async def test_a_running_signer_takes_a_rotated_key_up(keys: KeyFolder, clock: ManualClock) -> None:
    signer = TokenSigner(keys, clock=clock)
    (old,) = signer.published_keys()
    following = asyncio.create_task(signer.follow())
    await asyncio.sleep(0)
    await clock.advance(3600)
    new = keys.rotate(clock.now())
    rotated_at = clock.now()
    await until(lambda: len(signer.published_keys()) == 2, clock)
    assert signer.published_keys() == (old, new)
    assert signer.newest_key_at == rotated_at
    await until(lambda: signer.published_keys() == (new, old), clock)
    assert clock.now() - rotated_at >= POLICY.publish_ahead
    assert jwt.get_unverified_header(signer.sign(claims(clock)).get_secret_value())["kid"] == new.id
    following.cancel()


async def test_keys_that_cannot_be_read_again_change_nothing(
    keys: KeyFolder, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signer = TokenSigner(keys, clock=clock)
    published = signer.published_keys()
    following = asyncio.create_task(signer.follow())
    await asyncio.sleep(0)
    (file,) = (tmp_path / "auth-keys").glob("*.pem")
    file.chmod(0o644)
    failed = value_of("bourse_auth_key_reads_failed_total") or 0.0
    await until(lambda: "signing keys were not read again" in caplog.text, clock)
    assert signer.published_keys() == published
    assert "PRIVATE KEY" not in caplog.text
    assert (value_of("bourse_auth_key_reads_failed_total") or 0.0) > failed
    following.cancel()
