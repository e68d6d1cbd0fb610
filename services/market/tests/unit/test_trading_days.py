from collections.abc import Mapping
from datetime import date, datetime, timedelta

import pytest

from market.domain.dates import DatesInvalid
from market.domain.instruments import ExchangeUnknown
from market.domain.sessions import TIMEZONE_OF_VENUE, Session, Venue, VenueSessions
from market.domain.trading_days import trading_days

KNOWN_FROM, KNOWN_THROUGH = date(2026, 1, 1), date(2026, 12, 31)


def session(venue: Venue, day: date) -> Session:
    opens_at = datetime(day.year, day.month, day.day, 9, 30, tzinfo=TIMEZONE_OF_VENUE[venue])
    return Session(day, opens_at, opens_at + timedelta(hours=6))


class TwoVenues:
    """India trades on the 5th, 6th and 8th, the United States on the 7th."""

    def __init__(self) -> None:
        days: Mapping[Venue, list[int]] = {Venue.INDIA: [5, 6, 8], Venue.UNITED_STATES: [7]}
        self._sessions = {
            venue: VenueSessions(
                venue,
                [session(venue, date(2026, 1, day)) for day in its_days],
                known_from=KNOWN_FROM,
                known_through=KNOWN_THROUGH,
            )
            for venue, its_days in days.items()
        }

    def sessions_of(self, venue: Venue) -> VenueSessions:
        return self._sessions[venue]


CALENDAR = TwoVenues()


@pytest.mark.parametrize(
    ("exchange", "days"), [("NSE", [6, 8]), ("BSE", [6, 8]), ("NASDAQ", [7]), ("NYSE", [7]), ("AMEX", [7])]
)
def test_the_sessions_between_two_dates_are_listed_both_ends_with(exchange: str, days: list[int]) -> None:
    listed = trading_days(CALENDAR, exchange, "2026-01-06", "2026-01-08")
    assert [each.date.day for each in listed.sessions] == days
    assert (listed.known_from, listed.known_through) == (KNOWN_FROM, KNOWN_THROUGH)


def test_one_day_can_be_asked_for() -> None:
    assert len(trading_days(CALENDAR, "NSE", "2026-01-05", "2026-01-05").sessions) == 1
    assert trading_days(CALENDAR, "NSE", "2026-01-07", "2026-01-07").sessions == []


def test_beyond_what_is_known_there_are_no_sessions_and_the_answer_says_where_that_begins() -> None:
    listed = trading_days(CALENDAR, "NSE", "2027-01-01", "2027-12-31")
    assert (listed.sessions, listed.known_through) == ([], KNOWN_THROUGH)


@pytest.mark.parametrize("exchange", ["", "INDEX", "FX", "nse", "LSE", "\x00"])
def test_what_is_no_exchange_is_refused(exchange: str) -> None:
    with pytest.raises(ExchangeUnknown, match="it should be one of NSE, BSE, NASDAQ, NYSE, AMEX"):
        trading_days(CALENDAR, exchange, "2026-01-06", "2026-01-08")


@pytest.mark.parametrize("written", ["", "20260105", "2026-W01-1", "2026-02-30", "2026-1-5", "2026-01-05T00:00", "x"])
def test_what_is_no_date_is_refused(written: str) -> None:
    with pytest.raises(DatesInvalid, match=r"from_date is .*; it should be a day, YYYY-MM-DD"):
        trading_days(CALENDAR, "NSE", written, "2026-01-08")
    with pytest.raises(DatesInvalid, match="to_date is"):
        trading_days(CALENDAR, "NSE", "2026-01-01", written)


def test_dates_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(DatesInvalid, match="from_date 2026-01-08 is after to_date 2026-01-06"):
        trading_days(CALENDAR, "NSE", "2026-01-08", "2026-01-06")


def test_at_most_four_hundred_days_apart_will_do() -> None:
    assert trading_days(CALENDAR, "NSE", "2026-01-01", "2027-02-05").sessions
    with pytest.raises(DatesInvalid, match="to_date is 401 days after from_date; it should be at most 400"):
        trading_days(CALENDAR, "NSE", "2026-01-01", "2027-02-06")
