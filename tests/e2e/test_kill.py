"""kill -9 of each service in turn while clients write: nothing acknowledged is lost, no alert is lost or doubled."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from harness.clients import PASSWORD, Account, bus_client, fired_events, gateway_client, new_email, register
from harness.load import Outcome, Request, write_steadily
from harness.processes import RunningSuite

# Measuring coverage would cost the speed that this is about.
ENVIRONMENT = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}

WRITES_PER_SECOND = 200
SECONDS = 10
KILL_AFTER_SECONDS = 3.0
GONE_SECONDS = 2.0
REGISTRATION_EVERY = 20
SYMBOLS = ("NSE:TCS", "NSE:INFY", "NSE:RELIANCE", "NSE:SBIN", "NSE:ITC", "NSE:WIPRO", "NSE:AXISBANK", "NSE:ICICIBANK")
# No price is higher: a buy at it is true at once, a sell never.
HIGHEST = 90_000_000
SETTLE_SECONDS = 45.0
ENVELOPE = {"error", "message", "code", "request_id"}
# What cannot be answered without the service.
QUESTIONS = {
    "auth": Request("/api/auth/login", {"email": "nobody@example.com", "password": PASSWORD}),
    "market": Request("/api/alerts/me", {"type": "buy", "symbol": "NSE:NOSUCHTHING", "price": 1}),
    "alerts": Request("/api/alerts/me", {"type": "buy", "symbol": "NSE:HDFCBANK", "price": 0.01}),
}


@dataclass(frozen=True, slots=True)
class Writes:
    """Writes that differ from one another: an e-mail is registered once, a user's type and symbol are set once."""

    accounts: Sequence[Account]

    def request(self, number: int) -> Request:
        if number % REGISTRATION_EVERY == 0:
            return Request("/api/auth/register", {"email": new_email(), "password": PASSWORD})
        pair, is_buy = divmod(number, 2)
        owner, symbol = divmod(pair, len(SYMBOLS))
        body = {"type": "buy" if is_buy else "sell", "symbol": SYMBOLS[symbol], "price": HIGHEST}
        return Request("/api/alerts/me", body, self.accounts[owner].token)


async def kill_and_start_again(suite: RunningSuite, victim: str, question: Request | None) -> None:
    """Kill a service, see what the gateway says without it, start it and see the gateway recover by itself."""
    await asyncio.sleep(KILL_AFTER_SECONDS)
    await asyncio.to_thread(suite.kill, victim)
    killed_at = time.monotonic()
    async with gateway_client(suite.gateway_url) as client:
        if question is None:
            with pytest.raises(httpx.ConnectError):
                await client.get("/livez")
        else:
            answer = await ask(client, question)
            assert answer.status_code == 503, answer.text
            assert set(answer.json()) >= ENVELOPE
            assert answer.json()["code"] == "UPSTREAM_UNAVAILABLE"
            assert int(answer.headers["Retry-After"]) >= 1
        await asyncio.sleep(max(0.0, killed_at + GONE_SECONDS - time.monotonic()))
        await asyncio.to_thread(suite.start, victim)
        if question is not None:
            await eventually_answered(client, question)


async def ask(client: httpx.AsyncClient, question: Request) -> httpx.Response:
    headers = {"Authorization": f"Bearer {question.token}"} if question.token else {}
    return await client.post(question.path, json=dict(question.body), headers=headers)


async def eventually_answered(client: httpx.AsyncClient, question: Request) -> None:
    deadline = time.monotonic() + 10
    while (answer := await ask(client, question)).status_code in {503, 504}:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.1)


