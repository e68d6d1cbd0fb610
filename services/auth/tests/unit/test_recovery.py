import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from auth.domain.credentials import EmailInvalid, PasswordTooLong, PasswordTooShort
from auth.domain.google_identities import GoogleIdentity
from auth.domain.login import CredentialsInvalid
from auth.domain.mail_orders import MAILS_PER_WINDOW
from auth.domain.mail_tokens import MailTokenInvalid
from auth.domain.ports import Limit
from auth.domain.revocations import VERIFIER_LEEWAY, Revocation, RevocationKind
from auth.domain.sessions import RefreshTokenInvalid
from auth.domain.throttle import RecoveryThrottled
from auth.domain.users import UserNotFound
from auth.domain.wanted_mails import MailKind
from auth.testing import EMAIL, HOME_ADDRESS, PASSWORD, InMemoryAuth

NEW_PASSWORD = "battery staple"
HOUR_SECONDS = 3_600


async def ask(auth: InMemoryAuth, email: str = EMAIL, client_address: str = HOME_ADDRESS) -> None:
    await auth.recovery.request_password_reset(email=email, client_address=client_address)


async def mailed_token(auth: InMemoryAuth) -> SecretStr:
    """Have the newest mail that was asked for sent, and read the token in it."""
    await auth.postman.deliver(auth.store.state.wanted_mails[-1])
    link = next(line for line in auth.letterbox.letters[-1].text.splitlines() if "#" in line)
    return SecretStr(link.partition("=")[2])


async def reset_token(auth: InMemoryAuth) -> SecretStr:
    await ask(auth)
    return await mailed_token(auth)


async def reset(auth: InMemoryAuth, token: SecretStr, password: str = NEW_PASSWORD) -> None:
    await auth.recovery.reset_password(token=token, password=SecretStr(password))


def kinds_wanted(auth: InMemoryAuth) -> list[MailKind]:
    return [each.kind for each in auth.store.state.wanted_mails]


