"""NSE's trading days, as far as market's calendar knows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from portfolio.domain.days import day_in_india


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day."""

    date: date
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class KnownSessions:
    """Sessions in order; a date between the known ones that has none is a day without trading.

    Attributes:
        sessions: the sessions.
        known_from: the first date known.
        known_through: the last date known.
    """

    sessions: Sequence[Session]
    known_from: date
    known_through: date

    def knows(self, moment: datetime) -> bool:
        """Say whether the calendar reaches the day of a moment."""
        return self.known_from <= day_in_india(moment) <= self.known_through

    def last_closed(self, moment: datetime) -> Session | None:
        """Return the session that closed last before a moment; None while one is open, and when nobody knows."""
        begun = [session for session in self.sessions if session.opens_at <= moment]
        if not self.knows(moment) or not begun or begun[-1].closes_at > moment:
            return None
        return begun[-1]

    def next_after(self, moment: datetime) -> Session | None:
        """Return the first session that opens after a moment; None when the calendar does not say."""
        return next((session for session in self.sessions if session.opens_at > moment), None)


def window_around(moment: datetime, *, days: int) -> tuple[date, date]:
    """Return the first and last date to ask a calendar for around a moment."""
    today = day_in_india(moment)
    return today - timedelta(days=days), today + timedelta(days=days)
