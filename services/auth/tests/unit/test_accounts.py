import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from auth.domain.accounts import RETURN_AFTER, AccountNotFound, AccountUnverified, EmailTaken, grant_admin
from auth.domain.credentials import EmailInvalid, NameInvalid, PasswordTooLong, PasswordTooShort
from auth.domain.ports import Limit
from auth.domain.revocations import VERIFIER_LEEWAY, Revocation, RevocationKind
from auth.domain.sessions import RefreshTokenInvalid
from auth.domain.throttle import RegistrationThrottled
from auth.domain.users import IdentityProvider, User, UserNotFound
from auth.testing import InMemoryAuth, MemoryStore


async def test_registering_makes_an_account_and_its_first_session(auth: InMemoryAuth) -> None:
    signed_in = await auth.register()
    assert signed_in.user == User(
        id="1",
        identity_provider=IdentityProvider.PASSWORD,
        email="asha@example.com",
        name="Asha",
        picture=None,
        created_at=auth.clock.now(),
        is_admin=False,
    )
    claims = auth.claims_of(signed_in)
    assert claims.user_id == "1"
    assert claims.session_id in auth.store.state.sessions
    assert await auth.accounts.get("1") == signed_in.user


async def test_ids_of_accounts_are_integers_that_grow(auth: InMemoryAuth) -> None:
    first = await auth.register("one@example.com")
    second = await auth.register("two@example.com")
    assert int(second.user.id) > int(first.user.id)


async def test_a_name_is_optional(auth: InMemoryAuth) -> None:
    signed_in = await auth.accounts.register(
        email="asha@example.com", password=SecretStr("correct horse"), name=None, client_address="192.0.2.1"
    )
    assert signed_in.user.name is None


async def test_a_taken_address_is_refused_however_it_is_spelt(auth: InMemoryAuth) -> None:
    await auth.register("Asha@example.com")
    with pytest.raises(EmailTaken) as refused:
        await auth.register("asha@EXAMPLE.com")
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "EMAIL_TAKEN")


async def test_no_address_is_taken_by_another_that_only_folds_to_it(auth: InMemoryAuth) -> None:
    with pytest.raises(EmailInvalid):
        await auth.register("\ufb01nance@example.com")
    await auth.register("finance@example.com")


async def test_of_two_registrations_at_once_one_wins(auth: InMemoryAuth) -> None:
    results = await asyncio.gather(*(auth.register() for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, EmailTaken) for result in results) == 4
    assert len(auth.store.state.accounts) == 1


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"email": "asha"}, EmailInvalid),
        ({"password": SecretStr("short")}, PasswordTooShort),
        ({"password": SecretStr("x" * 1025)}, PasswordTooLong),
        ({"name": ""}, NameInvalid),
    ],
)
async def test_what_cannot_be_used_is_refused_before_anything_is_counted_or_stored(
    auth: InMemoryAuth, typed: dict[str, Any], error: type[Exception]
) -> None:
    usable = {"email": "asha@example.com", "password": SecretStr("correct horse"), "name": "Asha"}
    with pytest.raises(error):
        await auth.accounts.register(**{**usable, **typed}, client_address="192.0.2.1")
    assert not auth.attempts.counts
    assert not auth.store.state.accounts


async def test_too_many_registrations_from_one_network_are_refused(auth: InMemoryAuth) -> None:
    auth.attempts.limits[Limit.REGISTRATION_BY_NETWORK] = 1
    await auth.register("one@example.com")
    with pytest.raises(RegistrationThrottled, match="43 s") as refused:
        await auth.register("two@example.com")
    assert refused.value.retry_after_seconds == 42.5
    assert refused.value.code == "RESOURCE_EXHAUSTED"


async def test_nobody_comes_back_before_others_have_forgotten_though_the_last_token_has_expired(
    auth: InMemoryAuth,
) -> None:
    registered = await auth.register()
    lifetime = auth.claims_of(registered).expires_at - auth.clock.now()
    await auth.clock.advance(lifetime.total_seconds() - 1)
    await auth.accounts.delete(registered.user.id)
    (revocation,) = auth.store.state.revocations
    assert revocation.expires_at == auth.clock.now() + RETURN_AFTER


