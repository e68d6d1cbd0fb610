"""What stands before the gateway and beside NATS in a test: REST and stream clients, ticks, events."""

import json
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import nats
from nats.aio.client import Client as NatsClient

from bourse.alerts.v1 import events_pb2
from bourse.market.v1 import quotes_pb2, ticks_pb2

PASSWORD = "correct horse battery"
SHARDS = 16
EVENT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Account:
    """A registered user with a session."""

    email: str
    user_id: str
    token: str
    refresh_token: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def new_email() -> str:
    return f"user-{uuid.uuid4().hex[:12]}@example.com"


async def register(client: httpx.AsyncClient) -> Account:
    """Register a new user; the client keeps no cookie of it."""
    email = new_email()
    answer = await client.post("/api/auth/register", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    client.cookies.clear()
    body = answer.json()
    return Account(email, str(body["user"]["id"]), body["access_token"], body["tokens"]["refresh_token"])


@asynccontextmanager
async def gateway_client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    # Loopback speaks no TLS, and to read all authorities takes longer than most tests.
    timeout = httpx.Timeout(10, read=20)
    async with httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False, verify=False) as client:
        yield client


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream."""

    name: str
    body: Any


class EventStream:
    """A stream that is read as far as a test asks, and everything read so far."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.seen: list[ServerEvent] = []

    async def wait_for(
        self, name: str, holds: Callable[[Any], bool] = lambda _: True, *, seconds: float = EVENT_SECONDS
    ) -> Any:
        """Read on until an event of that name holds, and return its body."""
        deadline = time.monotonic() + seconds
        event_name = ""
        async for line in self._lines:
            if line.startswith("event: "):
                event_name = line.removeprefix("event: ")
            if line.startswith("data: "):
                event = ServerEvent(event_name, json.loads(line.removeprefix("data: ")))
                self.seen.append(event)
                if event.name == name and holds(event.body):
                    return event.body
            assert time.monotonic() < deadline, f"no {name} in {[event.name for event in self.seen]}"
        raise AssertionError(f"the stream ended before {name}; seen {self.seen[-3:]}")

    async def names(self) -> AsyncIterator[str]:
        """Yield the name of each event, to the stream's end."""
        async for line in self._lines:
            if line.startswith("event: "):
                yield line.removeprefix("event: ")

    async def read_to_the_end(self) -> None:
        async for _ in self._lines:
            pass


@asynccontextmanager
async def open_stream(
    client: httpx.AsyncClient, symbols: str, headers: dict[str, str] | None = None
) -> AsyncIterator[EventStream]:
    async with client.stream("GET", "/api/stream", params={"symbols": symbols}, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield EventStream(answer)


@asynccontextmanager
async def bus_client(url: str) -> AsyncIterator[NatsClient]:
    client = await nats.connect(url, connect_timeout=5, max_reconnect_attempts=3)
    try:
        yield client
    finally:
        await client.close()


class TickPublisher:
    """A feed of the test's own: its ticks look like those of any publisher."""

    def __init__(self, client: NatsClient) -> None:
        self._client = client
        self._publisher_id = f"test-{uuid.uuid4().hex[:8]}"
        self._epoch = time.time_ns() // 1000
        self._sequences: dict[int, int] = {}

    async def publish(self, instrument: str, price: float) -> None:
        shard = zlib.crc32(instrument.encode()) % SHARDS
        self._sequences[shard] = self._sequences.get(shard, 0) + 1
        batch = ticks_pb2.TickBatch(
            publisher_id=self._publisher_id,
            epoch=self._epoch,
            shard=shard,
            sequence=self._sequences[shard],
            source="sample",
            freshness=quotes_pb2.FRESHNESS_SIMULATED,
            ticks=[ticks_pb2.Tick(instrument=instrument, last_price=price)],
        )
        batch.base_time.GetCurrentTime()
        batch.published_at.GetCurrentTime()
        await self._client.publish(f"ticks.{shard}", batch.SerializeToString())
        await self._client.flush(timeout=5)


async def fired_events(client: NatsClient) -> list[events_pb2.AlertFired]:
    """Return everything that the EVENTS stream holds about fired alerts, in its order."""
    stream = client.jetstream(timeout=5)
    state = (await stream.stream_info("EVENTS", subjects_filter="events.alerts.fired")).state
    expected = (state.subjects or {}).get("events.alerts.fired", 0)
    if not expected:
        return []
    subscription = await stream.subscribe("events.alerts.fired", ordered_consumer=True)
    try:
        messages = [await subscription.next_msg(timeout=10) for _ in range(expected)]
    finally:
        await subscription.unsubscribe()
    return [events_pb2.AlertFired.FromString(message.data) for message in messages]
