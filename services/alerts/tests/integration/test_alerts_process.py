import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import grpc
import nats as nats_client
import pytest
from google.protobuf import timestamp_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from sqlalchemy import Row, select

from alerts.app import build
from alerts.domain.continuity import CLOCKS_APART
from alerts.domain.ticks import shard_of
from alerts.settings import Settings
from alerts.storage.tables import DELETED_ALERTS, FIRES, NOT_EVALUATED
from alerts.testing import SmallMarket, TickPublisher, ended_account
from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc, events_pb2
from bourse.market.v1 import quotes_pb2
from chassis.database import Database
from chassis.rpc_client import reason_of
from chassis.testing import NatsServer, free_port, python_module, stop_process

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
BUY, SELL = alerts_pb2.ALERT_TYPE_BUY, alerts_pb2.ALERT_TYPE_SELL
AAPL = "NASDAQ:AAPL"
PATIENCE_SECONDS = 20.0
SERVING = health_pb2.HealthCheckResponse.SERVING

Value = TypeVar("Value")


async def eventually(ask: Callable[[], Awaitable[Value | None]]) -> Value:
    """Ask again and again until the answer is not None."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (value := await ask()) is None:
            await asyncio.sleep(0.02)
    return value


class Caller:
    """Speaks to alerts as the gateway does, and looks into its database and its streams."""

    def __init__(self, settings: Settings, channel: grpc.aio.Channel, client: Client) -> None:
        self.settings = settings
        self.client = client
        self._stub = alerts_pb2_grpc.AlertServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self.publisher = TickPublisher(client, epoch=int(START.timestamp() * 1e6))

    async def set(
        self,
        price: str,
        *,
        alert_type: "alerts_pb2.AlertType.ValueType" = BUY,
        symbol: str = "AAPL",
        user: str = "7",
        **terms: Any,
    ) -> alerts_pb2.Alert:
        request = alerts_pb2.SetAlertRequest(user_id=user, type=alert_type, symbol=symbol, price=price, **terms)
        return (await self._stub.SetAlert(request, timeout=5)).alert

    async def refusal(self, price: str, *, symbol: str = "AAPL", user: str = "7") -> tuple[grpc.StatusCode, str | None]:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.set(price, symbol=symbol, user=user)
        return refused.value.code(), reason_of(refused.value)

    async def update(self, price: str, *, symbol: str = "AAPL", user: str = "7", **terms: Any) -> alerts_pb2.Alert:
        request = alerts_pb2.UpdateAlertRequest(user_id=user, type=BUY, symbol=symbol, price=price, **terms)
        return (await self._stub.UpdateAlert(request, timeout=5)).alert

    async def delete(self, *, symbol: str = "AAPL", user: str = "7") -> str:
        request = alerts_pb2.DeleteAlertRequest(user_id=user, type=BUY, symbol=symbol)
        return (await self._stub.DeleteAlert(request, timeout=5)).symbol

    async def delete_all(self, user: str = "7") -> int:
        return (await self._stub.DeleteAlerts(alerts_pb2.DeleteAlertsRequest(user_id=user), timeout=5)).deleted

    async def fires(self, user: str = "7", *, limit: int = 0, cursor: str = "") -> alerts_pb2.ListFiresResponse:
        request = alerts_pb2.ListFiresRequest(user_id=user, limit=limit, cursor=cursor)
        return await self._stub.ListFires(request, timeout=5)

    async def explain(self, *, symbol: str = "AAPL", user: str = "7") -> alerts_pb2.ExplainAlertResponse:
        request = alerts_pb2.ExplainAlertRequest(user_id=user, type=BUY, symbol=symbol)
        return await self._stub.ExplainAlert(request, timeout=5)

    async def alerts(self, user: str = "7") -> list[alerts_pb2.Alert]:
        answer = await self._stub.ListAlerts(alerts_pb2.ListAlertsRequest(user_id=user), timeout=5)
        return [*answer.buy, *answer.sell]

    async def publish(self, *prices: float, at: datetime = START, is_lost: bool = False) -> None:
        await self.publisher.publish(AAPL, *prices, at=at, is_lost=is_lost)

    async def fired(self, alert: alerts_pb2.Alert) -> alerts_pb2.Alert:
        async def look() -> alerts_pb2.Alert | None:
            found = next(each for each in await self.alerts(alert.user_id) if each.id == alert.id)
            return found if found.HasField("fired_at") else None

        return await eventually(look)

    async def evaluating(self) -> None:
        async def look() -> bool | None:
            request = health_pb2.HealthCheckRequest(service="matcher")
            try:
                answer = await self._health.Check(request, timeout=5, wait_for_ready=True)
            except grpc.aio.AioRpcError:
                return None
            return True if answer.status == SERVING else None

        await eventually(look)

    async def rows(self, table: Any) -> Sequence[Row[Any]]:
        async with Database.open(self.settings.database_url) as database, database.reading() as connection:
            return (await connection.execute(select(table))).all()

    async def intervals(self) -> list[tuple[str, datetime, datetime]]:
        async def look() -> list[tuple[str, datetime, datetime]] | None:
            rows = await self.rows(NOT_EVALUATED)
            return [(row.reason, row.from_at, row.to_at) for row in rows] or None

        return await eventually(look)

    async def events(self, count: int) -> list[events_pb2.AlertFired]:
        """Return all events on the stream once there are `count`."""
        jetstream = self.client.jetstream(timeout=2)

        async def look() -> int | None:
            state = (await jetstream.stream_info("EVENTS")).state
            return state.last_seq if state.messages >= count else None

        last = await eventually(look)
        messages = [await jetstream.get_msg("EVENTS", sequence) for sequence in range(1, last + 1)]
        return [events_pb2.AlertFired.FromString(message.data or b"") for message in messages]


@pytest.fixture
def settings(tmp_path: Path, nats: NatsServer) -> Settings:
    return Settings(
        run_dir=tmp_path,
        nats_url=nats.url,
        alerts_database_url=f"sqlite+aiosqlite:///{tmp_path / 'alerts.sqlite3'}",
        alerts_address=f"127.0.0.1:{free_port()}",
        market_address=f"127.0.0.1:{free_port()}",
        alerts_max_per_user=3,
    )


@pytest.fixture
async def market(settings: Settings) -> AsyncIterator[None]:
    async with SmallMarket.serving(settings.market_address):
        yield


@pytest.fixture
async def caller(settings: Settings, market: None) -> AsyncIterator[Caller]:
    async with calling(settings) as opened:
        yield opened


@asynccontextmanager
async def calling(settings: Settings) -> AsyncIterator[Caller]:
    options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.initial_reconnect_backoff_ms", 50)]
    client = await nats_client.connect(
        settings.nats_url.get_secret_value(), reconnect_time_wait=0.1, max_reconnect_attempts=-1
    )
    try:
        async with grpc.aio.insecure_channel(settings.alerts_address, options=options) as channel:
            yield Caller(settings, channel, client)
    finally:
        await client.close()


@asynccontextmanager
async def evaluating(caller: Caller) -> AsyncIterator[None]:
    """Run alerts in this process and wait until it evaluates ticks."""
    async with build(caller.settings):
        await caller.evaluating()
        yield


async def test_an_alert_fires_from_a_tick_that_came_over_nats(
    settings: Settings, market: None, database_url: str
) -> None:
    given = settings.model_copy(update={"alerts_database_url": type(settings.nats_url)(database_url)})
    async with calling(given) as caller, evaluating(caller):
        buy = await caller.set("150.10", symbol="aapl")
        sell = await caller.set("151", alert_type=SELL, symbol="nasdaq:aapl")
        assert (buy.instrument, buy.symbol, buy.price, buy.generation) == (AAPL, "AAPL", "150.10", 1)
        assert sell.symbol == "NASDAQ:AAPL"
        await caller.publish(150.5, 150.1)
        fired = await caller.fired(buy)
        fired_at = START + timedelta(microseconds=1)
        assert fired.fired_at.ToDatetime(tzinfo=UTC) == fired.provenance.as_of.ToDatetime(tzinfo=UTC) == fired_at
        assert (fired.fired_price, fired.provenance.source) == (150.1, "sample")
        assert fired.provenance.freshness == quotes_pb2.FRESHNESS_SIMULATED
        (event,) = await caller.events(1)
        assert event.alert == fired
        assert (event.publisher_id, event.shard, event.sequence) == ("feed-1", shard_of(AAPL), 1)
        assert not (await caller.alerts())[1].HasField("fired_at")
        assert await caller.rows(NOT_EVALUATED) == []


async def test_a_tick_from_before_an_alert_does_not_fire_it(caller: Caller) -> None:
    async with evaluating(caller):
        await caller.publish(100.0)
        alert = await caller.set("150")
        await caller.publish(160.0)
        other = await caller.set("160", alert_type=SELL)
        await caller.publish(161.0)
        await caller.fired(other)
        assert not (await caller.alerts())[0].HasField("fired_at")
        again = await caller.set("162")
        assert (again.id, again.generation, again.created_at) == (alert.id, 2, alert.created_at)
        await caller.publish(161.5)
        assert (await caller.fired(again)).fired_price == 161.5


async def test_a_fired_alert_that_is_set_again_fires_again(caller: Caller) -> None:
    async with evaluating(caller):
        first = await caller.set("150")
        await caller.publish(149.0)
        await caller.fired(first)
        second = await caller.set("150")
        assert not second.HasField("fired_at")
        await caller.publish(149.0)
        await caller.fired(second)
        events = await caller.events(2)
        assert [(event.alert.id, event.alert.generation) for event in events] == [(first.id, 1), (first.id, 2)]


async def test_what_cannot_be_set_is_refused_with_its_reason(caller: Caller) -> None:
    async with evaluating(caller):
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        assert await caller.refusal("-1") == (invalid, "PRICE_INVALID")
        assert await caller.refusal("1", symbol="DUAL") == (invalid, "SYMBOL_AMBIGUOUS")
        assert await caller.refusal("1", symbol="") == (invalid, "SYMBOL_INVALID")
        assert await caller.refusal("1", user="") == (invalid, "USER_ID_INVALID")
        assert await caller.refusal("1", symbol="NOPE") == (grpc.StatusCode.NOT_FOUND, "SYMBOL_UNKNOWN")
        for symbol in ("A", "B", "C"):
            await caller.set("1", symbol=symbol)
        assert await caller.refusal("1", symbol="D") == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_ALERTS")


async def test_while_market_is_away_known_symbols_can_be_set(settings: Settings) -> None:
    async with calling(settings) as caller, evaluating(caller):
        async with SmallMarket.serving(settings.market_address):
            await caller.set("1")
        assert (await caller.set("2")).generation == 2
        refusal = await caller.refusal("1", symbol="MSFT")
        assert refusal == (grpc.StatusCode.UNAVAILABLE, "INSTRUMENTS_UNAVAILABLE")


async def test_what_crossed_while_it_was_down_fires_when_it_is_back(caller: Caller) -> None:
    async with evaluating(caller):
        alert = await caller.set("150")
        await caller.publish(151.0)
    crossed_at = START + timedelta(hours=1)
    await caller.publish(149.0, at=crossed_at)
    await caller.publish(151.0, at=crossed_at + timedelta(hours=1))
    async with evaluating(caller):
        assert (await caller.fired(alert)).fired_at.ToDatetime(tzinfo=UTC) == crossed_at
        assert await caller.rows(NOT_EVALUATED) == []


async def test_a_nats_that_lost_its_ticks_is_a_recorded_interval(caller: Caller, nats: NatsServer) -> None:
    async with evaluating(caller):
        alert = await caller.set("150")
        await caller.publish(151.0)
        await asyncio.sleep(0.3)
        nats.kill()
        await asyncio.sleep(0.3)
        nats.start()
        await asyncio.sleep(0.5)
        await caller.evaluating()
        resumed_at = START + timedelta(hours=1)
        await caller.publish(149.0, at=resumed_at)
        await caller.fired(alert)
        assert ("stream_replaced", START, resumed_at) in await caller.intervals()


async def test_an_alert_set_while_nats_is_away_is_armed_when_it_is_back(caller: Caller, nats: NatsServer) -> None:
    async with evaluating(caller):
        nats.kill()
        await asyncio.sleep(0.3)
        alert = await caller.set("150")
        nats.start()
        (interval,) = await caller.intervals()
        assert interval[:2] == ("not_armed", alert.created_at.ToDatetime(tzinfo=UTC) - CLOCKS_APART)
        await caller.publish(149.0)
        await caller.fired(alert)


async def test_a_hole_and_an_unreadable_batch_are_recorded(caller: Caller) -> None:
    async with evaluating(caller):
        await caller.publish(151.0)
        await caller.publish(149.0, is_lost=True)
        resumed_at = START + timedelta(minutes=1)
        await caller.publish(151.0, at=resumed_at)
        await caller.client.publish("ticks.9", b"\xff\xff")
        await caller.client.flush()

        async def both() -> list[Row[Any]] | None:
            rows = await caller.rows(NOT_EVALUATED)
            return list(rows) if len(rows) == 2 else None

        hole, unreadable = await eventually(both)
        assert (hole.reason, hole.from_at, hole.to_at, hole.shard) == (
            "sequence_jump",
            START,
            resumed_at,
            shard_of(AAPL),
        )
        assert (unreadable.reason, unreadable.from_at, unreadable.shard) == ("batch_unreadable", resumed_at, 9)


async def test_what_the_stream_no_longer_holds_is_recorded_and_the_rest_is_evaluated(caller: Caller) -> None:
    async with evaluating(caller):
        early, late = await caller.set("150"), await caller.set("140", symbol="AAPL", user="8")
        await caller.publish(151.0)
    for minute, price in enumerate((151.0, 149.0, 151.0, 139.0), start=1):
        await caller.publish(price, at=START + timedelta(minutes=minute))
    jetstream = caller.client.jetstream()
    # One in the middle is gone, and then all up to it.
    await jetstream.delete_msg("TICKS", 3)
    async with evaluating(caller):
        assert (await caller.fired(late)).fired_price == 139.0
        assert (await caller.fired(early)).fired_price == 139.0
        trimmed = ("stream_trimmed", START + timedelta(minutes=1), START + timedelta(minutes=3))
        assert trimmed in await caller.intervals()
    await caller.publish(151.0, at=START + timedelta(minutes=5))
    await jetstream.purge_stream("TICKS")
    await caller.publish(151.0, at=START + timedelta(minutes=6))
    async with evaluating(caller):
        trimmed = ("stream_trimmed", START + timedelta(minutes=4), START + timedelta(minutes=6))

        async def recorded() -> bool | None:
            return True if trimmed in await caller.intervals() else None

        await eventually(recorded)


async def refused(call: Awaitable[Any]) -> str | None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    return reason_of(refusal.value)


async def test_an_alert_is_changed_and_deleted_without_rebuilding_the_matcher(
    settings: Settings, market: None, database_url: str
) -> None:
    given = settings.model_copy(update={"alerts_database_url": type(settings.nats_url)(database_url)})
    async with calling(given) as caller, evaluating(caller):
        first = await caller.set("150", note="half")
        second = await caller.update("140", symbol="NASDAQ:AAPL")
        assert (second.id, second.generation, second.note, second.symbol) == (first.id, 2, "half", "AAPL")
        witness = await caller.set("145", user="8")
        await caller.publish(145.0)
        await caller.fired(witness)
        assert not (await caller.alerts())[0].HasField("fired_at")
        assert await caller.delete() == "AAPL"
        again = await caller.set("130", user="8")
        await caller.publish(129.0)
        await caller.fired(again)
        assert await caller.alerts() == []
        assert [event.alert.user_id for event in await caller.events(2)] == ["8", "8"]
        assert (await caller.fires()).fires == []
        assert (await caller.set("1")).id != first.id
        await caller.set("1", alert_type=SELL)
        assert await caller.delete_all() == 2
        assert await refused(caller.delete()) == "ALERT_NOT_FOUND"
        assert await refused(caller.update("1")) == "ALERT_NOT_FOUND"
        assert await refused(caller.delete(symbol="NOPE")) == "ALERT_NOT_FOUND"
        assert await refused(caller.explain()) == "ALERT_NOT_FOUND"
        assert await refused(caller.explain(symbol="DUAL")) == "SYMBOL_AMBIGUOUS"


async def test_deletes_that_race_fires_leave_the_fire_in_the_history_or_nothing(caller: Caller) -> None:
    settings = caller.settings.model_copy(update={"alerts_max_per_user": 100})
    caller.settings = settings
    async with evaluating(caller):
        for number in range(30):
            await caller.set("150", user=f"user-{number}")

        async def delete_each() -> None:
            for number in range(30):
                await caller.delete(user=f"user-{number}")

        async def cross() -> None:
            for _ in range(5):
                await caller.publish(149.0)

        await asyncio.gather(delete_each(), cross())
        await caller.publish(149.0)
        witness = await caller.set("150")
        await caller.publish(149.0)
        await caller.fired(witness)
        fired = [number for number in range(30) if (await caller.fires(f"user-{number}")).fires]
        told = await caller.events(len(fired) + 1)
        assert sorted(event.alert.user_id for event in told) == sorted(["7", *(f"user-{each}" for each in fired)])


async def test_an_expired_alert_fires_on_late_ticks_from_before_and_on_no_later_ones(caller: Caller) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    async with evaluating(caller):
        early = await caller.set("150", expires_at=end)
        late = await caller.set("140", user="8", expires_at=end)
        await caller.publish(151.0, at=end - timedelta(minutes=2))
    await caller.publish(149.0, at=end)
    await caller.publish(139.0, at=end + timedelta(microseconds=1))
    async with evaluating(caller):
        assert (await caller.fired(early)).fired_at.ToDatetime(tzinfo=UTC) == end

        async def ended() -> alerts_pb2.Alert | None:
            (alert,) = await caller.alerts("8")
            return alert if alert.is_expired else None

        expired = await eventually(ended)
        assert (expired.id, expired.HasField("fired_at")) == (late.id, False)
        assert (await caller.explain(user="8")).state == "expired"
        (fire,) = (await caller.fires()).fires
        assert (fire.crossed_during_gap, fire.tick.price, fire.HasField("before")) == (True, 149.0, False)
        again = await caller.set("138", user="8")
        assert (again.is_expired, again.HasField("expires_at")) == (False, False)


async def test_terms_that_cannot_be_are_refused(caller: Caller) -> None:
    async with evaluating(caller):
        past, never = timestamp_pb2.Timestamp(seconds=1), timestamp_pb2.Timestamp(seconds=1 << 62)
        assert await refused(caller.set("1", expires_at=past)) == "EXPIRY_INVALID"
        assert await refused(caller.set("1", expires_at=never)) == "EXPIRY_INVALID"
        assert await refused(caller.set("1", note="x" * 501)) == "NOTE_INVALID"
        assert await refused(caller.fires(limit=51)) == "LIMIT_INVALID"
        assert await refused(caller.fires(cursor="?")) == "CURSOR_INVALID"
        assert await caller.alerts() == []


async def test_the_history_holds_the_ticks_that_prove_each_fire(caller: Caller) -> None:
    async with evaluating(caller):
        for _ in range(3):
            alert = await caller.set("150", note="half")
            await caller.publish(151.0, 149.5)
            await caller.fired(alert)
        page = await caller.fires(limit=2)
        rest = await caller.fires(limit=2, cursor=page.next_cursor)
        assert [fire.generation for fire in (*page.fires, *rest.fires)] == [3, 2, 1]
        assert rest.next_cursor == ""
        (fire,) = rest.fires
        assert (fire.tick.price, fire.before.price, fire.price, fire.note) == (149.5, 151.0, "150", "half")
        assert (fire.tick.source, fire.tick.publisher_id, fire.tick.sequence, fire.before.sequence) == (
            "sample",
            "feed-1",
            1,
            1,
        )
        assert {fire.tick.freshness, fire.before.freshness} == {quotes_pb2.FRESHNESS_SIMULATED}
        assert fire.tick.at.ToDatetime(tzinfo=UTC) - fire.before.at.ToDatetime(tzinfo=UTC) == timedelta(microseconds=1)
        assert not fire.crossed_during_gap
        assert (await caller.fires("8")).fires == []


async def test_an_alert_that_has_not_fired_is_explained(caller: Caller) -> None:
    async with evaluating(caller):
        await caller.set("150")
        for minute, price in enumerate((152.0, 151.0, 153.0), start=1):
            await caller.publish(price, at=START + timedelta(minutes=minute))
        witness = await caller.set("160", user="8")
        await caller.publish(154.0, at=START + timedelta(minutes=4))
        await caller.fired(witness)
        explanation = await caller.explain()
        assert (explanation.state, explanation.closest.price) == ("armed", 151.0)
        assert explanation.closest.freshness == quotes_pb2.FRESHNESS_SIMULATED
        assert explanation.closest.at.ToDatetime(tzinfo=UTC) == START + timedelta(minutes=2)
        assert "The lowest price evaluated since it was armed is 151.0" in explanation.sentence
        assert (await caller.explain(user="8")).state == "fired"


async def test_what_a_deleted_account_kept_is_deleted_also_when_it_ended_meanwhile(caller: Caller) -> None:
    jetstream = caller.client.jetstream(timeout=2)
    async with evaluating(caller):
        for user in ("7", "8", "9"):
            alert = await caller.set("150", user=user)
        await caller.publish(149.0)
        await caller.fired(alert)
        await caller.set("140", user="7")
        await jetstream.publish("events.auth.user_deleted", b"\xff")
        await jetstream.publish("events.auth.user_deleted", ended_account("7", datetime.now(UTC)))

        async def is_gone(user: str) -> bool | None:
            kept = await caller.alerts(user) or (await caller.fires(user)).fires
            return None if kept else True

        await eventually(lambda: is_gone("7"))
        assert await caller.refusal("150", user="7") == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_DELETED")
    # Told so late that somebody has come back under the id, and set an alert, which has fired.
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    await jetstream.publish("events.auth.user_deleted", ended_account("9", hour_ago))
    await jetstream.publish("events.auth.user_deleted", ended_account("8", datetime.now(UTC)))
    async with evaluating(caller):
        await eventually(lambda: is_gone("8"))
        assert len((await caller.fires("9")).fires) == 1
        assert await is_gone("9") is None


async def test_what_is_over_is_swept(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.domain.leftovers.SWEEP_EVERY_SECONDS", 0.1)
    monkeypatch.setattr("alerts.domain.leftovers.DELETED_IDS_KEPT", timedelta(seconds=-10))
    async with evaluating(caller):
        await caller.set("150")
        await caller.delete()

        async def is_swept() -> bool | None:
            return None if await caller.rows(DELETED_ALERTS) else True

        await eventually(is_swept)
        assert await caller.alerts() == []


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "RUN_DIR": str(settings.run_dir),
        "NATS_URL": settings.nats_url.get_secret_value(),
        "ALERTS_DATABASE_URL": settings.database_url,
        "ALERTS_ADDRESS": settings.alerts_address,
        "MARKET_ADDRESS": settings.market_address,
        "ALERTS_MAX_PER_USER": "1000",
    }


class Process:
    """Alerts as a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.start()

    def start(self) -> None:
        self.running = subprocess.Popen(python_module("alerts"), env=self._environment)

    def kill(self) -> None:
        self.running.kill()
        self.running.wait()


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator[Process]:
    started = Process(environment)
    yield started
    stop_process(started.running)