async def alerts_of(client: httpx.AsyncClient, accounts: Sequence[Account]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for account in accounts:
        answer = await client.get("/api/alerts/me", headers=account.bearer)
        assert answer.status_code == 200, answer.text
        found |= {alert["id"]: alert for alert in [*answer.json()["buy"], *answer.json()["sell"]]}
    return found


async def settled(client: httpx.AsyncClient, accounts: Sequence[Account]) -> dict[str, dict[str, Any]]:
    """Read all alerts once every buy, which is true at any price, has fired."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        alerts = await alerts_of(client, accounts)
        waiting = [alert for alert in alerts.values() if alert["type"] == "buy" and not alert["fired_at"]]
        if not waiting:
            return alerts
        assert time.monotonic() < deadline, f"{len(waiting)} of {len(alerts)} did not fire, as {waiting[0]}"
        await asyncio.sleep(0.5)


async def settled_events(suite: RunningSuite, alerts: dict[str, dict[str, Any]]) -> Counter[str]:
    """Count the events of these alerts once there are as many as fired alerts, and a moment later again."""
    fired = {alert_id for alert_id, alert in alerts.items() if alert["fired_at"]}
    deadline = time.monotonic() + SETTLE_SECONDS
    async with bus_client(suite.nats_url) as bus:
        while not fired <= {event.alert.id for event in await fired_events(bus)}:
            assert time.monotonic() < deadline, "a fired alert has no event"
            await asyncio.sleep(0.5)
        await asyncio.sleep(2)
        return Counter(event.alert.id for event in await fired_events(bus) if event.alert.id in alerts)


def is_refusal(outcome: Outcome) -> bool:
    return outcome.status in {503, 504} and set(outcome.body) >= ENVELOPE


async def owners_of(suite: RunningSuite, writes: int) -> list[Account]:
    """Register as many users as it takes to write that often without setting an alert twice."""
    async with gateway_client(suite.gateway_url) as client:
        return [await register(client) for _ in range(writes // (2 * len(SYMBOLS)) + 1)]


async def assert_that_all_is_there(suite: RunningSuite, accounts: Sequence[Account], outcomes: list[Outcome]) -> str:
    """Read every acknowledged write again and count every fire; return a line about it."""
    acknowledged = [outcome for outcome in outcomes if outcome.status in {200, 201}]
    async with gateway_client(suite.gateway_url) as client:
        alerts = await settled(client, accounts)
        set_ids = {outcome.body["id"] for outcome in acknowledged if outcome.request.path == "/api/alerts/me"}
        assert set_ids <= set(alerts), f"{len(set_ids - set(alerts))} acknowledged alerts are gone"
        assert not [alert for alert in alerts.values() if alert["type"] == "sell" and alert["fired_at"]]
        for outcome in acknowledged:
            if outcome.request.path == "/api/auth/register":
                login = {"email": outcome.request.body["email"], "password": PASSWORD}
                answer = await client.post("/api/auth/login", json=login)
                assert answer.status_code == 200, answer.text
    events = await settled_events(suite, alerts)
    assert set(events.values()) == {1}, events.most_common(3)
    assert set(events) == {alert_id for alert_id, alert in alerts.items() if alert["fired_at"]}
    return f"{len(acknowledged)} of {len(outcomes)} writes acknowledged, {len(events)} alerts fired once"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("victim", ["auth", "market", "alerts", "gateway"])
async def test_nothing_acknowledged_is_lost_when_a_service_is_killed(suite: RunningSuite, victim: str) -> None:
    accounts = await owners_of(suite, WRITES_PER_SECOND * SECONDS)
    question = QUESTIONS.get(victim)
    if question is not None and question.path.startswith("/api/alerts"):
        async with gateway_client(suite.gateway_url) as client:
            question = Request(question.path, question.body, (await register(client)).token)

    outcomes, _ = await asyncio.gather(
        write_steadily(suite.gateway_url, Writes(accounts).request, per_second=WRITES_PER_SECOND, seconds=SECONDS),
        kill_and_start_again(suite, victim, question),
    )

    assert len(outcomes) == WRITES_PER_SECOND * SECONDS
    others = [outcome for outcome in outcomes if outcome.status not in {200, 201}]
    broken = [outcome for outcome in others if outcome.status is None]
    assert not broken or victim == "gateway", f"{len(broken)} connections broke"
    assert all(is_refusal(outcome) for outcome in others if outcome.status is not None), others[:3]
    # How many depends on how fast the machine starts a process.
    assert len(others) < len(outcomes)
    summary = await assert_that_all_is_there(suite, accounts, outcomes)
    print(f"{victim}: {summary}")  # noqa: T201  # shown by -s


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_nothing_acknowledged_is_lost_when_everything_is_killed_again_and_again(suite: RunningSuite) -> None:
    victims = ["nats", "auth", "alerts", "market", "gateway", "alerts", "portfolio", "brokers", "nats", "alerts"]
    seconds = 6 * len(victims)
    accounts = await owners_of(suite, WRITES_PER_SECOND * seconds)

    async def kill_all_in_turn() -> None:
        for victim in victims:
            await asyncio.to_thread(suite.kill, victim)
            await asyncio.sleep(GONE_SECONDS)
            await asyncio.to_thread(suite.start, victim)
            await asyncio.sleep(1)

    outcomes, _ = await asyncio.gather(
        write_steadily(suite.gateway_url, Writes(accounts).request, per_second=WRITES_PER_SECOND, seconds=seconds),
        kill_all_in_turn(),
    )

    assert all(is_refusal(outcome) for outcome in outcomes if outcome.status not in {200, 201, None})
    summary = await assert_that_all_is_there(suite, accounts, outcomes)
    print(f"everything: {summary}")  # noqa: T201  # shown by -s
