"""`GET /api/stream` over a real server and a real NATS."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bourse.alerts.v1 import alerts_pb2
from bourse.alerts.v1 import events_pb2 as alert_events_pb2
from bourse.auth.v1 import events_pb2, keys_pb2
from bourse.market.v1 import quotes_pb2
from chassis.metrics import value_of
from chassis.testing import NatsServer
from gateway.stream import Streams

STUCK = {"why": "stuck"}
TWO = "/api/stream?symbols=NSE:TCS,nasdaq:aapl"


class Reader:
    """Reads a stream event by event."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self._chunks = response.aiter_text()
        self._text = ""

    async def next(self, *, within: float = 3.0) -> tuple[str, Any]:
        """Return the next event's name and data; a comment comes as `:`."""
        async with asyncio.timeout(within):
            while True:
                while "\n\n" not in self._text:
                    self._text += await anext(self._chunks)
                block, _, self._text = self._text.partition("\n\n")
                lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
                if "event" in lines:
                    return lines["event"], json.loads(lines["data"])
                if block.startswith(":"):
                    return ":", None

    async def until(self, name: str, *, within: float = 3.0) -> Any:
        """Skip to the next event of a name and return its data."""
        async with asyncio.timeout(within):
            while True:
                found, told = await self.next(within=within)
                if found == name:
                    return told


@asynccontextmanager
async def reading(world: Any, path: str = TWO, headers: dict[str, str] | None = None) -> AsyncIterator[Reader]:
    async with world.http.stream("GET", path, headers=headers, timeout=10) as response:
        assert response.status_code == 200, await response.aread()
        yield Reader(response)


def last_prices(told: Any) -> dict[str, float]:
    return {quote["symbol"]: quote["last_price"] for quote in told["quotes"]}


async def test_a_snapshot_comes_first_and_then_what_changes(running: Any) -> None:
    await running.tick({"NSE:TCS": 3842.5, "NASDAQ:AAPL": 201.0})
    async with reading(running) as reader:
        name, told = await reader.next()
        await running.tick({"NSE:TCS": 3843.0, "NSE:INFY": 1.0}, sequence=2)
        changed = await reader.until("prices")

    assert name == "snapshot"
    assert last_prices(told) == {"NSE:TCS": 3842.5, "nasdaq:aapl": 201.0}
    assert told["quotes"][0]["freshness"] == "simulated"
    assert last_prices(changed) == {"NSE:TCS": 3843.0}
    assert reader.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reader.response.headers["cache-control"] == "no-store"
    # Events are written past the layers that compress.
    assert "gzip" in reader.response.request.headers["accept-encoding"]
    assert "content-encoding" not in reader.response.headers


async def test_what_the_board_does_not_hold_is_asked_for(running: Any) -> None:
    async with reading(running) as reader:
        _, told = await reader.next()

    assert last_prices(told) == {"NSE:TCS": 3842.5, "nasdaq:aapl": 201.28}
    assert told["quotes"][0]["freshness"] == "live"


async def test_an_instrument_without_a_price_is_heard_of_later(running: Any) -> None:
    running.market.unpriced.add("NSE:TCS")
    async with reading(running) as reader:
        _, told = await reader.next()
        await running.tick({"NSE:TCS": 9.0})
        changed = await reader.until("prices")

    assert last_prices(told) == {"nasdaq:aapl": 201.28}
    assert last_prices(changed) == {"NSE:TCS": 9.0}


async def test_ticks_within_the_window_are_folded_into_the_last(world: Any) -> None:
    await world.open(gateway_stream_window_ms=400)
    await world.until_ready()
    async with reading(world) as reader:
        await reader.next()
        for number in range(1, 11):
            await world.tick({"NSE:TCS": float(number)}, sequence=number)
        seen = [last_prices(await reader.until("prices"))["NSE:TCS"]]
        while seen[-1] != 10.0:
            seen.append(last_prices(await reader.until("prices"))["NSE:TCS"])

    assert len(seen) <= 3


async def test_a_silent_feed_is_told_and_its_return_too(world: Any) -> None:
    await world.open(gateway_stream_silence_seconds=0.5)
    await world.until_ready()
    await world.tick({"NSE:TCS": 1.0})
    async with reading(world) as reader:
        # A reader who comes while the gateway starts is told of the bus first.
        while (stale := await reader.until("stale"))["reason"] != "no ticks":
            pass
        await world.tick({"NSE:TCS": 2.0}, sequence=2)
        live = await reader.until("live")
        await reader.until("stale")
    async with reading(world) as late:
        assert (await late.next())[0] == "snapshot"
        assert (await late.next())[0] == "stale"

    assert stale["reason"] == "no ticks"
    assert abs((datetime.now(UTC) - datetime.fromisoformat(stale["since"])).total_seconds()) < 10
    assert live == {}