async def test_registering_asks_for_a_mail_that_verifies_the_address(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    assert not registered.user.is_email_verified
    verified = await auth.recovery.verify_email(await mailed_token(auth))
    assert verified.is_email_verified
    assert (await auth.accounts.get(registered.user.id)).is_email_verified
    assert (await auth.log_in()).user == verified


async def test_a_registration_that_fails_asks_for_nothing(auth: InMemoryAuth) -> None:
    await auth.register()
    await asyncio.gather(*(auth.register() for _ in range(3)), return_exceptions=True)
    assert kinds_wanted(auth) == [MailKind.VERIFY_EMAIL]


async def test_a_new_password_replaces_the_old_one_and_verifies_the_address(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    await reset(auth, await reset_token(auth))
    with pytest.raises(CredentialsInvalid):
        await auth.log_in(password=PASSWORD)
    assert (await auth.log_in(password=NEW_PASSWORD)).user.is_email_verified
    assert (await auth.accounts.get(registered.user.id)).is_email_verified


async def test_a_new_password_ends_every_session_by_its_id_so_that_new_ones_are_good(auth: InMemoryAuth) -> None:
    first = await auth.register()
    second = await auth.log_in()
    stranger = await auth.register("ravi@example.com")
    await reset(auth, await reset_token(auth))
    ended = [auth.claims_of(each) for each in (first, second)]
    assert auth.store.state.announced == [
        tuple(Revocation(RevocationKind.SESSION, each.session_id, each.expires_at + VERIFIER_LEEWAY) for each in ended)
    ]
    for each in (first, second):
        with pytest.raises(RefreshTokenInvalid):
            await auth.sessions.refresh(each.tokens.refresh_token)
    new = await auth.log_in(password=NEW_PASSWORD)
    assert auth.claims_of(new).session_id not in {each.subject for each in auth.store.state.revocations}
    await auth.sessions.refresh(new.tokens.refresh_token)
    await auth.sessions.refresh(stranger.tokens.refresh_token)


async def test_many_sessions_are_told_of_in_several_events(auth: InMemoryAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.domain.sessions.REVOCATIONS_TOLD_AT_ONCE", 2)
    await auth.register()
    for _ in range(4):
        await auth.log_in()
    await reset(auth, await reset_token(auth))
    assert [len(told) for told in auth.store.state.announced] == [2, 2, 1]


async def test_without_sessions_nothing_is_told(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    await auth.sessions.revoke(user_id=registered.user.id, session_id=auth.claims_of(registered).session_id)
    told = list(auth.store.state.announced)
    await reset(auth, await reset_token(auth))
    assert auth.store.state.announced == told


async def test_a_token_sets_one_password_and_takes_the_others_of_its_kind_along(auth: InMemoryAuth) -> None:
    await auth.register()
    verification = await mailed_token(auth)
    tokens = [await reset_token(auth) for _ in range(3)]
    await reset(auth, tokens[1])
    for token in tokens:
        with pytest.raises(MailTokenInvalid) as refused:
            await reset(auth, token, "another password")
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "MAIL_TOKEN_INVALID")
    await auth.recovery.verify_email(verification)


async def test_of_those_who_use_one_token_at_once_one_succeeds(auth: InMemoryAuth) -> None:
    await auth.register()
    token = await reset_token(auth)
    results = await asyncio.gather(
        *(reset(auth, token, f"{NEW_PASSWORD} {number}") for number in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, MailTokenInvalid) for result in results) == 4
    await auth.log_in(password=f"{NEW_PASSWORD} {results.index(None)}")


@pytest.mark.parametrize(("password", "error"), [("short", PasswordTooShort), ("x" * 1_025, PasswordTooLong)])
async def test_a_password_that_cannot_be_used_leaves_the_token_usable(
    auth: InMemoryAuth, password: str, error: type[Exception]
) -> None:
    await auth.register()
    token = await reset_token(auth)
    with pytest.raises(error):
        await reset(auth, token, password)
    await reset(auth, token)


async def test_a_busy_hash_leaves_the_token_usable(auth: InMemoryAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    await auth.register()
    token = await reset_token(auth)

    async def busy(_: SecretStr) -> str:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(auth.passwords, "hash", busy)
        with pytest.raises(ConnectionError):
            await reset(auth, token)
    await reset(auth, token)


async def test_no_hash_is_made_for_a_token_that_is_no_good(auth: InMemoryAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: SecretStr) -> str:
        raise AssertionError

    await auth.register()
    verification = await mailed_token(auth)
    monkeypatch.setattr(auth.passwords, "hash", never)
    for token in ("", "x", "x" * 43, "x" * 1_000_000, "é" * 43, verification.get_secret_value()):
        with pytest.raises(MailTokenInvalid):
            await reset(auth, SecretStr(token))


@pytest.mark.parametrize(("kind", "lifetime"), [(MailKind.RESET_PASSWORD, 1), (MailKind.VERIFY_EMAIL, 24)])
async def test_a_token_is_good_for_its_time_alone(auth: InMemoryAuth, kind: MailKind, lifetime: int) -> None:
    await auth.register()
    is_reset = kind is MailKind.RESET_PASSWORD
    use: Callable[[SecretStr], Awaitable[Any]] = (
        (lambda token: reset(auth, token)) if is_reset else auth.recovery.verify_email
    )
    first, second = [await (reset_token(auth) if is_reset else mailed_token(auth)) for _ in range(2)]
    await auth.clock.advance(lifetime * HOUR_SECONDS - 1)
    await use(first)
    third = await reset_token(auth) if is_reset else second
    await auth.clock.advance(lifetime * HOUR_SECONDS)
    with pytest.raises(MailTokenInvalid):
        await use(third)


async def test_a_token_verifies_no_other_address_than_the_one_it_was_sent_to(auth: InMemoryAuth) -> None:
    user = (await auth.register()).user
    token, resetting = await mailed_token(auth), await reset_token(auth)
    auth.store.state.replace_account(user.id, user=replace(user, email="new@example.com"))
    with pytest.raises(MailTokenInvalid):
        await auth.recovery.verify_email(token)
    with pytest.raises(MailTokenInvalid):
        await reset(auth, resetting)
    assert not (await auth.accounts.get(user.id)).is_email_verified


async def test_of_two_tokens_used_at_once_one_succeeds(auth: InMemoryAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    await auth.register()
    one, other = await reset_token(auth), await reset_token(auth)
    results = await asyncio.gather(reset(auth, one), reset(auth, other), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), MailTokenInvalid]


async def test_a_log_in_with_the_old_password_at_that_moment_opens_no_session(
    auth: InMemoryAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await auth.register()
    token = await reset_token(auth)
    verify = auth.passwords.verify

    async def verify_then_reset(password: SecretStr, password_hash: str | None) -> bool:
        fits = await verify(password, password_hash)
        monkeypatch.setattr(auth.passwords, "verify", verify)
        await reset(auth, token)
        return fits

    monkeypatch.setattr(auth.passwords, "verify", verify_then_reset)
    with pytest.raises(CredentialsInvalid):
        await auth.log_in(password=PASSWORD)
    open_sessions = set(auth.store.state.sessions) - auth.store.state.revoked
    assert not open_sessions


async def test_a_log_in_whose_hash_is_replaced_again_and_again_gives_up(
    auth: InMemoryAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = (await auth.register()).user.id
    verify = auth.passwords.verify

    async def verify_then_renew(password: SecretStr, password_hash: str | None) -> bool:
        fits = await verify(password, password_hash)
        auth.passwords.version += 1
        auth.store.state.replace_account(user_id, password_hash=await auth.passwords.hash(password))
        return fits

    monkeypatch.setattr(auth.passwords, "verify", verify_then_renew)
    with pytest.raises(CredentialsInvalid):
        await auth.log_in()


async def test_logins_at_once_that_renew_the_hash_all_succeed(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.passwords.version = 2
    await asyncio.gather(*(auth.log_in() for _ in range(4)))


class Noted:
    """Stands before a store and writes down what is called, not with which values."""

    def __init__(self, wrapped: Any, calls: list[str], path: str = "") -> None:
        self._wrapped, self._calls, self._path = wrapped, calls, path

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        path = f"{self._path}.{name}"
        if not callable(value):
            return Noted(value, self._calls, path)

        def called(*arguments: Any, **named: Any) -> Any:
            self._calls.append(path)
            answer = value(*arguments, **named)
            return Noted(answer, self._calls) if hasattr(answer, "__aenter__") else answer

        return called

    async def __aenter__(self) -> "Noted":  # noqa: PYI034  # another one, before what is entered
        return Noted(await self._wrapped.__aenter__(), self._calls)

    async def __aexit__(self, *error: object) -> Any:
        return await self._wrapped.__aexit__(*error)


async def test_the_same_is_done_whether_or_not_there_is_an_account(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.id_tokens.identities["google"] = GoogleIdentity("1" * 21, "google@example.com", None, None)
    await auth.google_login.log_in(id_token=SecretStr("google"), expected_user_id="", client_address=HOME_ADDRESS)
    done: dict[str, list[list[str]]] = {}
    for email in (EMAIL, "nobody@example.com", "google@example.com"):
        for _ in range(MAILS_PER_WINDOW + 2):
            calls: list[str] = []
            auth.recovery._store = Noted(auth.store, calls)
            await ask(auth, email)
            done.setdefault(email, []).append(calls)
    assert done[EMAIL] == done["nobody@example.com"] == done["google@example.com"]
    assert ".wanted_mails.add" in done[EMAIL][0]
    assert ".wanted_mails.add" not in done[EMAIL][-1]


async def test_mails_to_nobody_are_dropped(auth: InMemoryAuth) -> None:
    await ask(auth, "nobody@example.com")
    await auth.postman.deliver(auth.store.state.wanted_mails[-1])
    assert not auth.letterbox.letters


async def test_an_account_is_written_to_five_times_an_hour_and_nothing_says_so(auth: InMemoryAuth) -> None:
    await auth.register()
    for minute in range(10):
        await ask(auth, "ASHA@example.com" if minute % 2 else EMAIL)
        await auth.clock.advance(60)
    assert kinds_wanted(auth).count(MailKind.RESET_PASSWORD) == 5
    await auth.clock.advance(HOUR_SECONDS - 9 * 60)
    await ask(auth)
    assert kinds_wanted(auth).count(MailKind.RESET_PASSWORD) == 6


async def test_requests_at_once_have_one_share(auth: InMemoryAuth) -> None:
    await auth.register()
    await asyncio.gather(*(ask(auth) for _ in range(9)))
    assert kinds_wanted(auth).count(MailKind.RESET_PASSWORD) == 5


async def test_too_many_requests_from_one_network_are_refused_whoever_they_are_for(auth: InMemoryAuth) -> None:
    auth.attempts.limits[Limit.RECOVERY_BY_NETWORK] = 1
    await ask(auth, "nobody@example.com")
    for email in (EMAIL, "nobody@example.com"):
        with pytest.raises(RecoveryThrottled) as refused:
            await ask(auth, email)
        assert (refused.value.code, refused.value.retry_after_seconds) == ("RESOURCE_EXHAUSTED", 42.5)
    await ask(auth, EMAIL, "192.0.2.99")


async def test_what_is_no_address_is_refused_before_it_is_counted(auth: InMemoryAuth) -> None:
    with pytest.raises(EmailInvalid):
        await ask(auth, "asha")
    assert not auth.attempts.counts


async def test_a_verification_can_be_asked_for_five_times_an_hour_registering_included(auth: InMemoryAuth) -> None:
    user_id = (await auth.register()).user.id
    await auth.clock.advance(600)
    for _ in range(4):
        assert await auth.recovery.request_email_verification(user_id) is False
    with pytest.raises(RecoveryThrottled) as refused:
        await auth.recovery.request_email_verification(user_id)
    assert refused.value.reason == "RECOVERY_THROTTLED"
    assert refused.value.retry_after_seconds == HOUR_SECONDS - 600
    assert len(kinds_wanted(auth)) == 5
    await auth.clock.advance(HOUR_SECONDS - 600)
    assert await auth.recovery.request_email_verification(user_id) is False


async def test_an_address_is_counted_however_often_its_account_is_made_anew(auth: InMemoryAuth) -> None:
    for number in range(8):
        user_id = (await auth.register("Asha@example.com" if number % 2 else EMAIL)).user.id
        await ask(auth)
        await auth.accounts.delete(user_id)
        await ask(auth)
    user_id = (await auth.register()).user.id
    with pytest.raises(RecoveryThrottled):
        await auth.recovery.request_email_verification(user_id)
    assert sorted(kinds_wanted(auth)) == [MailKind.RESET_PASSWORD] * 5 + [MailKind.VERIFY_EMAIL] * 5
    await auth.register("ravi@example.com")
    assert kinds_wanted(auth).count(MailKind.VERIFY_EMAIL) == 6


async def test_for_a_verified_address_nothing_is_sent(auth: InMemoryAuth) -> None:
    user_id = (await auth.register()).user.id
    await auth.recovery.verify_email(await mailed_token(auth))
    assert await auth.recovery.request_email_verification(user_id) is True
    assert len(kinds_wanted(auth)) == 1


async def test_googles_addresses_are_verified_from_the_start_and_stay_so(auth: InMemoryAuth) -> None:
    for email in ("asha@example.com", "asha.rao@example.com"):
        auth.id_tokens.identities["google"] = GoogleIdentity("1" * 21, email, "Asha", None)
        signed_in = await auth.google_login.log_in(
            id_token=SecretStr("google"), expected_user_id="", client_address=HOME_ADDRESS
        )
        assert (signed_in.user.email, signed_in.user.is_email_verified) == (email, True)
    assert await auth.recovery.request_email_verification(signed_in.user.id) is True
    assert not kinds_wanted(auth)


@pytest.mark.parametrize("user_id", ["2", "", "1\x00", "x" * 256, "nobody:0"])
async def test_nobodys_address_cannot_be_verified(auth: InMemoryAuth, user_id: str) -> None:
    await auth.register()
    with pytest.raises(UserNotFound):
        await auth.recovery.request_email_verification(user_id)


async def test_neither_address_nor_token_is_logged(auth: InMemoryAuth, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await auth.register()
    verification = await mailed_token(auth)
    token = await reset_token(auth)
    await reset(auth, token)
    written = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "mail sent" in written
    for secret in (EMAIL, verification.get_secret_value(), token.get_secret_value(), NEW_PASSWORD):
        assert secret not in written


async def test_storage_knows_no_token(auth: InMemoryAuth) -> None:
    await auth.register()
    token = await reset_token(auth)
    assert token.get_secret_value() not in repr(auth.store.state)
