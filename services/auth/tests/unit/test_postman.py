import logging
from dataclasses import replace

import pytest
from pydantic import SecretStr

from auth.domain.wanted_mails import MailKind, WantedMail
from auth.testing import EMAIL, HOME_ADDRESS, InMemoryAuth
from chassis.errors import BusUnavailable

HOUR_SECONDS = 3_600


async def asked(auth: InMemoryAuth) -> WantedMail:
    await auth.register()
    await auth.recovery.request_password_reset(email=EMAIL, client_address=HOME_ADDRESS)
    return auth.store.state.wanted_mails[-1]


async def test_a_letter_goes_to_the_account_with_a_link_whose_token_is_stored(auth: InMemoryAuth) -> None:
    mail = await asked(auth)
    await auth.postman.deliver(mail)
    (letter,) = auth.letterbox.letters
    assert (letter.to, letter.id) == (EMAIL, f"reset-password-{mail.id}")
    (stored,) = auth.store.state.mail_tokens.values()
    assert (stored.user_id, stored.kind, stored.email) == (mail.user_id, mail.kind, EMAIL)
    assert (stored.expires_at - stored.created_at).total_seconds() == HOUR_SECONDS


async def test_each_try_has_a_token_of_its_own_and_both_are_good(auth: InMemoryAuth) -> None:
    mail = await asked(auth)
    auth.letterbox.failure = BusUnavailable()
    with pytest.raises(BusUnavailable):
        await auth.postman.deliver(mail)
    auth.letterbox.failure = None
    await auth.clock.advance(30)
    await auth.postman.deliver(mail)
    (letter,) = auth.letterbox.letters
    assert letter.dated_at == mail.requested_at
    assert len(auth.store.state.mail_tokens) == 2


async def test_after_an_hour_a_mail_is_given_up(auth: InMemoryAuth, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    mail = await asked(auth)
    await auth.clock.advance(HOUR_SECONDS)
    await auth.postman.deliver(mail)
    await auth.clock.advance(1)
    await auth.postman.deliver(mail)
    assert len(auth.letterbox.letters) == 1
    assert "mail given up after an hour" in caplog.text
    assert EMAIL not in caplog.text


async def test_a_verified_address_is_not_asked_to_be_verified(auth: InMemoryAuth) -> None:
    await auth.register()
    (mail,) = auth.store.state.wanted_mails
    user = await auth.accounts.get(mail.user_id)
    auth.store.state.replace_account(user.id, user=replace(user, is_email_verified=True))
    await auth.postman.deliver(mail)
    assert not auth.letterbox.letters


async def test_after_a_new_password_what_was_asked_for_before_is_dropped(auth: InMemoryAuth) -> None:
    pending = await asked(auth)
    await auth.recovery.request_password_reset(email=EMAIL, client_address=HOME_ADDRESS)
    await auth.postman.deliver(auth.store.state.wanted_mails[-1])
    token = SecretStr(auth.letterbox.letters[0].text.partition("#reset=")[2].splitlines()[0])
    await auth.clock.advance(1)
    await auth.recovery.reset_password(token=token, password=SecretStr("battery staple"))
    await auth.postman.deliver(pending)
    assert len(auth.letterbox.letters) == len(auth.store.state.mail_tokens) == 1
    await auth.clock.advance(1)
    await auth.recovery.request_password_reset(email=EMAIL, client_address=HOME_ADDRESS)
    await auth.postman.deliver(auth.store.state.wanted_mails[-1])
    assert len(auth.letterbox.letters) == 2


async def test_a_verified_account_may_forget_its_password(auth: InMemoryAuth) -> None:
    mail = await asked(auth)
    user = await auth.accounts.get(mail.user_id)
    auth.store.state.replace_account(user.id, user=replace(user, is_email_verified=True))
    await auth.postman.deliver(mail)
    assert len(auth.letterbox.letters) == 1


@pytest.mark.parametrize("user_id", ["4711", "nobody:0", "", "x" * 256])
async def test_a_mail_to_nobody_is_dropped(auth: InMemoryAuth, user_id: str) -> None:
    await auth.postman.deliver(WantedMail("m", user_id, MailKind.VERIFY_EMAIL, auth.clock.now()))
    assert not auth.letterbox.letters
    assert not auth.store.state.mail_tokens


async def test_an_account_deleted_at_this_moment_is_written_to_no_more(
    auth: InMemoryAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = await asked(auth)
    transaction = auth.store.transaction

    def deleted_first() -> object:
        auth.store.delete_user(mail.user_id)
        return transaction()

    monkeypatch.setattr(auth.store, "transaction", deleted_first)
    await auth.postman.deliver(mail)
    assert not auth.letterbox.letters
