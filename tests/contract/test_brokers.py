"""The server-wide broker sessions: public statuses, and activation for administrators."""

import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from contract.documents import SessionStatus, ZerodhaStatus, read, read_error
from contract.vendors import Vendors, zerodha_body
from harness.clients import PASSWORD, Account
from harness.processes import START_SECONDS, RunningSuite

INDIA = timezone(timedelta(hours=5, minutes=30))
ZERODHA, ICICI = "/zerodha/activate", "/icici/activate"
ZERODHA_STATUS, ICICI_STATUS = "/zerodha/status", "/icici/status"
ADDED = {"feed", "last_tick_at"}


@pytest.fixture(autouse=True)
def nobody_is_signed_in(suite: RunningSuite) -> Iterator[None]:
    """Brokers started anew: the sessions live in its memory alone. It is left the same."""
    _restart(suite)
    yield
    _restart(suite)


def _restart(suite: RunningSuite) -> None:
    assert suite.stop("brokers") == 0
    suite.start("brokers")
    deadline = time.monotonic() + START_SECONDS
    # Until the gateway has noticed.
    while httpx.get(f"{suite.gateway_url}/api/health", trust_env=False, verify=False).json()["status"] != "healthy":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def icici_activation(vendors: Vendors, **changes: Any) -> dict[str, Any]:
    broker = vendors.open_icici()
    body = {"api_session": broker.new_api_session(), "api_key": broker.api_key, "api_secret": broker.api_secret}
    return {**body, "secret": vendors.icici_secret, **changes}


def zerodha_activation(vendors: Vendors, **changes: Any) -> dict[str, Any]:
    return {**zerodha_body(vendors.open_zerodha()), "secret": vendors.zerodha_secret, **changes}


def grant_admin(suite: RunningSuite, account: Account) -> None:
    auth = suite.processes["auth"].plan
    granting = [*auth.command[:3], "grant-admin", account.email]
    subprocess.run(granting, env=dict(auth.environment), check=True, capture_output=True, timeout=START_SECONDS)


ACTIVATIONS = {ZERODHA: zerodha_activation, ICICI: icici_activation}


def moments_of(status: SessionStatus) -> tuple[datetime, datetime]:
    """Return when a session was opened and when it dies."""
    assert status["set_at"] is not None
    assert status["expires_at"] is not None
    return datetime.fromisoformat(status["set_at"]), datetime.fromisoformat(status["expires_at"])


async def test_without_a_session_the_statuses_say_so(client: httpx.AsyncClient) -> None:
    absent = {"set_at": None, "expires_at": None, "last_tick_at": None, "feed": "off"}
    nothing = {"initialized": False, "valid": False, **absent}

    assert (await client.get(ICICI_STATUS)).json() == nothing
    assert (await client.get(ZERODHA_STATUS)).json() == {**nothing, "token_type": None}


async def test_zerodhas_session_dies_at_six_in_the_morning(client: httpx.AsyncClient, vendors: Vendors) -> None:
    answer = await client.post(ZERODHA, json=zerodha_activation(vendors))
    status = read(ZerodhaStatus, await client.get(ZERODHA_STATUS))

    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    assert (status["initialized"], status["valid"], status["token_type"]) == (True, True, "access_token")
    opened, dies = moments_of(status)
    assert dies.astimezone(INDIA).strftime("%H:%M:%S") == "06:00:00"
    assert timedelta(0) < dies - opened <= timedelta(days=1)
    assert set((await client.get(ZERODHA_STATUS)).json()) == set(status) | ADDED


async def test_icicis_session_dies_at_midnight(client: httpx.AsyncClient, vendors: Vendors) -> None:
    answer = await client.post(ICICI, json=icici_activation(vendors))
    status = read(SessionStatus, await client.get(ICICI_STATUS))

    assert answer.status_code == 200, answer.text
    assert (status["initialized"], status["valid"]) == (True, True)
    opened, dies = moments_of(status)
    assert dies.astimezone(INDIA).strftime("%H:%M:%S") == "00:00:00"
    assert timedelta(0) < dies - opened <= timedelta(days=1)
    assert "token_type" not in (await client.get(ICICI_STATUS)).json()


async def test_an_administrators_token_opens_a_session_without_the_secret(
    client: httpx.AsyncClient, account: Account, suite: RunningSuite, vendors: Vendors
) -> None:
    grant_admin(suite, account)
    session = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})
    client.cookies.clear()
    body = icici_activation(vendors)
    del body["secret"]

    before = await client.post(ICICI, json=body, headers=account.bearer)
    after = await client.post(ICICI, json=body, headers={"Authorization": f"Bearer {session.json()['access_token']}"})

    # A token given out before the grant knows nothing of it.
    read_error(before, 403, "ACCESS_DENIED")
    assert after.status_code == 200, after.text


@pytest.mark.parametrize("path", ACTIVATIONS)
async def test_without_any_proof_it_is_401(client: httpx.AsyncClient, vendors: Vendors, path: str) -> None:
    body = ACTIVATIONS[path](vendors)
    del body["secret"]

    read_error(await client.post(path, json=body), 401, "AUTH_REQUIRED")


@pytest.mark.parametrize("path", ACTIVATIONS)
async def test_a_proof_that_is_not_good_enough_is_403(
    client: httpx.AsyncClient, account: Account, vendors: Vendors, path: str
) -> None:
    wrong = ACTIVATIONS[path](vendors, secret="wrong")
    none = {name: value for name, value in wrong.items() if name != "secret"}

    read_error(await client.post(path, json=wrong), 403, "ACCESS_DENIED")
    read_error(await client.post(path, json=none, headers=account.bearer), 403, "ACCESS_DENIED")
    assert (await client.get(ZERODHA_STATUS)).json()["initialized"] is False


@pytest.mark.parametrize(("path", "code"), [(ZERODHA, "request_token"), (ICICI, "api_session")])
async def test_what_the_broker_refuses_is_401_and_opens_nothing(
    client: httpx.AsyncClient, vendors: Vendors, path: str, code: str
) -> None:
    body = ACTIVATIONS[path](vendors, **{code: "another"})

    read_error(await client.post(path, json=body), 401, "BROKER_TOKEN_INVALID")
    assert (await client.get(path.replace("activate", "status"))).json()["initialized"] is False


async def test_a_session_does_not_outlive_the_process(
    client: httpx.AsyncClient, vendors: Vendors, suite: RunningSuite
) -> None:
    assert (await client.post(ZERODHA, json=zerodha_activation(vendors))).status_code == 200

    _restart(suite)

    assert (await client.get(ZERODHA_STATUS)).json()["initialized"] is False
