"""Thirteen years of five stocks through the whole suite, against what the bars alone say must fire."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import httpx
import pytest

from bourse.alerts.v1 import alerts_pb2, events_pb2
from bourse.market.v1 import events_pb2 as market_events_pb2
from bourse.market.v1 import quotes_pb2
from harness import oracle
from harness.backends import BACKENDS, UNLIMITED, running_suite
from harness.clients import Account, bus_client, fired_events, gateway_client, register
from harness.processes import RunningSuite

OWNERS = 64
REPLAY_SECONDS = 60
BARS = oracle.history()
TICKS = oracle.ticks(BARS)
ALERTS = oracle.plan(BARS, OWNERS)
EXPECTED = oracle.fires(TICKS, ALERTS)


class Seen(NamedTuple):
    """A fire by what both sides can know of it; sorts by when, then by which."""

    at: datetime
    instrument: str
    owner: str
    type: str
    price: Decimal


@pytest.fixture(scope="module", params=BACKENDS)
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    folder = tmp_path_factory.mktemp("replay")
    oracle.write_replay(BARS, folder / "bars.csv")
    environment = {
        **UNLIMITED,
        "MARKET_PROVIDERS": "replay",
        "REPLAY_PATH": str(folder / "bars.csv"),
        "REPLAY_SPEED": "max",
        "REPLAY_HOLD": "1",
    }
    with running_suite(request.param, folder, environment) as running:
        yield running


async def set_alerts(client: httpx.AsyncClient, owners: list[Account]) -> None:
    at_once = asyncio.Semaphore(8)

    async def set_one(alert: oracle.PlannedAlert) -> None:
        body = {"type": alert.type, "symbol": alert.instrument, "price": float(alert.price)}
        async with at_once:
            answer = await client.post("/api/alerts/me", json=body, headers=owners[alert.owner].bearer)
        assert answer.status_code == 200, answer.text

    await asyncio.gather(*(set_one(alert) for alert in ALERTS))


async def replay(nats_url: str) -> market_events_pb2.ReplayFinished:
    async with bus_client(nats_url) as client:
        stream = client.jetstream(timeout=5)
        finished = await stream.subscribe("events.market.replay_finished", ordered_consumer=True)
        await client.publish("control.replay.start", b"")
        message = await finished.next_msg(timeout=REPLAY_SECONDS)
        return market_events_pb2.ReplayFinished.FromString(message.data)


async def events_once_all_fired(nats_url: str) -> list[events_pb2.AlertFired]:
    deadline = time.monotonic() + REPLAY_SECONDS
    async with bus_client(nats_url) as client:
        while len(await fired_events(client)) < len(EXPECTED) and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        # One more look: an alert that fires twice or for nothing would come late.
        await asyncio.sleep(1)
        return await fired_events(client)


def seen(event: events_pb2.AlertFired) -> Seen:
    alert = event.alert
    kind = "buy" if alert.type == alerts_pb2.ALERT_TYPE_BUY else "sell"
    fired_at = alert.fired_at.ToDatetime(tzinfo=UTC)
    return Seen(fired_at, alert.instrument, alert.user_id, kind, Decimal(repr(alert.fired_price)))


def expected(fires: list[oracle.Fire], owners: list[Account]) -> list[Seen]:
    return [
        Seen(fire.at, fire.alert.instrument, owners[fire.alert.owner].user_id, fire.alert.type, fire.price)
        for fire in fires
    ]


async def test_what_fires_is_what_the_bars_say_one_for_one_and_in_order(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        owners = [await register(client) for _ in range(OWNERS)]
        await set_alerts(client, owners)
        finished = await replay(suite.nats_url)
        assert (finished.bars, finished.ticks) == (len(BARS), len(TICKS))
        events = await events_once_all_fired(suite.nats_url)

        fired = [seen(event) for event in events]
        assert len(EXPECTED) >= 500
        # Alerts that one tick fires have no order among themselves; ticks do.
        assert [(fire.at, fire.instrument) for fire in fired] == [(f.at, f.alert.instrument) for f in EXPECTED]
        assert sorted(fired) == sorted(expected(EXPECTED, owners))

        wrong = oracle.fires(TICKS, ALERTS, buys=lambda price, target: price < target)
        assert sorted(fired) != sorted(expected(wrong, owners)), "an off-by-one must not pass"

        assert {event.alert.provenance.freshness for event in events} == {quotes_pb2.FRESHNESS_SIMULATED}
        assert {event.alert.provenance.source for event in events} == {"replay"}
        await every_alert_says_so_too(client, owners)


async def every_alert_says_so_too(client: httpx.AsyncClient, owners: list[Account]) -> None:
    fires = {(f.alert.owner, f.alert.type, f.alert.instrument): f for f in EXPECTED}
    for number, owner in enumerate(owners):
        body = (await client.get("/api/alerts/me", headers=owner.bearer)).json()
        for kind in ("buy", "sell"):
            for alert in sorted(body[kind], key=lambda alert: alert["instrument"]):
                fire = fires.get((number, kind, alert["instrument"]))
                assert alert["fired_at"] == (None if fire is None else fire.at.strftime("%Y-%m-%dT%H:%M:%SZ")), alert
