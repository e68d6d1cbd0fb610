import asyncio
import logging

import pytest
from pydantic import SecretStr

from auth.domain import expiry
from auth.domain.expiry import INTERVAL_SECONDS, Expiry
from auth.domain.sessions import RefreshTokenInvalid
from auth.testing import InMemoryAuth, MemoryStore

MONTH_SECONDS = 30 * 24 * 3600


async def test_a_sweep_deletes_all_that_has_expired_and_nothing_else(
    auth: InMemoryAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "ROWS_AT_ONCE", 2)
    for number in range(5):
        claims = auth.claims_of(await auth.register(f"{number}@example.com"))
    await auth.sessions.log_out(user_id=claims.user_id, session_id=claims.session_id, token_id=claims.token_id)
    await auth.clock.advance(MONTH_SECONDS)
    kept = await auth.log_in("1@example.com")
    assert await Expiry(auth.store, clock=auth.clock).sweep() == 5
    assert len(auth.store.state.tokens) == 1
    assert not auth.store.state.revocations
    await auth.sessions.refresh(kept.tokens.refresh_token)


async def test_a_sweep_forgets_mails_and_their_tokens(auth: InMemoryAuth) -> None:
    await auth.register()
    await auth.postman.deliver(auth.store.state.wanted_mails[0])
    await auth.clock.advance(3_599)
    assert await Expiry(auth.store, clock=auth.clock).sweep() == 0
    await auth.clock.advance(1)
    assert await Expiry(auth.store, clock=auth.clock).sweep() == 1
    assert not auth.store.state.wanted_mails
    assert auth.store.state.mail_tokens
    await auth.clock.advance(24 * 3_600)
    await Expiry(auth.store, clock=auth.clock).sweep()
    assert not auth.store.state.mail_tokens


async def test_a_sweep_of_nothing_deletes_nothing(auth: InMemoryAuth) -> None:
    assert await Expiry(auth.store, clock=auth.clock).sweep() == 0


async def test_it_sweeps_now_and_then_and_survives_a_lost_database(
    auth: InMemoryAuth, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token = (await auth.register()).tokens.refresh_token
    sweeping = asyncio.create_task(Expiry(auth.store, clock=auth.clock).run())
    await asyncio.sleep(0)
    await auth.clock.advance(MONTH_SECONDS)

    def lost(_: MemoryStore) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched, caplog.at_level(logging.CRITICAL):
        patched.setattr(MemoryStore, "transaction", lost)
        await auth.clock.advance(INTERVAL_SECONDS)
    await auth.clock.advance(INTERVAL_SECONDS)
    assert not auth.store.state.tokens
    with pytest.raises(RefreshTokenInvalid):
        await auth.sessions.refresh(SecretStr(token.get_secret_value()))
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
