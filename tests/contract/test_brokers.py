"""The server-wide broker sessions: public statuses, and activation for administrators."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from contract.documents import SessionStatus, ZerodhaStatus, read, read_error
from contract.vendors import Vendors, zerodha_body
from harness.clients import PASSWORD, Account, register
from harness.processes import START_SECONDS, RunningSuite

INDIA = timezone(timedelta(hours=5, minutes=30))
ZERODHA, ICICI = "/zerodha/activate", "/icici/activate"
ZERODHA_STATUS, ICICI_STATUS = "/zerodha/status", "/icici/status"
ADDED = {"feed", "last_tick_at", "simulated"}


@pytest.fixture(autouse=True)
def nobody_stays_signed_in(suite: RunningSuite) -> Iterator[None]:
    """After a test that opened a session, brokers is started anew: its memory alone has them."""
    yield
    statuses = [_read(suite, path) for path in (ZERODHA_STATUS, ICICI_STATUS)]
    if any(status["initialized"] for status in statuses):
        _restart(suite)


def _read(suite: RunningSuite, path: str) -> Any:
    return httpx.get(f"{suite.gateway_url}{path}", trust_env=False, verify=False).json()


def _restart(suite: RunningSuite) -> None:
    assert suite.stop("brokers") == 0
    suite.start("brokers")
    deadline = time.monotonic() + START_SECONDS
    # Until the gateway has noticed.
    while _read(suite, "/api/health")["status"] != "healthy":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
async def administrator(client: httpx.AsyncClient, suite: RunningSuite) -> dict[str, str]:
    """The header of an administrator's token, which is one given out after the grant."""
    account = await register(client)
    auth = suite.processes["auth"].plan
    granting = [*auth.command, "grant-admin", account.email]
    await asyncio.to_thread(
        subprocess.run, granting, env=dict(auth.environment), check=True, capture_output=True, timeout=START_SECONDS
    )
    session = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})
    client.cookies.clear()
    return {"Authorization": f"Bearer {session.json()['access_token']}"}


def zerodha_activation(vendors: Vendors, **changes: Any) -> dict[str, Any]:
    return {**zerodha_body(vendors.open_zerodha()), **changes}


def icici_activation(vendors: Vendors, **changes: Any) -> dict[str, Any]:
    broker = vendors.open_icici()
    body = {"api_session": broker.new_api_session(), "api_key": broker.api_key, "api_secret": broker.api_secret}
    return {**body, **changes}


ACTIVATIONS = {ZERODHA: zerodha_activation, ICICI: icici_activation}


def moments_of(status: SessionStatus) -> tuple[datetime, datetime]:
    """Return when a session was opened and when it dies."""
    assert status["set_at"] is not None
    assert status["expires_at"] is not None
    return datetime.fromisoformat(status["set_at"]), datetime.fromisoformat(status["expires_at"])


async def test_without_a_session_the_statuses_say_so(client: httpx.AsyncClient) -> None:
    absent = {"set_at": None, "expires_at": None, "last_tick_at": None, "feed": "off", "simulated": False}
    nothing = {"initialized": False, "valid": False, **absent}

    assert (await client.get(ICICI_STATUS)).json() == nothing
    assert (await client.get(ZERODHA_STATUS)).json() == {**nothing, "token_type": None}


async def test_zerodhas_session_dies_at_six_in_the_morning(
    client: httpx.AsyncClient, vendors: Vendors, administrator: dict[str, str]
) -> None:
    answer = await client.post(ZERODHA, json=zerodha_activation(vendors), headers=administrator)
    status = read(ZerodhaStatus, await client.get(ZERODHA_STATUS))

    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    assert (status["initialized"], status["valid"], status["token_type"]) == (True, True, "access_token")
    opened, dies = moments_of(status)
    assert dies.astimezone(INDIA).strftime("%H:%M:%S") == "06:00:00"
    assert timedelta(0) < dies - opened <= timedelta(days=1)
    assert set(answer.json()) >= set(status) | ADDED


async def test_icicis_session_dies_at_midnight(client: httpx.AsyncClient, vendors: Vendors) -> None:
    answer = await client.post(ICICI, json=icici_activation(vendors, secret=vendors.icici_secret))
    status = read(SessionStatus, await client.get(ICICI_STATUS))

    assert answer.status_code == 200, answer.text
    assert (status["initialized"], status["valid"]) == (True, True)
    opened, dies = moments_of(status)
    assert dies.astimezone(INDIA).strftime("%H:%M:%S") == "00:00:00"
    assert timedelta(0) < dies - opened <= timedelta(days=1)
    assert "token_type" not in (await client.get(ICICI_STATUS)).json()


@pytest.mark.parametrize("path", ACTIVATIONS)
async def test_without_any_proof_it_is_401(client: httpx.AsyncClient, vendors: Vendors, path: str) -> None:
    read_error(await client.post(path, json=ACTIVATIONS[path](vendors)), 401, "AUTH_REQUIRED")


@pytest.mark.parametrize("path", ACTIVATIONS)
async def test_a_proof_that_is_not_good_enough_is_403(
    client: httpx.AsyncClient, account: Account, vendors: Vendors, path: str
) -> None:
    body = ACTIVATIONS[path](vendors)

    for secret in ("wrong", vendors.icici_secret[:-1], vendors.icici_secret + "0"):
        read_error(await client.post(path, json={**body, "secret": secret}), 403, "ACCESS_DENIED")
    read_error(await client.post(path, json=body, headers=account.bearer), 403, "ACCESS_DENIED")
    assert (await client.get(path.replace("activate", "status"))).json()["initialized"] is False


async def test_without_a_configured_secret_none_is_right(client: httpx.AsyncClient, vendors: Vendors) -> None:
    for secret in (vendors.icici_secret, " ", "None"):
        answer = await client.post(ZERODHA, json=zerodha_activation(vendors, secret=secret))

        read_error(answer, 403, "ACCESS_DENIED")


async def test_what_zerodha_refuses_is_401_and_opens_nothing(
    client: httpx.AsyncClient, vendors: Vendors, administrator: dict[str, str]
) -> None:
    body = zerodha_activation(vendors, request_token="another")

    read_error(await client.post(ZERODHA, json=body, headers=administrator), 401, "BROKER_TOKEN_INVALID")
    assert (await client.get(ZERODHA_STATUS)).json()["initialized"] is False


async def test_what_icici_refuses_is_401_and_opens_nothing(client: httpx.AsyncClient, vendors: Vendors) -> None:
    body = icici_activation(vendors, api_session="another", secret=vendors.icici_secret)

    read_error(await client.post(ICICI, json=body), 401, "BROKER_TOKEN_INVALID")
    assert (await client.get(ICICI_STATUS)).json()["initialized"] is False


async def test_a_session_does_not_outlive_the_process(
    client: httpx.AsyncClient, vendors: Vendors, suite: RunningSuite
) -> None:
    body = icici_activation(vendors, secret=vendors.icici_secret)
    assert (await client.post(ICICI, json=body)).status_code == 200

    await asyncio.to_thread(_restart, suite)

    assert (await client.get(ICICI_STATUS)).json()["initialized"] is False
