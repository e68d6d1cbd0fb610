from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest

from market.domain.sessions import Session, Venue, VenueSessions
from market.providers.calendars.corrections import Correction
from market.providers.calendars.exchanges import correct, currency_sessions, load_calendar, load_exchange


@pytest.fixture(scope="module")
def india() -> VenueSessions:
    return load_exchange(Venue.INDIA)


@pytest.fixture(scope="module")
def united_states() -> VenueSessions:
    return load_exchange(Venue.UNITED_STATES)


def on(day: date, sessions: VenueSessions) -> Session | None:
    return next((each for each in sessions.sessions if each.date == day), None)


def ist(day: date, hour: int, minute: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC) - timedelta(hours=5, minutes=30)


def test_the_indian_day_runs_from_quarter_past_nine_to_half_past_three(india: VenueSessions) -> None:
    day = date(2026, 1, 5)
    assert on(day, india) == Session(day, ist(day, 9, 15), ist(day, 15, 30))


@pytest.mark.parametrize(
    "day", [date(2015, 2, 28), date(2020, 2, 1), date(2025, 2, 1), date(2026, 2, 1), date(2024, 1, 20)]
)
def test_weekend_sessions_are_known(india: VenueSessions, day: date) -> None:
    assert india.is_open_at(ist(day, 12, 0))


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        (date(2014, 10, 23), time(18, 30), time(19, 30)),
        (date(2024, 11, 1), time(18, 0), time(19, 0)),
        (date(2025, 10, 21), time(13, 45), time(14, 45)),
    ],
)
def test_muhurat_is_an_hour_on_a_closed_day(india: VenueSessions, day: date, opens: time, closes: time) -> None:
    assert on(day, india) == Session(day, ist(day, opens.hour, opens.minute), ist(day, closes.hour, closes.minute))
    assert india.is_open_at(ist(day, 10, 0)) is False


@pytest.mark.parametrize("day", [date(2026, 1, 26), date(2024, 1, 22), date(2026, 1, 4)])
def test_holidays_and_sundays_are_closed(india: VenueSessions, day: date) -> None:
    assert india.is_open_at(ist(day, 12, 0)) is False


def test_past_the_last_known_date_india_is_unknown(india: VenueSessions) -> None:
    after = ist(india.known_through + timedelta(days=1), 12, 0)
    assert india.is_open_at(after) is None
    assert india.next_open(after) is None
    assert india.next_open(ist(india.known_through, 16, 0)) is None


def test_new_york_closes_early_after_thanksgiving_and_follows_summer_time(united_states: VenueSessions) -> None:
    assert on(date(2025, 11, 28), united_states) == Session(
        date(2025, 11, 28), datetime(2025, 11, 28, 14, 30, tzinfo=UTC), datetime(2025, 11, 28, 18, tzinfo=UTC)
    )
    july = on(date(2025, 7, 1), united_states)
    assert july is not None
    assert july.opens_at == datetime(2025, 7, 1, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        (datetime(2026, 1, 4, 21, 59, tzinfo=UTC), False),  # Sunday, a minute before five in New York
        (datetime(2026, 1, 4, 22, 0, tzinfo=UTC), True),
        (datetime(2026, 1, 7, 22, 0, tzinfo=UTC), True),
        (datetime(2026, 1, 9, 21, 59, tzinfo=UTC), True),
        (datetime(2026, 1, 9, 22, 0, tzinfo=UTC), False),  # Friday, five in New York
        (datetime(2026, 7, 5, 21, 0, tzinfo=UTC), True),  # Sunday in summer time
    ],
)
def test_currencies_trade_from_sunday_to_friday_evening_in_new_york(moment: datetime, *, is_open: bool) -> None:
    assert currency_sessions(date(2026, 1, 1), date(2026, 12, 31)).is_open_at(moment) is is_open


def test_currency_sessions_follow_each_other_without_a_gap_within_a_week() -> None:
    week = currency_sessions(date(2026, 3, 2), date(2026, 3, 6)).sessions
    assert len(week) == 5
    assert all(earlier.closes_at == later.opens_at for earlier, later in pairwise(week))


def test_a_correction_replaces_adds_and_removes_days_of_its_venue_alone() -> None:
    known = [
        Session(date(2026, 1, day), ist(date(2026, 1, day), 9, 15), ist(date(2026, 1, day), 15, 30)) for day in (5, 6)
    ]
    corrected = correct(
        Venue.INDIA,
        known,
        [
            Correction(Venue.INDIA, date(2026, 1, 5), None, None),
            Correction(Venue.INDIA, date(2026, 1, 6), time(18), time(19)),
            Correction(Venue.INDIA, date(2026, 1, 10), time(9, 15), time(15, 30)),
            Correction(Venue.INDIA, date(2026, 2, 1), time(9, 15), time(15, 30)),
            Correction(Venue.UNITED_STATES, date(2026, 1, 7), time(9, 15), time(15, 30)),
        ],
        known_through=date(2026, 1, 31),
    )
    assert [(each.date.day, each.opens_at) for each in corrected] == [
        (6, ist(date(2026, 1, 6), 18, 0)),
        (10, ist(date(2026, 1, 10), 9, 15)),
    ]


def test_the_calendar_holds_every_venue() -> None:
    calendar = load_calendar(date(2026, 1, 5))
    for venue in Venue:
        assert calendar.sessions_of(venue).venue is venue
        assert calendar.sessions_of(venue).known_from == date(2010, 1, 1)
    assert calendar.sessions_of(Venue.CURRENCIES).known_through == date(2027, 1, 6)
