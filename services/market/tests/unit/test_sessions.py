from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.sessions import Session, Venue, VenueSessions, venue_of


def session(day: int) -> Session:
    opens_at = datetime(2026, 1, day, 3, 45, tzinfo=UTC)
    return Session(date(2026, 1, day), opens_at, opens_at + timedelta(hours=6, minutes=15))


MONDAY, TUESDAY = session(5), session(6)
WEEK = VenueSessions(Venue.INDIA, [TUESDAY, MONDAY], known_from=date(2026, 1, 3), known_through=date(2026, 1, 7))
BEFORE = datetime(2026, 1, 4, 12, tzinfo=UTC)
NIGHT = datetime(2026, 1, 5, 12, tzinfo=UTC)
AFTER = datetime(2026, 1, 7, 12, tzinfo=UTC)
UNKNOWN = datetime(2026, 1, 7, 18, 30, tzinfo=UTC)  # midnight in Mumbai


def test_a_session_holds_its_opening_and_not_its_closing_moment() -> None:
    assert WEEK.is_open_at(MONDAY.opens_at)
    assert WEEK.is_open_at(MONDAY.closes_at - timedelta(microseconds=1))
    assert WEEK.is_open_at(MONDAY.closes_at) is False


def test_a_known_day_without_a_session_is_closed() -> None:
    assert WEEK.is_open_at(BEFORE) is False
    assert WEEK.is_open_at(AFTER) is False


@pytest.mark.parametrize("moment", [UNKNOWN, datetime(2026, 1, 2, 18, 29, tzinfo=UTC)])
def test_beyond_what_the_calendar_knows_nothing_is_guessed(moment: datetime) -> None:
    assert WEEK.is_open_at(moment) is None
    assert WEEK.next_open(moment) is None


def test_the_next_opening_skips_the_running_session() -> None:
    assert WEEK.next_open(BEFORE) == MONDAY.opens_at
    assert WEEK.next_open(MONDAY.opens_at) == TUESDAY.opens_at
    assert WEEK.next_open(AFTER) is None


def test_only_a_running_session_has_a_next_close() -> None:
    assert WEEK.next_close(MONDAY.opens_at) == MONDAY.closes_at
    assert WEEK.next_close(NIGHT) is None
    assert WEEK.next_close(BEFORE) is None


def test_the_last_session_is_begun_while_it_runs_and_finished_after_it() -> None:
    assert WEEK.last_begun(BEFORE) is None
    assert WEEK.last_finished(BEFORE) is None
    assert WEEK.last_begun(MONDAY.opens_at) == MONDAY
    assert WEEK.last_finished(MONDAY.opens_at) is None
    assert WEEK.last_finished(NIGHT) == MONDAY
    assert WEEK.last_finished(TUESDAY.opens_at) == MONDAY
    assert WEEK.last_finished(AFTER) == TUESDAY


@given(minutes=st.integers(0, 4 * 24 * 60))
def test_open_means_a_close_lies_ahead_and_closed_means_none_does(minutes: int) -> None:
    moment = datetime(2026, 1, 3, 18, 30, tzinfo=UTC) + timedelta(minutes=minutes)
    closes_at = WEEK.next_close(moment)
    assert (closes_at is not None) == (WEEK.is_open_at(moment) is True)
    assert closes_at is None or closes_at > moment


@pytest.mark.parametrize(
    ("exchange", "kind", "currency", "venue"),
    [
        (Exchange.NSE, InstrumentKind.EQUITY, "INR", Venue.INDIA),
        (Exchange.BSE, InstrumentKind.EQUITY, "INR", Venue.INDIA),
        (Exchange.AMEX, InstrumentKind.EQUITY, "USD", Venue.UNITED_STATES),
        (Exchange.NASDAQ, InstrumentKind.FUND, "USD", Venue.UNITED_STATES),
        (Exchange.FX, InstrumentKind.CURRENCY_PAIR, "INR", Venue.CURRENCIES),
        (Exchange.INDEX, InstrumentKind.INDEX, "INR", Venue.INDIA),
        (Exchange.INDEX, InstrumentKind.INDEX, "USD", Venue.UNITED_STATES),
    ],
)
def test_an_instrument_trades_at_its_exchange_and_an_index_where_its_currency_is(
    exchange: Exchange, kind: InstrumentKind, currency: str, venue: Venue
) -> None:
    assert venue_of(Instrument("X:Y", exchange, "Y", "Y", kind, currency)) is venue