class Traffic:
    """Sets alerts that the next tick fires, and publishes such ticks, all the while."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._is_over = False
        self.acknowledged: list[alerts_pb2.Alert] = []

    async def run(self) -> None:
        await asyncio.gather(self._set(), self._publish())

    def stop(self) -> None:
        self._is_over = True

    async def _set(self) -> None:
        number = 0
        while not self._is_over:
            number += 1
            try:
                self.acknowledged.append(await self._caller.set("150", user=f"user-{number}"))
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.02)

    async def _publish(self) -> None:
        while not self._is_over:
            await self._caller.publish(149.0)
            await asyncio.sleep(0.005)


async def test_killed_again_and_again_every_acknowledged_alert_fires_once(caller: Caller, process: Process) -> None:
    await caller.evaluating()
    traffic = Traffic(caller)
    running = asyncio.create_task(traffic.run())
    for seconds in (0.31, 0.47, 0.63):
        await asyncio.sleep(seconds)
        process.kill()
        process.start()
        await caller.evaluating()
    await asyncio.sleep(0.3)
    traffic.stop()
    await running
    await caller.publish(149.0)
    for alert in traffic.acknowledged:
        await caller.fired(alert)
    assert len(traffic.acknowledged) > 30
    fires = {(str(row.alert_id), row.generation) for row in await caller.rows(FIRES)}
    assert {(alert.id, 1) for alert in traffic.acknowledged} <= fires
    events = await caller.events(len(fires))
    assert sorted((event.alert.id, event.alert.generation) for event in events) == sorted(fires)
    # The stream has held every tick.
    assert await caller.rows(NOT_EVALUATED) == []


async def test_it_boots_answers_health_and_ends_cleanly_on_sigterm(caller: Caller, process: Process) -> None:
    await caller.evaluating()
    started = time.monotonic()
    process.running.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.running.wait, 10) == 0
    assert time.monotonic() - started < 5


def test_migrate_makes_the_schema_and_ends(environment: dict[str, str], settings: Settings) -> None:
    subprocess.run([*python_module("alerts"), "migrate"], env=environment, check=True, timeout=30)
    assert (settings.run_dir / "alerts.sqlite3").exists()
