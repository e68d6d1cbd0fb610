"""When the exchanges trade, asked of a calendar service that comes, answers nonsense and goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from bourse.market.v1.calendars_pb2_grpc import (
    CalendarServiceServicer,
    CalendarServiceStub,
    add_CalendarServiceServicer_to_server,
)

from bourse.market.v1 import calendars_pb2
from brokers.feed.market_hours import REFRESH_SECONDS, RETRY_SECONDS, MarketHours
from chassis.clock import ManualClock
from chassis.health import Health
from chassis.rpc_client import open_channel
from chassis.rpc_server import serving
from chassis.settings import ProcessSettings
from chassis.tasks import running
from chassis.testing import free_port

WAIT_SECONDS = 10
OPENS = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)
CLOSES = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


class SmallCalendar(CalendarServiceServicer):
    """Knows one session, and the days it was told to know."""

    def __init__(self, known_from: str = "2006-01-01", known_through: str = "2026-12-31") -> None:
        self.known_from = known_from
        self.known_through = known_through
        self.asked: list[calendars_pb2.ListSessionsRequest] = []

    async def ListSessions(
        self, request: calendars_pb2.ListSessionsRequest, context: object
    ) -> calendars_pb2.ListSessionsResponse:
        self.asked.append(request)
        session = calendars_pb2.TradingSession(date="2026-11-20")
        session.opens_at.FromDatetime(OPENS)
        session.closes_at.FromDatetime(CLOSES)
        return calendars_pb2.ListSessionsResponse(
            sessions=[session], known_from=self.known_from, known_through=self.known_through
        )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
async def hours(clock: ManualClock, address: str) -> AsyncIterator[MarketHours]:
    settings = ProcessSettings(rpc_deadline_seconds=2)
    async with open_channel(address, [calendars_pb2.DESCRIPTOR], settings=settings) as channel:
        hours = MarketHours(CalendarServiceStub(channel), clock)
        async with running(hours.run()):
            yield hours


@asynccontextmanager
async def market(address: str, calendar: SmallCalendar) -> AsyncIterator[None]:
    settings = ProcessSettings(shutdown_grace_seconds=0)
    register = partial(add_CalendarServiceServicer_to_server, calendar)
    async with serving(address, [register], health=Health(), settings=settings):
        yield


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def advanced(clock: ManualClock, seconds: float, condition: Callable[[], bool]) -> None:
    """Move the clock again and again until what a loop does after its sleep has happened."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await clock.advance(seconds)
            await asyncio.sleep(0.02)


async def test_the_calendars_sessions_are_known_for_the_days_it_answers_for(
    hours: MarketHours, address: str, clock: ManualClock
) -> None:
    calendar = SmallCalendar(known_through="2026-11-30")
    async with market(address, calendar):
        await advanced(clock, RETRY_SECONDS, lambda: hours.known() is not None)
    known = hours.known()
    assert known is not None
    assert calendar.asked[0].exchange == "NSE"
    # Days are India's: 18:30 UTC is their midnight.
    assert known.known_until == datetime(2026, 11, 30, 18, 30, tzinfo=UTC)
    assert known.known_from == datetime(2026, 11, 12, 18, 30, tzinfo=UTC)
    assert known.session_at(OPENS) is not None
    assert known.session_at(CLOSES - MOMENT) is not None
    assert known.session_at(OPENS - MOMENT) is None
    assert known.session_at(CLOSES) is None


async def test_market_is_asked_again_until_it_is_there_and_its_answer_outlives_it(
    hours: MarketHours, address: str, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "brokers")
    await until(lambda: "market hours not known" in caplog.text)
    assert hours.known() is None
    calendar = SmallCalendar()
    async with market(address, calendar):
        await advanced(clock, RETRY_SECONDS, lambda: hours.known() is not None)
    first = hours.known()
    caplog.clear()
    await advanced(clock, REFRESH_SECONDS, lambda: "market hours not known" in caplog.text)
    assert hours.known() is first


async def test_the_answer_is_refreshed(hours: MarketHours, address: str, clock: ManualClock) -> None:
    calendar = SmallCalendar()
    async with market(address, calendar):
        await advanced(clock, RETRY_SECONDS, lambda: hours.known() is not None)
        first, asked = hours.known(), len(calendar.asked)
        await advanced(clock, REFRESH_SECONDS, lambda: hours.known() is not first)
        assert len(calendar.asked) > asked


async def test_an_answer_that_cannot_be_read_changes_nothing(
    hours: MarketHours, address: str, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with market(address, SmallCalendar(known_from="yesterday")):
        await advanced(clock, RETRY_SECONDS, lambda: "market hours cannot be read" in caplog.text)
    assert hours.known() is None
