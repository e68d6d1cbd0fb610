"""What a feed's connections and the market's hours say of the feed."""

import zlib
from datetime import UTC, datetime, timedelta

import pytest

from brokers.domain.feed_watch import LinkReport, state_of
from brokers.domain.sessions import FeedState
from brokers.domain.ticks import shard_of
from brokers.domain.trading_hours import TradingHours, TradingSession

OPENS = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)
CLOSES = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
DAY = timedelta(days=1)
PATIENCE = timedelta(seconds=30)
MOMENT = timedelta(microseconds=1)
HOURS = TradingHours(NOON - DAY, NOON + DAY, [TradingSession(OPENS, CLOSES)])


def state(*links: LinkReport, hours: TradingHours | None = HOURS, now: datetime = NOON) -> FeedState:
    return state_of(links, hours, now=now, stale_after=PATIENCE)


def link(price_at: datetime | None = NOON, *, since: datetime | None = OPENS) -> LinkReport:
    return LinkReport(since, price_at)


def test_without_connections_there_is_no_feed() -> None:
    assert state() is FeedState.OFF


@pytest.mark.parametrize("hours", [HOURS, None])
def test_one_lost_connection_makes_the_feed_connecting(hours: TradingHours | None) -> None:
    assert state(link(), link(since=None), hours=hours) is FeedState.CONNECTING


def test_prices_on_all_connections_are_live() -> None:
    assert state(link(NOON - PATIENCE + MOMENT), link()) is FeedState.LIVE


def test_one_connection_without_a_price_for_too_long_makes_the_feed_stale() -> None:
    assert state(link(NOON - PATIENCE), link()) is FeedState.STALE


def test_a_connection_that_never_had_a_price_gets_stale() -> None:
    assert state(link(None, since=NOON - PATIENCE)) is FeedState.STALE


def test_a_new_connection_is_given_time_for_its_first_price() -> None:
    assert state(link(None, since=NOON - PATIENCE + MOMENT)) is FeedState.LIVE
    assert state(link(NOON - DAY, since=NOON - PATIENCE + MOMENT)) is FeedState.LIVE


def test_the_markets_opening_is_given_time_for_its_first_price() -> None:
    yesterday = link(OPENS - DAY, since=OPENS - DAY)
    assert state(yesterday, now=OPENS) is FeedState.LIVE
    assert state(yesterday, now=OPENS + PATIENCE) is FeedState.STALE


@pytest.mark.parametrize("now", [OPENS - MOMENT, CLOSES])
def test_between_sessions_the_feed_is_closed_whether_prices_come_or_not(now: datetime) -> None:
    assert state(link(None), now=now) is FeedState.CLOSED
    assert state(link(now), now=now) is FeedState.CLOSED


@pytest.mark.parametrize(
    "hours", [None, TradingHours(NOON - DAY, NOON, []), TradingHours(NOON + MOMENT, NOON + DAY, [])]
)
def test_where_the_hours_are_unknown_nothing_is_called_stale(hours: TradingHours | None) -> None:
    assert state(link(), hours=hours) is FeedState.LIVE
    assert state(link(NOON - PATIENCE), link(), hours=hours) is FeedState.CONNECTED
    assert state(link(None), hours=hours) is FeedState.CONNECTED


def test_hours_end_where_they_are_known_to() -> None:
    assert HOURS.knows(HOURS.known_from)
    assert not HOURS.knows(HOURS.known_until)


@pytest.mark.parametrize("instrument", ["NSE:TCS", "INDEX:NIFTY50", "BSE:500325"])
def test_an_instruments_shard_is_its_checksum_modulo_16(instrument: str) -> None:
    assert shard_of(instrument) == zlib.crc32(instrument.encode()) % 16
