import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from brokers.domain.announcer import Announcer
from brokers.domain.brokers import Broker
from brokers.domain.secrets import Secret
from brokers.domain.session_events import SessionEvent, SessionEventKind
from brokers.domain.session_keeper import SessionKeeper
from brokers.domain.sessions import ActiveSession, SessionBook
from chassis.clock import ManualClock
from chassis.tasks import running

START = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
ACTIVATED, EXPIRING, EXPIRED = SessionEventKind.ACTIVATED, SessionEventKind.EXPIRING, SessionEventKind.EXPIRED


class Told:
    """Notes events."""

    def __init__(self) -> None:
        self.events: list[SessionEvent] = []

    @property
    def kinds(self) -> list[SessionEventKind]:
        return [event.kind for event in self.events]

    async def tell(self, event: SessionEvent) -> None:
        self.events.append(event)


def a_session(*, hours: float, broker: Broker = Broker.ZERODHA, now: datetime = START) -> ActiveSession:
    return ActiveSession(
        broker=broker,
        api_key=Secret("key"),
        api_secret=None,
        token=Secret("token"),
        set_at=now,
        expires_at=START + timedelta(hours=hours),
        is_simulated=False,
    )


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def book(clock: ManualClock) -> SessionBook:
    return SessionBook(clock)


@pytest.fixture
async def told(clock: ManualClock, book: SessionBook) -> AsyncIterator[Told]:
    told = Told()
    announcer = Announcer(told, clock)
    keeper = SessionKeeper(book, announcer, clock)
    async with running(announcer.run()):
        yield told
        await keeper.finish()


async def test_a_session_is_accompanied_to_its_end(clock: ManualClock, book: SessionBook, told: Told) -> None:
    session = a_session(hours=2)
    book.put(session)
    await settle()
    assert told.kinds == [ACTIVATED]
    await clock.advance(1.5 * 3600 - 1)
    await settle()
    assert told.kinds == [ACTIVATED]
    await clock.advance(1)
    await settle()
    assert told.kinds == [ACTIVATED, EXPIRING]
    await clock.advance(1_799)
    await settle()
    assert told.kinds == [ACTIVATED, EXPIRING]
    await clock.advance(1)
    await settle()
    assert told.kinds == [ACTIVATED, EXPIRING, EXPIRED]
    assert {event.at for event in told.events} == {session.expires_at}
    assert len({event.message_id for event in told.events}) == 3
    assert not any(event.was_refused for event in told.events)


async def test_a_session_opened_in_its_last_half_hour_is_expiring_at_once(
    clock: ManualClock, book: SessionBook, told: Told
) -> None:
    book.put(a_session(hours=0.25))
    await settle()
    assert told.kinds == [ACTIVATED, EXPIRING]
    await clock.advance(0.25 * 3600)
    await settle()
    assert told.kinds == [ACTIVATED, EXPIRING, EXPIRED]


async def test_the_end_lets_go_of_the_session(clock: ManualClock, book: SessionBook, told: Told) -> None:
    ended: list[ActiveSession] = []
    book.on_ended(ended.append)
    session = a_session(hours=1)
    book.put(session)
    await settle()
    await clock.advance(3600)
    assert ended == [session]
    assert book._sessions == {}


async def test_a_refused_session_has_ended_then_and_not_again(
    clock: ManualClock, book: SessionBook, told: Told
) -> None:
    session = a_session(hours=2)
    book.put(session)
    await settle()
    await clock.advance(60)
    book.refuse(session)
    await clock.advance(3 * 3600)
    assert told.kinds == [ACTIVATED, EXPIRED]
    assert told.events[-1].was_refused
    assert told.events[-1].at == START + timedelta(seconds=60)


async def test_a_session_that_is_replaced_is_told_nothing_more_of(
    clock: ManualClock, book: SessionBook, told: Told
) -> None:
    book.put(a_session(hours=1))
    await settle()
    await clock.advance(60)
    book.put(a_session(hours=4, now=clock.now()))
    await settle()
    await clock.advance(2 * 3600)
    assert told.kinds == [ACTIVATED, ACTIVATED]
    await clock.advance(2 * 3600)
    await settle()
    assert told.kinds == [ACTIVATED, ACTIVATED, EXPIRING, EXPIRED]


async def test_brokers_sessions_end_each_in_their_own_time(clock: ManualClock, book: SessionBook, told: Told) -> None:
    book.put(a_session(hours=1))
    book.put(a_session(hours=2, broker=Broker.ICICI))
    await settle()
    await clock.advance(3600)
    await settle()
    assert [(event.broker, event.kind) for event in told.events[2:]] == [
        (Broker.ZERODHA, EXPIRING),
        (Broker.ZERODHA, EXPIRED),
    ]
    assert book.usable(Broker.ICICI) is not None
