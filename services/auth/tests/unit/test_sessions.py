import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from auth.domain.revocations import VERIFIER_LEEWAY, Revocation, RevocationKind
from auth.domain.sessions import LogOutIncomplete, RefreshTokenInvalid, SessionNotFound, Sessions
from auth.domain.tokens import AccessClaims, Opening, digest_of, make_refresh_token
from auth.testing import InMemoryAuth

DAY_SECONDS = 24 * 3600


async def test_an_access_token_says_who_where_and_how_long(auth: InMemoryAuth) -> None:
    await auth.clock.advance(0.75)
    claims = auth.claims_of(await auth.register())
    issued_at = int(auth.clock.now().timestamp())
    assert claims.as_registered() == {
        "iss": "bourse",
        "aud": "clients",
        "sub": "1",
        "sid": claims.session_id,
        "jti": claims.token_id,
        "typ": "access",
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + 7 * DAY_SECONDS,
    }


async def test_expires_in_is_the_tokens_own_lifetime(auth: InMemoryAuth) -> None:
    signed_in = await auth.register()
    claims = auth.claims_of(signed_in)
    assert claims.expires_at - claims.issued_at == timedelta(seconds=signed_in.tokens.expires_in_seconds)


async def test_only_an_administrators_token_says_so(auth: InMemoryAuth) -> None:
    signed_in = await auth.register()
    async with auth.store.transaction() as unit:
        await unit.users.grant_admin(signed_in.user.id)
    assert auth.claims_of(await auth.log_in()).as_registered()["adm"] is True


async def test_a_refresh_token_is_kept_as_a_digest_alone(auth: InMemoryAuth) -> None:
    token = (await auth.register()).tokens.refresh_token
    assert list(auth.store.state.tokens) == [digest_of(token)]
    assert token.get_secret_value() not in repr(auth.store.state)
    assert token.get_secret_value() not in f"{token} {token!r}"


def test_a_refresh_token_has_256_random_bits() -> None:
    one, other = make_refresh_token(bytes), make_refresh_token(lambda length: b"\xff" * length)
    assert [base64.urlsafe_b64decode(token.get_secret_value() + "=") for token in (one, other)] == [
        bytes(32),
        b"\xff" * 32,
    ]


