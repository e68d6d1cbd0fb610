"""The beat, on a real NATS."""

import asyncio
from collections.abc import AsyncIterator

import nats as nats_py
import pytest
from nats.aio.msg import Msg

from auth.feed.beat import BEAT_SUBJECT, Beat
from chassis.bus import EVENTS, Bus
from chassis.clock import SystemClock
from chassis.tasks import running
from chassis.testing import NatsServer

WAIT_SECONDS = 20

Heard = asyncio.Queue[Msg]


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    bus = Bus(nats.url, name="auth", streams=[EVENTS])
    bus.start()
    await asyncio.wait_for(bus.wait_until_ready(), WAIT_SECONDS)
    yield bus
    await bus.close()


@pytest.fixture
async def heard(nats: NatsServer) -> AsyncIterator[Heard]:
    listener = await nats_py.connect(nats.url)
    heard: Heard = asyncio.Queue()
    await listener.subscribe(BEAT_SUBJECT, cb=heard.put)
    await listener.flush()
    yield heard
    await listener.close()


async def test_auth_is_heard_again_and_again(bus: Bus, heard: Heard) -> None:
    async with running(Beat(bus, clock=SystemClock()).run()):
        for _ in range(3):
            await asyncio.wait_for(heard.get(), WAIT_SECONDS)


async def test_an_auth_whose_events_are_not_stored_is_silent(bus: Bus, heard: Heard) -> None:
    beat = Beat(bus, clock=SystemClock())
    await beat.beat()
    assert (await asyncio.wait_for(heard.get(), WAIT_SECONDS)).data == b""

    await bus.jetstream.delete_stream("EVENTS")
    await beat.beat()
    await bus.client.publish(BEAT_SUBJECT, b"what is heard next if nothing was sent before")

    assert (await asyncio.wait_for(heard.get(), WAIT_SECONDS)).data != b""


async def test_a_failure_is_no_end_of_it(bus: Bus, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail_once(_: str) -> None:
        monkeypatch.undo()
        raise RuntimeError

    monkeypatch.setattr(bus, "stream_position", fail_once)
    async with running(Beat(bus, clock=SystemClock()).run()):
        await asyncio.wait_for(heard.get(), WAIT_SECONDS)
