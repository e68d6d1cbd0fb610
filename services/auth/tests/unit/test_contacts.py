import pytest

from auth.domain.contacts import UnsubscribeTokenInvalid
from auth.domain.mail_lists import EmailUnverified, MailList
from auth.domain.users import UserNotFound
from auth.testing import InMemoryAuth, unsubscribe_token_of

IMPOSSIBLE_IDS = ["2", "", "1\x00", "x" * 256, "१"]


async def test_everybody_wants_every_list_until_somebody_says_otherwise(auth: InMemoryAuth) -> None:
    user = (await auth.register()).user
    contact = await auth.contacts.get(user.id)
    assert (contact.user, contact.wanted) == (user, frozenset(MailList))
    assert contact.unsubscribe_token not in repr(contact)


async def test_what_is_not_named_stays_as_it_was(auth: InMemoryAuth) -> None:
    user_id = (await auth.register()).user.id
    await auth.contacts.set_lists(user_id, {MailList.ALERTS: False})
    assert (await auth.contacts.set_lists(user_id, {})).wanted == {MailList.PORTFOLIO_SUMMARY}
    both = {MailList.ALERTS: True, MailList.PORTFOLIO_SUMMARY: False}
    assert (await auth.contacts.set_lists(user_id, both)).wanted == {MailList.ALERTS}
    assert (await auth.contacts.get(user_id)).wanted == {MailList.ALERTS}


async def test_the_token_of_a_mail_ends_its_list_and_ending_it_again_succeeds(auth: InMemoryAuth) -> None:
    asha, ravi = (await auth.register()).user.id, (await auth.register("ravi@example.com")).user.id
    for _ in range(2):
        await auth.contacts.unsubscribe(unsubscribe_token_of(asha), MailList.ALERTS)
    assert (await auth.contacts.get(asha)).wanted == {MailList.PORTFOLIO_SUMMARY}
    assert (await auth.contacts.get(ravi)).wanted == set(MailList)


async def test_who_has_unsubscribed_gets_nothing_by_the_next_account_of_the_address(auth: InMemoryAuth) -> None:
    first = (await auth.register()).user.id
    await auth.contacts.unsubscribe(unsubscribe_token_of(first), MailList.ALERTS)
    await auth.accounts.delete(first)
    second = (await auth.register("ASHA@example.com")).user.id
    assert (await auth.contacts.get(second)).wanted == {MailList.PORTFOLIO_SUMMARY}
    await auth.accounts.delete(second)
    ravi = (await auth.register("ravi@example.com")).user.id
    assert (await auth.contacts.get(ravi)).wanted == set(MailList)


async def test_what_an_address_has_refused_is_wanted_again_by_who_verified_it_alone(auth: InMemoryAuth) -> None:
    user = (await auth.register()).user
    await auth.contacts.unsubscribe(unsubscribe_token_of(user.id), MailList.ALERTS)
    with pytest.raises(EmailUnverified, match="verify the address first") as refused:
        await auth.contacts.set_lists(user.id, {MailList.ALERTS: True, MailList.PORTFOLIO_SUMMARY: False})
    assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "EMAIL_UNVERIFIED")
    assert (await auth.contacts.get(user.id)).wanted == {MailList.PORTFOLIO_SUMMARY}
    other = {MailList.ALERTS: False, MailList.PORTFOLIO_SUMMARY: True}
    assert (await auth.contacts.set_lists(user.id, other)).wanted == {MailList.PORTFOLIO_SUMMARY}

    await auth.verify(user)
    assert (await auth.contacts.get(user.id)).wanted == {MailList.PORTFOLIO_SUMMARY}
    assert (await auth.contacts.set_lists(user.id, {MailList.ALERTS: True})).wanted == set(MailList)
    assert (await auth.contacts.get(user.id)).wanted == set(MailList)
    assert not auth.store.state.refusals


async def test_wanting_one_list_takes_back_the_refusal_of_no_other(auth: InMemoryAuth) -> None:
    user = (await auth.register()).user
    await auth.verify(user)
    for mail_list in MailList:
        await auth.contacts.unsubscribe(unsubscribe_token_of(user.id), mail_list)
    assert (await auth.contacts.set_lists(user.id, {MailList.ALERTS: True})).wanted == {MailList.ALERTS}
    assert (await auth.contacts.get(user.id)).wanted == {MailList.ALERTS}


async def test_who_turned_a_list_off_without_a_mails_link_may_turn_it_on_again(auth: InMemoryAuth) -> None:
    user_id = (await auth.register()).user.id
    await auth.contacts.set_lists(user_id, {MailList.ALERTS: False})
    assert (await auth.contacts.set_lists(user_id, {MailList.ALERTS: True})).wanted == set(MailList)


@pytest.mark.parametrize("token", ["", "x" * 43, "u" * 42 + "2", "u" * 42 + "é", "u" * 43 + "\n", "u" * 1_000_000])
async def test_a_token_that_nobody_has_ends_nothing(auth: InMemoryAuth, token: str) -> None:
    user_id = (await auth.register()).user.id
    with pytest.raises(UnsubscribeTokenInvalid) as refused:
        await auth.contacts.unsubscribe(token, MailList.ALERTS)
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "UNSUBSCRIBE_TOKEN_INVALID")
    assert (await auth.contacts.get(user_id)).wanted == set(MailList)


@pytest.mark.parametrize("user_id", IMPOSSIBLE_IDS)
async def test_an_unknown_user_has_no_contact(auth: InMemoryAuth, user_id: str) -> None:
    await auth.register()
    with pytest.raises(UserNotFound):
        await auth.contacts.get(user_id)
    with pytest.raises(UserNotFound):
        await auth.contacts.set_lists(user_id, {MailList.ALERTS: False})