async def test_refreshing_gives_the_next_pair_of_the_same_session(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    await auth.clock.advance(DAY_SECONDS)
    renewed = await auth.sessions.refresh(registered.tokens.refresh_token)
    before, after = auth.claims_of(registered), auth.claims_of(renewed)
    assert renewed.user == registered.user
    assert after.session_id == before.session_id
    assert after.token_id != before.token_id
    assert after.expires_at == before.expires_at + timedelta(days=1)
    assert renewed.tokens.refresh_token != registered.tokens.refresh_token
    await auth.sessions.refresh(renewed.tokens.refresh_token)


async def test_an_old_refresh_token_ends_the_session_for_both_holders(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    renewed = await auth.sessions.refresh(registered.tokens.refresh_token)
    with pytest.raises(RefreshTokenInvalid) as refused:
        await auth.sessions.refresh(registered.tokens.refresh_token)
    assert (refused.value.code, refused.value.reason) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    claims = auth.claims_of(renewed)
    assert auth.store.state.announced == [
        (Revocation(RevocationKind.SESSION, claims.session_id, claims.expires_at + VERIFIER_LEEWAY),)
    ]
    with pytest.raises(RefreshTokenInvalid):
        await auth.sessions.refresh(renewed.tokens.refresh_token)
    assert len(auth.store.state.announced) == 1


async def test_of_two_refreshes_at_once_the_second_ends_the_session(auth: InMemoryAuth) -> None:
    token = (await auth.register()).tokens.refresh_token
    results = await asyncio.gather(*(auth.sessions.refresh(token) for _ in range(2)), return_exceptions=True)
    (refusal,) = (result for result in results if isinstance(result, RefreshTokenInvalid))
    (renewed,) = (result for result in results if result is not refusal and not isinstance(result, BaseException))
    with pytest.raises(RefreshTokenInvalid):
        await auth.sessions.refresh(renewed.tokens.refresh_token)
    assert len(auth.store.state.announced) == 1


async def test_an_unknown_refresh_token_ends_nothing(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    for unknown in ("", "x" * 43, "nonsense"):
        with pytest.raises(RefreshTokenInvalid):
            await auth.sessions.refresh(SecretStr(unknown))
    await auth.sessions.refresh(registered.tokens.refresh_token)


async def test_an_access_token_is_no_refresh_token(auth: InMemoryAuth) -> None:
    with pytest.raises(RefreshTokenInvalid):
        await auth.sessions.refresh((await auth.register()).tokens.access_token)


async def test_a_refresh_token_expires_after_thirty_days_unused(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    await auth.clock.advance(30 * DAY_SECONDS - 1)
    renewed = await auth.sessions.refresh(registered.tokens.refresh_token)
    await auth.clock.advance(30 * DAY_SECONDS)
    with pytest.raises(RefreshTokenInvalid):
        await auth.sessions.refresh(renewed.tokens.refresh_token)
    assert not auth.store.state.announced


async def test_a_deleted_accounts_session_cannot_be_refreshed(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    auth.store.delete_user(registered.user.id)
    with pytest.raises(RefreshTokenInvalid):
        await auth.sessions.refresh(registered.tokens.refresh_token)


async def test_logging_out_refuses_the_session_until_its_tokens_have_expired(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    claims = auth.claims_of(registered)
    await auth.sessions.log_out(user_id=claims.user_id, session_id=claims.session_id, token_id=claims.token_id)
    refused = (Revocation(RevocationKind.SESSION, claims.session_id, claims.expires_at + VERIFIER_LEEWAY),)
    assert auth.store.state.announced == [refused]
    async with auth.store.reading() as unit:
        assert await unit.revocations.standing(claims.expires_at + timedelta(seconds=59)) == refused
        assert await unit.revocations.standing(claims.expires_at + timedelta(seconds=60)) == ()
    with pytest.raises(RefreshTokenInvalid):
        await auth.sessions.refresh(registered.tokens.refresh_token)


async def test_a_revocation_outlives_the_newest_token_of_its_session(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    await auth.clock.advance(3 * DAY_SECONDS)
    renewed = auth.claims_of(await auth.sessions.refresh(registered.tokens.refresh_token))
    old = auth.claims_of(registered)
    await auth.sessions.log_out(user_id=old.user_id, session_id=old.session_id, token_id=old.token_id)
    assert {each.expires_at for each in auth.store.state.revocations} == {renewed.expires_at + VERIFIER_LEEWAY}


async def log_out(auth: InMemoryAuth, claims: AccessClaims) -> None:
    await auth.sessions.log_out(user_id=claims.user_id, session_id=claims.session_id, token_id=claims.token_id)


async def revoke(auth: InMemoryAuth, claims: AccessClaims) -> None:
    await auth.sessions.revoke(user_id=claims.user_id, session_id=claims.session_id)


async def end_all(auth: InMemoryAuth, claims: AccessClaims) -> None:
    async with auth.store.transaction() as unit:
        await auth.sessions.end_all(unit, claims.user_id)


async def delete_account(auth: InMemoryAuth, claims: AccessClaims) -> None:
    await auth.accounts.delete(claims.user_id)


@pytest.mark.parametrize("end", [log_out, revoke, end_all, delete_account])
async def test_after_lifetimes_were_shortened_a_sessions_older_token_is_refused_until_it_expires(
    auth: InMemoryAuth, end: Callable[[InMemoryAuth, AccessClaims], Awaitable[None]]
) -> None:
    registered = await auth.register()
    policy = replace(auth.policy, access_lifetime=timedelta(hours=1))
    shortened = Sessions(auth.store, auth.signer, clock=auth.clock, policy=policy, random_bytes=secrets.token_bytes)
    renewed = await shortened.refresh(registered.tokens.refresh_token)
    older, newer = auth.claims_of(registered), auth.claims_of(renewed)
    assert newer.issued_at == auth.clock.now()
    assert newer.expires_at == auth.clock.now() + timedelta(seconds=renewed.tokens.expires_in_seconds)
    assert renewed.tokens.expires_in_seconds == 3600
    await end(auth, older)
    assert {each.expires_at for each in auth.store.state.revocations} == {older.expires_at + VERIFIER_LEEWAY}


async def test_logging_out_twice_says_it_once(auth: InMemoryAuth) -> None:
    claims = auth.claims_of(await auth.register())
    for _ in range(2):
        await auth.sessions.log_out(user_id=claims.user_id, session_id=claims.session_id, token_id=claims.token_id)
    assert len(auth.store.state.announced) == 1


async def test_logging_out_of_an_unknown_session_succeeds_and_changes_nothing(auth: InMemoryAuth) -> None:
    await auth.sessions.log_out(user_id="1", session_id="unknown", token_id="unknown")
    assert not auth.store.state.announced


async def test_another_accounts_session_is_left_alone(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    claims = auth.claims_of(registered)
    await auth.sessions.log_out(user_id="2", session_id=claims.session_id, token_id=claims.token_id)
    assert not auth.store.state.announced
    await auth.sessions.refresh(registered.tokens.refresh_token)


@pytest.mark.parametrize("claim", ["user_id", "session_id", "token_id"])
@pytest.mark.parametrize("value", ["", "x" * 256, "a\x00b"])
async def test_logging_out_needs_all_three_claims(auth: InMemoryAuth, claim: str, value: str) -> None:
    claims = {"user_id": "1", "session_id": "s", "token_id": "t", claim: value}
    with pytest.raises(LogOutIncomplete, match=claim):
        await auth.sessions.log_out(**claims)


async def test_open_sessions_are_listed_newest_first_with_what_opened_them(auth: InMemoryAuth) -> None:
    registered = auth.claims_of(await auth.register())
    await auth.clock.advance(60)
    logged_in = auth.claims_of(await auth.log_in())
    await auth.register("ravi@example.com")
    listed = await auth.sessions.list_open(registered.user_id)
    assert [(each.id, each.opened_by) for each in listed] == [
        (logged_in.session_id, Opening.PASSWORD),
        (registered.session_id, Opening.REGISTER),
    ]
    assert listed[0].created_at == auth.clock.now()
    assert listed[0].refresh_expires_at == auth.clock.now() + timedelta(days=30)


async def test_ended_and_expired_sessions_are_not_listed(auth: InMemoryAuth) -> None:
    claims = auth.claims_of(await auth.register())
    other = auth.claims_of(await auth.log_in())
    await auth.sessions.revoke(user_id=claims.user_id, session_id=other.session_id)
    assert [each.id for each in await auth.sessions.list_open(claims.user_id)] == [claims.session_id]
    await auth.clock.advance(30 * DAY_SECONDS)
    assert await auth.sessions.list_open(claims.user_id) == ()


@pytest.mark.parametrize("user_id", ["2", "", "x" * 256, "1\x00"])
async def test_nobody_has_no_sessions(auth: InMemoryAuth, user_id: str) -> None:
    await auth.register()
    assert await auth.sessions.list_open(user_id) == ()


async def test_a_revoked_session_is_refused_everywhere(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    claims = auth.claims_of(registered)
    await auth.sessions.revoke(user_id=claims.user_id, session_id=claims.session_id)
    assert auth.store.state.announced == [
        (Revocation(RevocationKind.SESSION, claims.session_id, claims.expires_at + VERIFIER_LEEWAY),)
    ]
    with pytest.raises(RefreshTokenInvalid):
        await auth.sessions.refresh(registered.tokens.refresh_token)
    with pytest.raises(SessionNotFound):
        await auth.sessions.revoke(user_id=claims.user_id, session_id=claims.session_id)


async def test_another_users_session_counts_as_unknown(auth: InMemoryAuth) -> None:
    asha = await auth.register()
    ravi = await auth.register("ravi@example.com")
    with pytest.raises(SessionNotFound) as refused:
        await auth.sessions.revoke(user_id=ravi.user.id, session_id=auth.claims_of(asha).session_id)
    assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "SESSION_NOT_FOUND")
    assert not auth.store.state.announced
    await auth.sessions.refresh(asha.tokens.refresh_token)


@pytest.mark.parametrize(("user_id", "session_id"), [("", "s"), ("1", ""), ("1", "x" * 256), ("1", "a\x00b")])
async def test_an_id_that_cannot_be_is_unknown(auth: InMemoryAuth, user_id: str, session_id: str) -> None:
    await auth.register()
    with pytest.raises(SessionNotFound):
        await auth.sessions.revoke(user_id=user_id, session_id=session_id)
