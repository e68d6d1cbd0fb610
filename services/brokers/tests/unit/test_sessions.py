from datetime import UTC, datetime, timedelta

import pytest

from brokers.domain.brokers import Broker
from brokers.domain.errors import SessionInactive
from brokers.domain.secrets import Secret
from brokers.domain.sessions import ActiveSession, FeedState, FeedStatus, SessionBook, expiry_of
from chassis.clock import ManualClock

NOON_IN_INDIA = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
IN_AN_HOUR = NOON_IN_INDIA + timedelta(hours=1)


def a_session(
    broker: Broker = Broker.ZERODHA, *, expires_at: datetime = IN_AN_HOUR, is_simulated: bool = False
) -> ActiveSession:
    return ActiveSession(
        broker=broker,
        api_key=Secret("key"),
        api_secret=None,
        token=Secret("token"),
        set_at=NOON_IN_INDIA,
        expires_at=expires_at,
        is_simulated=is_simulated,
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON_IN_INDIA)


@pytest.fixture
def book(clock: ManualClock) -> SessionBook:
    return SessionBook(clock)


@pytest.mark.parametrize(
    ("broker", "opened_at", "ends_at"),
    [
        # 06:00 in India is 00:30 UTC, midnight is 18:30 UTC of the day before.
        (Broker.ZERODHA, datetime(2026, 11, 20, 3, 45, tzinfo=UTC), datetime(2026, 11, 21, 0, 30, tzinfo=UTC)),
        (Broker.ZERODHA, datetime(2026, 11, 20, 0, 29, 59, tzinfo=UTC), datetime(2026, 11, 20, 0, 30, tzinfo=UTC)),
        (Broker.ZERODHA, datetime(2026, 11, 20, 0, 30, tzinfo=UTC), datetime(2026, 11, 21, 0, 30, tzinfo=UTC)),
        (Broker.ZERODHA, datetime(2026, 12, 31, 20, 0, tzinfo=UTC), datetime(2027, 1, 1, 0, 30, tzinfo=UTC)),
        (Broker.ICICI, datetime(2026, 11, 20, 3, 45, tzinfo=UTC), datetime(2026, 11, 20, 18, 30, tzinfo=UTC)),
        (Broker.ICICI, datetime(2026, 11, 20, 18, 29, 59, tzinfo=UTC), datetime(2026, 11, 20, 18, 30, tzinfo=UTC)),
        (Broker.ICICI, datetime(2026, 11, 20, 18, 30, tzinfo=UTC), datetime(2026, 11, 21, 18, 30, tzinfo=UTC)),
    ],
)
def test_sessions_end_at_the_brokers_hour_in_india(broker: Broker, opened_at: datetime, ends_at: datetime) -> None:
    assert expiry_of(broker, opened_at) == ends_at
    assert expiry_of(broker, opened_at).tzinfo is UTC


def test_no_session_of_icici_outlives_24_hours() -> None:
    for minute in range(24 * 60):
        opened_at = NOON_IN_INDIA + timedelta(minutes=minute)
        assert timedelta(0) < expiry_of(Broker.ICICI, opened_at) - opened_at <= timedelta(hours=24)


async def test_a_session_is_usable_until_the_very_moment_it_ends(clock: ManualClock, book: SessionBook) -> None:
    session = a_session()
    book.put(session)
    await clock.advance(3599.999)
    assert book.usable(Broker.ZERODHA) is session
    await clock.advance(0.001)
    assert book.usable(Broker.ZERODHA) is None
    with pytest.raises(SessionInactive):
        book.for_prices(Broker.ZERODHA)


def test_without_a_session_nothing_is_said_but_that(book: SessionBook) -> None:
    status = book.status(Broker.ICICI, FeedStatus())
    assert not status.is_initialized
    assert not status.is_valid
    assert (status.token_type, status.set_at, status.expires_at) == (None, None, None)


async def test_the_status_says_when_a_session_ends_also_after_that(clock: ManualClock, book: SessionBook) -> None:
    book.put(a_session())
    feed = FeedStatus(FeedState.LIVE, NOON_IN_INDIA)
    status = book.status(Broker.ZERODHA, feed)
    assert (status.is_initialized, status.is_valid, status.token_type) == (True, True, "access_token")
    assert status.feed is feed
    await clock.advance(3600)
    book.end(book._sessions[Broker.ZERODHA])
    status = book.status(Broker.ZERODHA, FeedStatus())
    assert (status.is_initialized, status.is_valid) == (True, False)
    assert (status.set_at, status.expires_at) == (NOON_IN_INDIA, IN_AN_HOUR)


def test_a_refused_session_is_let_go_of_and_told_of_once(book: SessionBook) -> None:
    session, refused = a_session(), list[ActiveSession]()
    book.on_refused(refused.append)
    book.put(session)
    book.refuse(session)
    book.refuse(session)
    assert refused == [session]
    assert book.usable(Broker.ZERODHA) is None
    assert not book.status(Broker.ZERODHA, FeedStatus()).is_valid


def test_what_happens_to_an_earlier_session_says_nothing_of_the_present_one(book: SessionBook) -> None:
    earlier, present = a_session(), a_session()
    told: list[ActiveSession] = []
    book.on_refused(told.append)
    book.on_ended(told.append)
    book.put(earlier)
    book.put(present)
    book.refuse(earlier)
    book.end(earlier)
    assert told == []
    assert book.usable(Broker.ZERODHA) is present


def test_whoever_listens_hears_of_opened_and_ended_sessions(book: SessionBook) -> None:
    session = a_session()
    opened: list[ActiveSession] = []
    ended: list[ActiveSession] = []
    book.on_opened(opened.append)
    book.on_ended(ended.append)
    book.put(session)
    assert (opened, ended) == ([session], [])
    book.end(session)
    assert (opened, ended) == ([session], [session])


def test_the_sandboxs_session_is_valid_but_never_used_for_prices(book: SessionBook) -> None:
    book.put(a_session(is_simulated=True))
    assert book.status(Broker.ZERODHA, FeedStatus()).is_valid
    with pytest.raises(SessionInactive, match="sandbox"):
        book.for_prices(Broker.ZERODHA)


def test_brokers_sessions_are_kept_apart(book: SessionBook) -> None:
    book.put(a_session(Broker.ICICI))
    assert book.usable(Broker.ZERODHA) is None
    assert book.for_prices(Broker.ICICI).broker is Broker.ICICI
    assert book.status(Broker.ICICI, FeedStatus()).token_type is None