@pytest.mark.parametrize("user_id", ["2", "", "01", "1 ", "1\x00", "x" * 256, "१"])
async def test_an_unknown_id_is_not_found(auth: InMemoryAuth, user_id: str) -> None:
    await auth.register()
    with pytest.raises(UserNotFound) as refused:
        await auth.accounts.get(user_id)
    assert refused.value.code == "NOT_FOUND"


async def test_an_administrator_is_told_by_the_next_tokens(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    await auth.verify(registered.user)
    granted = await grant_admin(auth.store, "ASHA@example.com")
    assert granted.id == registered.user.id
    assert not auth.claims_of(registered).is_admin
    assert auth.claims_of(await auth.log_in()).is_admin
    assert auth.claims_of(await auth.sessions.refresh(registered.tokens.refresh_token)).is_admin


async def test_an_address_that_nobody_verified_is_no_administrators_unless_it_is_said_so(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    with pytest.raises(AccountUnverified, match=r"asha@example\.com.*--unverified"):
        await grant_admin(auth.store, "asha@example.com")
    assert not auth.claims_of(await auth.log_in()).is_admin
    await grant_admin(auth.store, "asha@example.com", is_unverified_enough=True)
    assert auth.claims_of(await auth.log_in()).is_admin
    assert not (await auth.accounts.get(registered.user.id)).is_email_verified


async def test_only_a_registered_account_becomes_an_administrators() -> None:
    with pytest.raises(AccountNotFound, match=r"nobody@example\.com"):
        await grant_admin(MemoryStore(), "nobody@example.com")


async def test_a_hash_is_not_shown(auth: InMemoryAuth) -> None:
    await auth.register()
    (account,) = auth.store.state.accounts.values()
    assert "correct horse" in account.password_hash
    assert "correct horse" not in repr(account)


async def test_a_deleted_account_is_gone_with_its_sessions_and_its_tokens_are_refused(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    await auth.clock.advance(3600)
    newest = auth.claims_of(await auth.log_in())
    await auth.accounts.delete(registered.user.id)
    with pytest.raises(UserNotFound):
        await auth.accounts.get(registered.user.id)
    with pytest.raises(RefreshTokenInvalid):
        await auth.sessions.refresh(registered.tokens.refresh_token)
    refused = Revocation(RevocationKind.USER, registered.user.id, newest.expires_at + VERIFIER_LEEWAY)
    assert auth.store.state.announced == [(refused,)]
    assert auth.store.state.deleted == [registered.user.id]
    assert (auth.store.state.sessions, auth.store.state.tokens) == ({}, {})


async def test_deleting_an_account_leaves_others_alone(auth: InMemoryAuth) -> None:
    asha, ravi = await auth.register(), await auth.register("ravi@example.com")
    await auth.accounts.delete(asha.user.id)
    assert await auth.accounts.get(ravi.user.id) == ravi.user
    await auth.sessions.refresh(ravi.tokens.refresh_token)


async def test_an_account_without_sessions_is_deleted_too(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    auth.store.state.sessions.clear()
    await auth.accounts.delete(registered.user.id)
    (revocation,) = auth.store.state.revocations
    assert revocation.expires_at == auth.clock.now() + RETURN_AFTER


@pytest.mark.parametrize("user_id", ["2", "", "01", "1\x00", "x" * 256])
async def test_an_unknown_account_cannot_be_deleted(auth: InMemoryAuth, user_id: str) -> None:
    await auth.register()
    with pytest.raises(UserNotFound):
        await auth.accounts.delete(user_id)
    assert not auth.store.state.announced


async def test_an_account_is_deleted_once(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    results = await asyncio.gather(
        *(auth.accounts.delete(registered.user.id) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(result, UserNotFound) for result in results) == 2
    assert len(auth.store.state.announced) == 1
