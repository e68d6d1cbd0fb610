import asyncio
from datetime import timedelta

import pytest
from pydantic import SecretStr

from auth.domain.google_identities import GoogleIdentity, IdTokenInvalid
from auth.domain.google_login import AccountDeleted, GoogleLogin, GoogleNotConfigured, GoogleUnavailable, UserMismatch
from auth.domain.ports import Limit
from auth.domain.sessions import SignedIn
from auth.domain.throttle import LoginThrottled, Throttle
from auth.domain.users import IdentityProvider
from auth.testing import HOME_ADDRESS, InMemoryAuth

SUBJECT = "110169484474386276334"
ASHA = GoogleIdentity(SUBJECT, "asha@example.com", "Asha Rao", "https://example.com/asha")
DAY_SECONDS = 24 * 3600


async def log_in(auth: InMemoryAuth, identity: GoogleIdentity = ASHA, expected_user_id: str = "") -> SignedIn:
    auth.id_tokens.identities["id-token"] = identity
    return await auth.google_login.log_in(
        id_token=SecretStr("id-token"), expected_user_id=expected_user_id, client_address=HOME_ADDRESS
    )


async def test_the_first_sign_in_makes_the_account_under_googles_id(auth: InMemoryAuth) -> None:
    user = (await log_in(auth)).user
    assert (user.id, user.identity_provider, user.created_at) == (SUBJECT, IdentityProvider.GOOGLE, auth.clock.now())
    assert (user.email, user.name, user.picture) == (ASHA.email, ASHA.name, ASHA.picture)
    assert await auth.accounts.get(SUBJECT) == user


async def test_a_google_session_lives_a_day_at_a_time(auth: InMemoryAuth) -> None:
    signed_in = await log_in(auth)
    claims = auth.claims_of(signed_in)
    assert signed_in.tokens.expires_in_seconds == DAY_SECONDS
    assert (claims.issued_at, claims.expires_at) == (auth.clock.now(), auth.clock.now() + timedelta(days=1))
    await auth.clock.advance(3600)
    renewed = await auth.sessions.refresh(signed_in.tokens.refresh_token)
    assert renewed.tokens.expires_in_seconds == DAY_SECONDS
    assert auth.claims_of(renewed).expires_at == auth.clock.now() + timedelta(days=1)
    (session,) = await auth.sessions.list_open(SUBJECT)
    assert session.opened_by == "google"


async def test_later_sign_ins_refresh_what_is_shown_and_forget_nothing(auth: InMemoryAuth) -> None:
    first = (await log_in(auth)).user
    await auth.clock.advance(60)
    renamed = (await log_in(auth, GoogleIdentity(SUBJECT, "asha.rao@example.com", "Asha R", None))).user
    assert (renamed.email, renamed.name, renamed.picture) == ("asha.rao@example.com", "Asha R", ASHA.picture)
    assert renamed.created_at == first.created_at


async def test_one_address_does_not_link_two_accounts(auth: InMemoryAuth) -> None:
    password_user = (await auth.register(ASHA.email)).user
    google_user = (await log_in(auth)).user
    other = (await log_in(auth, GoogleIdentity("1" * 21, ASHA.email, None, None))).user
    assert len({password_user.id, google_user.id, other.id}) == 3
    assert (await auth.log_in(ASHA.email)).user == password_user


@pytest.mark.parametrize("expected_user_id", ["", SUBJECT])
async def test_the_client_may_say_who_it_is(auth: InMemoryAuth, expected_user_id: str) -> None:
    assert (await log_in(auth, expected_user_id=expected_user_id)).user.id == SUBJECT


@pytest.mark.parametrize("expected_user_id", ["1", f"{SUBJECT} ", f"0{SUBJECT}", SUBJECT[:-1], "me"])
async def test_a_client_that_says_another_is_refused_and_leaves_nothing(
    auth: InMemoryAuth, expected_user_id: str
) -> None:
    with pytest.raises(UserMismatch) as refused:
        await log_in(auth, expected_user_id=expected_user_id)
    assert (refused.value.code, refused.value.reason) == ("UNAUTHENTICATED", "USER_MISMATCH")
    assert not auth.store.state.users


async def test_a_token_that_is_no_good_opens_nothing(auth: InMemoryAuth) -> None:
    with pytest.raises(IdTokenInvalid):
        await auth.google_login.log_in(id_token=SecretStr("another"), expected_user_id="", client_address=HOME_ADDRESS)
    assert not auth.store.state.sessions


async def test_an_account_of_another_kind_is_never_taken_over(auth: InMemoryAuth) -> None:
    registered = (await auth.register()).user
    with pytest.raises(IdTokenInvalid):
        await log_in(auth, GoogleIdentity(registered.id, "mallory@example.com", "Mallory", None))
    assert await auth.accounts.get(registered.id) == registered


async def test_attempts_are_counted_by_network_before_anything_is_verified(auth: InMemoryAuth) -> None:
    auth.attempts.limits[Limit.LOGIN_BY_NETWORK] = 1
    await log_in(auth)
    with pytest.raises(LoginThrottled) as refused:
        await log_in(auth)
    assert refused.value.retry_after_seconds == 42.5


async def test_without_a_client_id_it_is_not_set_up(auth: InMemoryAuth) -> None:
    login = GoogleLogin(auth.store, auth.sessions, id_tokens=None, throttle=Throttle(auth.attempts), clock=auth.clock)
    with pytest.raises(GoogleNotConfigured) as refused:
        await login.log_in(id_token=SecretStr("id-token"), expected_user_id="", client_address=HOME_ADDRESS)
    assert (refused.value.code, refused.value.reason) == ("UNAVAILABLE", "GOOGLE_NOT_CONFIGURED")


def test_google_away_says_when_to_come_back() -> None:
    assert (GoogleUnavailable().code, GoogleUnavailable().retry_after_seconds) == ("UNAVAILABLE", 10)


async def test_a_deleted_account_is_made_anew_only_when_its_tokens_are_no_longer_refused(auth: InMemoryAuth) -> None:
    await log_in(auth)
    await auth.accounts.delete(SUBJECT)
    with pytest.raises(AccountDeleted) as refused:
        await log_in(auth)
    assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "ACCOUNT_DELETED")
    assert refused.value.retry_after_seconds == DAY_SECONDS + 60
    assert not auth.store.state.users
    await auth.clock.advance(DAY_SECONDS + 60)
    assert (await log_in(auth)).user.created_at == auth.clock.now()


async def test_of_two_first_sign_ins_at_once_both_are_let_in(auth: InMemoryAuth) -> None:
    one, other = await asyncio.gather(log_in(auth), log_in(auth))
    assert one.user == other.user
    assert len(await auth.sessions.list_open(SUBJECT)) == 2
