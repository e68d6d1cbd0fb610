import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from brokers.domain.announcer import MAX_WAITING, Announcer
from brokers.domain.brokers import Broker
from brokers.domain.session_events import SessionEvent, SessionEventKind
from chassis.clock import ManualClock
from chassis.errors import BusUnavailable
from chassis.tasks import running

START = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)


class Bus:
    """Stores events by their ids, unless it is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.stored: list[str] = []
        self.asked = 0

    async def tell(self, event: SessionEvent) -> None:
        self.asked += 1
        if self.is_away:
            raise BusUnavailable
        self.stored.append(event.message_id)


def an_event(kind: SessionEventKind = SessionEventKind.ACTIVATED) -> SessionEvent:
    return SessionEvent(kind, Broker.ZERODHA, START, START)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
async def announcer(bus: Bus, clock: ManualClock) -> AsyncIterator[Announcer]:
    announcer = Announcer(bus, clock)
    async with running(announcer.run()):
        yield announcer


async def test_events_are_told_in_order_under_ids_of_their_own(bus: Bus, announcer: Announcer) -> None:
    announcer.announce(an_event())
    announcer.announce(an_event(SessionEventKind.EXPIRING))
    await settle()
    assert bus.stored == [
        "zerodha:2026-11-20T06:30:00+00:00:session_activated",
        "zerodha:2026-11-20T06:30:00+00:00:session_expiring",
    ]


async def test_an_event_waits_for_a_bus_that_is_away(bus: Bus, announcer: Announcer, clock: ManualClock) -> None:
    bus.is_away = True
    announcer.announce(an_event())
    await settle()
    await clock.advance(600)
    assert bus.stored == []
    asked = bus.asked
    assert 15 < asked < 30
    bus.is_away = False
    await clock.advance(30)
    assert len(bus.stored) == 1
    assert bus.asked == asked + 1


async def test_an_event_is_given_up_after_an_hour_and_the_next_one_told(
    bus: Bus, announcer: Announcer, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    bus.is_away = True
    announcer.announce(an_event())
    await settle()
    await clock.advance(3700)
    assert "session event lost" in caplog.text
    bus.is_away = False
    announcer.announce(an_event(SessionEventKind.EXPIRED))
    await settle()
    assert [each.rpartition(":")[2] for each in bus.stored] == ["session_expired"]


async def test_what_is_too_much_to_keep_is_given_up(
    bus: Bus, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    announcer = Announcer(bus, clock)
    for _ in range(MAX_WAITING):
        announcer.announce(an_event())
    assert "lost" not in caplog.text
    announcer.announce(an_event())
    assert "session event lost" in caplog.text
