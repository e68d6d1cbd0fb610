import pytest
from pydantic import SecretStr

from auth.domain.login import CredentialsInvalid
from auth.domain.ports import Limit
from auth.domain.throttle import LoginThrottled
from auth.testing import InMemoryAuth


async def test_the_password_opens_a_session(auth: InMemoryAuth) -> None:
    registered = await auth.register()
    signed_in = await auth.log_in("ASHA@example.com")
    assert signed_in.user == registered.user
    assert auth.claims_of(signed_in).session_id != auth.claims_of(registered).session_id


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("asha@example.com", "wrong horse"),
        ("asha@example.com", ""),
        ("asha@example.com", "x" * 1025),
        ("nobody@example.com", "correct horse"),
        ("not an address", "correct horse"),
        ("", ""),
    ],
)
async def test_all_that_is_wrong_has_one_answer(auth: InMemoryAuth, email: str, password: str) -> None:
    await auth.register()
    with pytest.raises(CredentialsInvalid) as refused:
        await auth.log_in(email, password)
    assert (refused.value.code, refused.value.message) == ("UNAUTHENTICATED", "email or password is wrong")


async def test_an_unknown_account_costs_a_verification_too(auth: InMemoryAuth) -> None:
    await auth.register()
    for email in ("asha@example.com", "nobody@example.com"):
        with pytest.raises(CredentialsInvalid):
            await auth.log_in(email, "wrong horse")
    assert auth.passwords.verifications == 2


async def test_another_keyboards_form_of_the_password_fits(auth: InMemoryAuth) -> None:
    await auth.register(password="cafe\u0301 au lait")
    await auth.log_in(password="caf\u00e9 au lait")


async def test_a_hash_of_earlier_parameters_is_renewed(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.passwords.version = 2
    await auth.log_in()
    (account,) = auth.store.state.accounts.values()
    assert account.password_hash == "v2:correct horse"
    await auth.log_in()


async def test_a_wrong_password_renews_nothing(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.passwords.version = 2
    with pytest.raises(CredentialsInvalid):
        await auth.log_in(password="wrong horse")
    (account,) = auth.store.state.accounts.values()
    assert account.password_hash == "v1:correct horse"


async def test_a_network_that_tries_too_often_waits_whatever_it_tries(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.attempts.limits[Limit.LOGIN_BY_NETWORK] = 3
    for email in ("a@example.com", "b@example.com", "not an address"):
        with pytest.raises(CredentialsInvalid):
            await auth.log_in(email, client_address="198.51.100.7")
    with pytest.raises(LoginThrottled) as refused:
        await auth.log_in(client_address="198.51.100.7")
    assert (refused.value.code, refused.value.retry_after_seconds) == ("RESOURCE_EXHAUSTED", 42.5)
    await auth.log_in(client_address="198.51.100.8")


async def test_a_success_does_not_refill_the_networks_budget(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.attempts.limits[Limit.LOGIN_BY_NETWORK] = 2
    await auth.log_in()
    await auth.log_in()
    with pytest.raises(LoginThrottled):
        await auth.log_in()


async def guess(auth: InMemoryAuth, email: str, times: int) -> None:
    for number in range(times):
        with pytest.raises(CredentialsInvalid):
            await auth.log_in(email, "wrong horse", client_address=f"198.51.100.{number}")


async def test_an_account_is_closed_to_strangers_after_too_many_guesses_from_anywhere(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.attempts.limits[Limit.LOGIN_BY_ACCOUNT] = 3
    await guess(auth, "asha@example.com", 3)
    verifications = auth.passwords.verifications
    with pytest.raises(LoginThrottled):
        await auth.log_in(client_address="203.0.113.1")
    assert auth.passwords.verifications == verifications


async def test_an_unknown_account_is_closed_in_the_same_way(auth: InMemoryAuth) -> None:
    auth.attempts.limits[Limit.LOGIN_BY_ACCOUNT] = 3
    await guess(auth, "nobody@example.com", 3)
    with pytest.raises(LoginThrottled):
        await auth.log_in("NOBODY@example.com")


async def test_guessing_from_elsewhere_does_not_lock_the_owner_out_at_home(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.attempts.limits[Limit.LOGIN_BY_ACCOUNT] = 3
    await guess(auth, "asha@example.com", 3)
    await auth.log_in(client_address="192.0.2.1")


async def test_at_home_too_guesses_are_limited(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.attempts.limits[Limit.LOGIN_BY_ACCOUNT] = 3
    auth.attempts.limits[Limit.LOGIN_BY_ACCOUNT_AT_HOME] = 2
    await guess(auth, "asha@example.com", 3)
    for _ in range(2):
        with pytest.raises(CredentialsInvalid):
            await auth.log_in(password="wrong horse")
    with pytest.raises(LoginThrottled):
        await auth.log_in()


async def test_an_ended_session_is_no_home(auth: InMemoryAuth) -> None:
    claims = auth.claims_of(await auth.register())
    await auth.sessions.log_out(user_id=claims.user_id, session_id=claims.session_id, token_id=claims.token_id)
    auth.attempts.limits[Limit.LOGIN_BY_ACCOUNT] = 3
    await guess(auth, "asha@example.com", 3)
    with pytest.raises(LoginThrottled):
        await auth.log_in()


async def test_a_success_starts_the_accounts_count_anew(auth: InMemoryAuth) -> None:
    await auth.register()
    auth.attempts.limits[Limit.LOGIN_BY_ACCOUNT] = 3
    for _ in range(3):
        await guess(auth, "asha@example.com", 2)
        await auth.log_in(client_address="203.0.113.1")


async def test_counters_do_not_hold_addresses_of_people(auth: InMemoryAuth) -> None:
    await auth.register()
    with pytest.raises(CredentialsInvalid):
        await auth.login.log_in(email="asha@example.com", password=SecretStr("wrong horse"), client_address="192.0.2.1")
    assert not any("asha" in key for _, key in auth.attempts.counts)


async def test_an_account_that_is_deleted_while_its_password_is_checked_is_unknown(auth: InMemoryAuth) -> None:
    registered = await auth.register()

    async def verify_and_delete(password: SecretStr, password_hash: str | None) -> bool:
        await auth.accounts.delete(registered.user.id)
        return True

    auth.passwords.verify = verify_and_delete  # type: ignore[method-assign]
    with pytest.raises(CredentialsInvalid):
        await auth.log_in()