async def test_a_lost_nats_is_a_silent_feed(make_world: Any, tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    async with make_world(server) as world:
        await world.open(gateway_stream_silence_seconds=30)
        await world.until_ready()
        async with reading(world) as reader:
            await reader.next()
            server.kill()
            stale = await reader.until("stale", within=5)
            server.start()
            await reader.until("live", within=10)
            await world.tick({"NSE:TCS": 7.0})
            changed = await reader.until("prices")
        server.stop()

    assert stale["reason"] == "disconnected"
    assert last_prices(changed) == {"NSE:TCS": 7.0}


async def test_an_idle_stream_has_a_heartbeat(world: Any) -> None:
    await world.open(gateway_stream_heartbeat_seconds=0.3)
    await world.until_ready()
    async with reading(world) as reader:
        await reader.next()
        assert (await reader.next())[0] == ":"
        assert (await reader.next())[0] == ":"


def fired(user_id: str, alert_id: str = "a-1") -> bytes:
    alert = alerts_pb2.Alert(
        id=alert_id,
        user_id=user_id,
        type=alerts_pb2.ALERT_TYPE_BUY,
        instrument="NASDAQ:AAPL",
        symbol="AAPL",
        price="200",
        generation=1,
        fired_price=199.5,
    )
    alert.created_at.GetCurrentTime()
    alert.fired_at.GetCurrentTime()
    alert.provenance.source = "sample"
    alert.provenance.freshness = quotes_pb2.FRESHNESS_SIMULATED
    return alert_events_pb2.AlertFired(alert=alert).SerializeToString()


async def test_a_token_adds_the_users_own_fired_alerts_once_each(running: Any) -> None:
    async with reading(running, headers=running.sign_in("42")) as reader:
        await reader.next()
        for payload in (fired("7", "other"), fired("42"), fired("42"), fired("42", "a-2")):
            await running.publish("events.alerts.fired", payload)
        first, second = await reader.until("alert"), await reader.until("alert")

    assert (first["id"], second["id"]) == ("a-1", "a-2")
    assert (first["fired_price"], first["source"], first["freshness"]) == (199.5, "sample", "simulated")


async def test_a_fire_that_nobody_heard_is_told_when_it_is_published_again(running: Any) -> None:
    async with reading(running, headers=running.sign_in("7")) as other:
        await other.next()
        for payload in (fired("42"), fired("7", "own")):
            await running.publish("events.alerts.fired", payload)
        await other.until("alert")
    async with reading(running, headers=running.sign_in("42")) as reader:
        await reader.next()
        await running.publish("events.alerts.fired", fired("42"))

        assert (await reader.until("alert"))["id"] == "a-1"


async def test_without_a_token_there_are_no_alerts(running: Any) -> None:
    async with reading(running) as reader:
        await reader.next()
        await running.publish("events.alerts.fired", fired("42"))
        await running.tick({"NSE:TCS": 1.0})
        names = []
        while "prices" not in names:
            names.append((await reader.next())[0])

    # How the feed stands may be told too, on a machine that took its time.
    assert set(names) <= {"prices", "stale", "live"}


async def test_a_stream_ends_when_its_token_is_revoked(running: Any) -> None:
    async with reading(running, headers=running.sign_in("42", sid="s-1")) as reader:
        await reader.next()
        revocation = keys_pb2.Revocation(session_id="s-1")
        revocation.expires_at.FromSeconds(int(time.time()) + 60)
        told = events_pb2.TokensRevoked(revocations=[revocation])
        await running.publish("events.auth.revoked", told.SerializeToString())

        assert await reader.until("end", within=2) == {"reason": "signed_out"}


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        ("", "symbols"),
        ("NSE:TCS,NSE:NOPE", "Unknown symbols: NSE:NOPE"),
        ("NSE:NOPE", "Unknown symbols: NSE:NOPE"),
        ("TCS", "Write each symbol with its exchange"),
        ("<b>", "Not a symbol"),
        (",".join(f"NSE:S{number}" for number in range(201)), "At most 200 symbols"),
    ],
)
async def test_bad_symbols_are_400(running: Any, symbols: str, message: str) -> None:
    response = await running.http.get("/api/stream", params={"symbols": symbols})

    assert response.status_code == 400
    assert message in running.error_of(response)["message"]


async def test_two_hundred_symbols_are_served(running: Any) -> None:
    symbols = [f"NSE:S{number:03}" for number in range(200)]
    running.market.prices = dict.fromkeys(symbols, 1.5)
    async with reading(running, "/api/stream?symbols=" + ",".join(symbols)) as reader:
        _, told = await reader.next()

    assert list(last_prices(told)) == symbols


