import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ClusterInfo, PeerInfo

from chassis.bus import EVENTS, TICKS, Bus, speaks_for_all
from chassis.errors import BusUnavailable
from chassis.testing import NatsServer, free_port


async def test_a_subscription_made_before_the_connection_receives(nats: NatsServer) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(message: Msg) -> None:
        received.put_nowait(message.data)

    bus = Bus(nats.url, name="test", streams=(EVENTS, TICKS))
    await bus.subscribe("ticks.*", keep)
    bus.start()
    async with asyncio.timeout(10):
        await bus.wait_until_ready()
        await bus.publish("ticks.3", b"one")
        assert await received.get() == b"one"
    position = await bus.stream_position("TICKS")
    assert (position.last_sequence, position.leader) == (1, None)
    await bus.close()


async def test_of_several_addresses_one_that_answers_is_enough(nats: NatsServer) -> None:
    bus = Bus(f"nats://127.0.0.1:{free_port()},{nats.url}", name="test", streams=(EVENTS,))
    bus.start()
    async with asyncio.timeout(10):
        await bus.wait_until_ready()
        await bus.publish_event("events.a.b", b"one", message_id="1")
    await bus.close()


async def test_a_subscription_made_while_it_connects_receives_once(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[bytes] = []
    is_subscribing = asyncio.Event()

    async def keep(message: Msg) -> None:
        received.append(message.data)

    bus = Bus(nats.url, name="test")
    subscribe = bus.client.subscribe

    async def subscribe_slowly(subject: str, **options: Any) -> object:
        is_subscribing.set()
        await asyncio.sleep(0)
        return await subscribe(subject, **options)

    monkeypatch.setattr(bus.client, "subscribe", subscribe_slowly)
    await bus.subscribe("early", keep)
    bus.start()
    async with asyncio.timeout(10):
        await is_subscribing.wait()
        await bus.subscribe("meanwhile", keep)
        await bus.wait_until_ready()
        await bus.publish("meanwhile", b"one")
        await bus.publish("early", b"two")
        while b"two" not in received:  # it comes last
            await asyncio.sleep(0.01)
    assert received == [b"one", b"two"]
    await bus.close()


async def test_an_event_published_twice_is_stored_once(nats: NatsServer) -> None:
    bus = Bus(nats.url, name="test", streams=(EVENTS,))
    bus.start()
    async with asyncio.timeout(10):
        await bus.wait_until_ready()
        for _ in range(2):
            await bus.publish_event("events.test.happened", b"once", message_id="a:1")
        assert (await bus.stream_position("EVENTS")).last_sequence == 1
    await bus.close()


async def test_a_lost_server_is_noticed_and_found_again(nats: NatsServer) -> None:
    lost, ready = asyncio.Event(), asyncio.Event()

    async def on_lost() -> None:
        lost.set()

    async def on_ready() -> None:
        ready.set()

    bus = Bus(nats.url, name="test", streams=(EVENTS, TICKS))
    bus.on_lost(on_lost)
    bus.start()
    async with asyncio.timeout(20):
        await bus.wait_until_ready()
        before = await bus.stream_position("TICKS")
        bus.on_ready(on_ready)
        await ready.wait()
        ready.clear()
        nats.kill()
        await lost.wait()
        with pytest.raises(BusUnavailable):
            await bus.publish("ticks.1", b"lost")
        nats.start()
        await ready.wait()
        assert (await bus.stream_position("TICKS")).created_at != before.created_at
    await bus.close()


HEARD = PeerInfo(name="b", current=True, active=900_000_000)
SILENT = PeerInfo(name="c", current=True, active=3_100_000_000)
OFFLINE = PeerInfo(name="c", offline=True, active=0)


@pytest.mark.parametrize(
    ("cluster", "speaks"),
    [
        (None, True),
        (ClusterInfo(leader="a"), True),
        (ClusterInfo(leader="a", replicas=[HEARD, HEARD]), True),
        (ClusterInfo(leader="a", replicas=[HEARD, SILENT]), True),
        (ClusterInfo(leader="a", replicas=[PeerInfo(name="b"), OFFLINE]), True),
        (ClusterInfo(leader=None, replicas=[HEARD, HEARD]), False),
        (ClusterInfo(leader="", replicas=[HEARD, HEARD]), False),
        (ClusterInfo(leader="a", replicas=[SILENT, SILENT]), False),
        (ClusterInfo(leader="a", replicas=[OFFLINE, SILENT]), False),
        (ClusterInfo(leader="a", replicas=[SILENT]), False),
    ],
)
def test_who_was_cut_off_from_the_others_does_not_speak_for_a_stream(cluster: ClusterInfo | None, speaks: bool) -> None:
    assert speaks_for_all(cluster) is speaks


async def test_where_a_stream_stands_is_not_taken_from_a_server_that_was_cut_off(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus(nats.url, name="test", streams=(TICKS,))
    bus.start()
    async with asyncio.timeout(10):
        await bus.wait_until_ready()
        info = await bus.jetstream.stream_info("TICKS")
        asked = AsyncMock(return_value=info)
        monkeypatch.setattr(JetStreamContext, "stream_info", asked)
        info.cluster = ClusterInfo(leader=None, replicas=[HEARD, HEARD])
        with pytest.raises(BusUnavailable):
            await bus.stream_position("TICKS")
        info.cluster = ClusterInfo(leader="a", replicas=[HEARD, HEARD])
        assert (await bus.stream_position("TICKS")).leader == "a"
    await bus.close()


async def test_a_server_that_was_never_there_keeps_nobody_waiting(tmp_path: Path) -> None:
    bus = Bus(f"nats://127.0.0.1:{free_port()}", name="test")
    bus.start()
    await asyncio.sleep(0.1)
    assert not bus.is_ready
    with pytest.raises(BusUnavailable):
        await bus.publish_event("events.x.y", b"", message_id="1")
    async with asyncio.timeout(5):
        await bus.close()


async def test_a_server_that_hangs_is_told_and_heard_again_once_it_goes_on(nats: NatsServer) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(message: Msg) -> None:
        received.put_nowait(message.data)

    bus = Bus(nats.url, name="test")
    await bus.subscribe("ticks.*", keep)
    bus.start()
    try:
        async with asyncio.timeout(10):
            await bus.wait_until_ready()
            assert await bus.is_answering()
            nats.hang()
            assert not await bus.is_answering()
            assert bus.is_ready
            assert not bus.is_heard
            nats.go_on()
            assert await bus.is_answering()
            assert bus.is_heard
            # What the server is asked next, the reader still hears.
            await bus.publish("ticks.3", b"one")
            assert await received.get() == b"one"
        assert bus.client.stats["reconnects"] == 0
    finally:
        await bus.close()
