from datetime import UTC, date, datetime, timedelta

import pytest

from portfolio.domain.sessions import KnownSessions, Session, window_around

THURSDAY = datetime(2026, 3, 12, 3, 45, tzinfo=UTC)
HOURS, DAY = timedelta(hours=6, minutes=15), timedelta(days=1)


def session(opens_at: datetime) -> Session:
    return Session(opens_at.date(), opens_at, opens_at + HOURS)


KNOWN = KnownSessions([session(THURSDAY), session(THURSDAY + DAY)], date(2026, 3, 1), date(2026, 3, 15))


@pytest.mark.parametrize(
    ("moment", "closed"),
    [
        (THURSDAY - timedelta(hours=1), None),
        (THURSDAY, None),
        (THURSDAY + HOURS - timedelta(seconds=1), None),
        (THURSDAY + HOURS, date(2026, 3, 12)),
        (THURSDAY + DAY, None),
        (THURSDAY + 2 * DAY, date(2026, 3, 13)),
        (datetime(2026, 3, 15, 18, 29, tzinfo=UTC), date(2026, 3, 13)),
        (datetime(2026, 3, 15, 18, 30, tzinfo=UTC), None),
    ],
)
def test_the_last_session_is_known_between_sessions_and_within_the_calendar(
    moment: datetime, closed: date | None
) -> None:
    last = KNOWN.last_closed(moment)
    assert (None if last is None else last.date) == closed


def test_the_next_session_opens_after_a_moment() -> None:
    assert KNOWN.next_after(THURSDAY) == KNOWN.sessions[1]
    assert KNOWN.next_after(THURSDAY + DAY) is None


def test_a_window_is_of_days_in_india() -> None:
    assert window_around(datetime(2026, 3, 12, 19, 0, tzinfo=UTC), days=2) == (date(2026, 3, 11), date(2026, 3, 15))