async def test_a_bad_token_is_401(running: Any) -> None:
    response = await running.http.get(TWO, headers={"Authorization": "Bearer nonsense"})

    assert response.status_code == 401


async def test_market_away_is_503_unless_the_board_knows(running: Any) -> None:
    await running.stop_service("market")
    assert (await running.http.get(TWO)).status_code == 503

    await running.tick({"NSE:TCS": 1.0, "NASDAQ:AAPL": 2.0})
    async with reading(running) as reader:
        assert (await reader.next())[0] == "snapshot"


async def test_streams_are_bounded(world: Any) -> None:
    await world.open(gateway_stream_max_clients=1)
    await world.until_ready()
    async with reading(world) as reader:
        await reader.next()
        response = await world.http.get(TWO)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
    async with asyncio.timeout(3):
        while world.gateway.streams.count:
            await asyncio.sleep(0.02)
    async with reading(world) as again:
        assert (await again.next())[0] == "snapshot"


async def test_a_slice_that_fails_is_not_the_last(
    running: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    care, failures = Streams.take_care, iter([RuntimeError("planted")])

    def fail_once(streams: Streams) -> None:
        for failure in failures:
            raise failure
        care(streams)

    monkeypatch.setattr(Streams, "take_care", fail_once)
    async with reading(running) as reader:
        async with asyncio.timeout(3):
            while "slice failed" not in caplog.text:
                await asyncio.sleep(0.02)
        await running.tick({"NSE:TCS": 3843.0})

        assert last_prices(await reader.until("prices")) == {"NSE:TCS": 3843.0}


async def test_only_one_gets_the_last_place(world: Any) -> None:
    await world.open(gateway_stream_max_clients=1)
    await world.until_ready()
    world.market.delay_seconds = 0.2
    statuses: list[int] = []

    async def ask() -> None:
        async with world.http.stream("GET", TWO) as response:
            statuses.append(response.status_code)
            await asyncio.sleep(0.3)

    await asyncio.gather(*(ask() for _ in range(10)))

    assert sorted(statuses) == [200, *[503] * 9]


async def test_nobody_takes_the_places_of_all(world: Any) -> None:
    await world.open(gateway_stream_max_per_caller=1)
    await world.until_ready()
    async with reading(world) as reader:
        await reader.next()
        refused = await world.http.get(TWO)
        assert refused.status_code == 429
        assert world.error_of(refused)["code"] == "RATE_LIMITED"
        async with reading(world, headers=world.sign_in("1")) as another:
            assert (await another.next())[0] == "snapshot"


async def test_a_board_full_of_watched_instruments_refuses_more(world: Any) -> None:
    await world.open(gateway_board_max_instruments=2)
    await world.until_ready()
    async with reading(world) as reader:
        await reader.next()

        assert (await world.http.get("/api/stream?symbols=NSE:INFY")).status_code == 503


async def test_head_of_a_stream_ends_at_once(running: Any) -> None:
    response = await running.http.head(TWO)

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert running.gateway.streams.count == 0


async def test_a_client_that_does_not_read_is_dropped_and_holds_nothing_up(world: Any) -> None:
    before = value_of("bourse_streams_dropped_total", STUCK) or 0
    symbols = [f"NSE:S{number:03}" for number in range(200)]
    world.market.prices = dict.fromkeys(symbols, 1.5)
    await world.open(gateway_stream_drop_seconds=0.5, gateway_stream_window_ms=20)
    await world.until_ready()
    _, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port, limit=1024)
    connection: Any = writer.transport
    connection.pause_reading()
    writer.write(f"GET /api/stream?symbols={','.join(symbols)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(3):
        while world.gateway.streams.count == 0:
            await asyncio.sleep(0.02)

    async with asyncio.timeout(30):
        sequence = 0
        while world.gateway.streams.count:
            sequence += 1
            await world.tick(dict.fromkeys(symbols, float(sequence)), sequence=sequence)

    assert (value_of("bourse_streams_dropped_total", STUCK) or 0) - before == 1
    assert (await world.http.get("/livez")).status_code == 200
    writer.close()


async def test_shutdown_ends_open_streams_promptly(world: Any) -> None:
    await world.open()
    await world.until_ready()
    async with reading(world) as reader:
        await reader.next()
        started = time.monotonic()
        closing = asyncio.create_task(world.gateway_stack.aclose())
        assert await reader.until("end") == {"reason": "shutdown"}
        with pytest.raises(StopAsyncIteration):
            await reader.next()
        elapsed = time.monotonic() - started
    await closing

    assert elapsed < 2
