"""When the simulated venues trade: as their calendar says, and before and after what it knows on every weekday.

Only made-up prices may go on like that; the market's published state keeps to what the calendar knows.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

import numpy as np
import numpy.typing as npt

from market.domain.sessions import TIMEZONE_OF_VENUE, Session, Venue, VenueSessions
from market.domain.ticks import microseconds_of
from market.providers.sample.daily import FIRST_PAST_DAY, day_number

SATURDAY = 5
YEARS_AHEAD = timedelta(days=5 * 366)

# The day the session begins relative to its date, then the local times it opens and closes.
USUAL_HOURS = {
    Venue.INDIA: (0, time(9, 15), time(15, 30)),
    Venue.UNITED_STATES: (0, time(9, 30), time(16, 0)),
    Venue.CURRENCIES: (-1, time(17, 0), time(17, 0)),
}


@dataclass(frozen=True, slots=True, eq=False)
class SessionTimes:
    """Sessions of one venue as columns of equal length, oldest first.

    Attributes:
        dates: the days they count for, `datetime64[D]`.
        rows: those days counted from FIRST_DAY, negative before it.
        opens: their first moments, in microseconds since 1970.
        closes: the first moments after them.
    """

    dates: npt.NDArray[np.datetime64]
    rows: npt.NDArray[np.int64]
    opens: npt.NDArray[np.int64]
    closes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, sessions: VenueSessions) -> Self:
        """Return the sessions from FIRST_PAST_DAY on."""
        trading = [each for each in sessions.sessions if each.date >= FIRST_PAST_DAY]
        return cls(
            dates=np.array([each.date for each in trading], dtype="datetime64[D]"),
            rows=np.array([day_number(each.date) for each in trading], dtype=np.int64),
            opens=np.array([microseconds_of(each.opens_at) for each in trading], dtype=np.int64),
            closes=np.array([microseconds_of(each.closes_at) for each in trading], dtype=np.int64),
        )

    def between(self, first: date, last: date) -> range:
        """Return the positions of the sessions from `first` to `last`, both with."""
        begin = int(np.searchsorted(self.dates, np.datetime64(first), side="left"))
        return range(begin, max(begin, int(np.searchsorted(self.dates, np.datetime64(last), side="right"))))

    def begun(self, moment: int) -> int:
        """Return how many sessions have begun at a moment, running or over."""
        return int(np.searchsorted(self.opens, moment, side="right"))

    def finished(self, moment: int) -> int:
        """Return how many sessions are over at a moment."""
        return int(np.searchsorted(self.closes, moment, side="right"))


def simulated_sessions(known: VenueSessions, today: date) -> VenueSessions:
    """Return a venue's known sessions, amid its usual hours on every weekday from FIRST_PAST_DAY to in five years."""
    until = max(today, known.known_through) + YEARS_AHEAD
    before = _weekday_sessions(known.venue, FIRST_PAST_DAY, known.known_from)
    after = _weekday_sessions(known.venue, known.known_through + timedelta(days=1), until + timedelta(days=1))
    first = min(FIRST_PAST_DAY, known.known_from)
    return VenueSessions(known.venue, [*before, *known.sessions, *after], known_from=first, known_through=until)


def _weekday_sessions(venue: Venue, first: date, end: date) -> list[Session]:
    days = [first + timedelta(days=offset) for offset in range((end - first).days)]
    return [_usual_session(venue, day) for day in days if day.weekday() < SATURDAY]


def _usual_session(venue: Venue, day: date) -> Session:
    timezone = TIMEZONE_OF_VENUE[venue]
    first_day, opens, closes = USUAL_HOURS[venue]
    opens_at = datetime.combine(day + timedelta(days=first_day), opens, timezone)
    closes_at = datetime.combine(day, closes, timezone)
    return Session(day, opens_at.astimezone(UTC), closes_at.astimezone(UTC))
