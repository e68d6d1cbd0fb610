"""How long answers serve before a source is asked again, by kind and by when the venue trades.

The times are those of the published document's "Caching" section and of its routes. What it does not settle: no answer
of a closed market serves into the next session, intraday bars of a running session serve five minutes of their hour,
and where the calendar does not reach, the venue is taken to trade, so that nothing serves too long by a guess.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.clock import Clock
from market.domain.capabilities import Capability
from market.domain.instruments import Instrument
from market.domain.ports import Calendar
from market.domain.sessions import Venue, VenueSessions, venue_of

PRICES_IN_HOURS = timedelta(seconds=30)
PRICES_OUTSIDE = timedelta(minutes=5)
EXTENDED_HOURS = timedelta(hours=2)
AFTER_MARKET_IN_EXTENDED_HOURS = timedelta(seconds=10)
HISTORY = timedelta(hours=1)
RUNNING_INTRADAY = timedelta(minutes=5)
NO_ANSWER = timedelta(seconds=60)
# After a source failed, what is kept is given for so long before it is asked again.
RETRY = timedelta(seconds=5)

_FIXED = {
    Capability.DAILY_HISTORY: HISTORY,
    Capability.PROFILES: timedelta(hours=24),
    Capability.STATEMENTS: timedelta(hours=24),
    Capability.RATINGS: timedelta(hours=24),
    Capability.DIVIDENDS: timedelta(days=7),
    Capability.NEWS: timedelta(minutes=15),
    Capability.STOCK_NEWS: timedelta(minutes=15),
    Capability.PRESS_RELEASES: timedelta(minutes=15),
    Capability.EARNINGS: timedelta(hours=1),
    Capability.TREASURY: timedelta(hours=1),
}

_STANDS_IN = {
    Capability.QUOTES: timedelta(minutes=15),
    Capability.QUOTE_DETAILS: timedelta(minutes=15),
    Capability.AFTER_MARKET_TRADES: timedelta(minutes=15),
    Capability.AFTER_MARKET_QUOTES: timedelta(minutes=15),
    Capability.INTRADAY_BARS: timedelta(hours=1),
    Capability.DAILY_HISTORY: timedelta(days=1),
    Capability.NEWS: timedelta(days=1),
    Capability.STOCK_NEWS: timedelta(days=1),
    Capability.PRESS_RELEASES: timedelta(days=1),
    Capability.EARNINGS: timedelta(days=1),
    Capability.TREASURY: timedelta(days=3),
    Capability.PROFILES: timedelta(days=7),
    Capability.STATEMENTS: timedelta(days=7),
    Capability.RATINGS: timedelta(days=7),
    Capability.DIVIDENDS: timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class Life:
    """How long one answer is of use.

    Attributes:
        serves_until: from when on a source is asked again.
        stands_in_until: from when on it is not given any more, even though sources fail.
    """

    serves_until: datetime
    stands_in_until: datetime


class Lives:
    """Says how long an answer that was given now serves.

    Args:
        calendar: when the venues trade.
        clock: what the time is.
    """

    def __init__(self, calendar: Calendar, clock: Clock) -> None:
        self._calendar = calendar
        self._clock = clock

    def life_of(self, capability: Capability, instrument: Instrument | None = None) -> Life:
        """Return the life of an answer of now; without an instrument the hours of the United States count."""
        serves_until = self._serves_until(capability, instrument)
        return Life(serves_until, self.stands_in_until(capability, serves_until))

    def stands_in_until(self, capability: Capability, serves_until: datetime) -> datetime:
        """Return how long an answer that served until then stands in for sources that fail."""
        return serves_until + _STANDS_IN[capability]

    def _serves_until(self, capability: Capability, instrument: Instrument | None) -> datetime:
        now = self._clock.now()
        fixed = _FIXED.get(capability)
        if fixed is not None:
            return now + fixed
        venue = Venue.UNITED_STATES if instrument is None else venue_of(instrument)
        sessions = self._calendar.sessions_of(venue)
        if capability in (Capability.AFTER_MARKET_TRADES, Capability.AFTER_MARKET_QUOTES):
            return _after_market_until(sessions, now)
        if capability is Capability.INTRADAY_BARS:
            return _by_hours(sessions, now, in_hours=RUNNING_INTRADAY, outside=HISTORY)
        return prices_until(sessions, now)


def prices_until(sessions: VenueSessions, now: datetime) -> datetime:
    """Return how long a price of `now` serves: 30 seconds in hours, 5 minutes outside and never into a session."""
    return _by_hours(sessions, now, in_hours=PRICES_IN_HOURS, outside=PRICES_OUTSIDE)


def _by_hours(sessions: VenueSessions, now: datetime, *, in_hours: timedelta, outside: timedelta) -> datetime:
    if sessions.is_open_at(now) is not False:
        return now + in_hours
    opens_at = sessions.next_open(now)
    return now + outside if opens_at is None else min(now + outside, opens_at)


def _after_market_until(sessions: VenueSessions, now: datetime) -> datetime:
    """Return ten seconds from now in extended hours, two hours before the next opening otherwise."""
    soon = now + AFTER_MARKET_IN_EXTENDED_HOURS
    last, opens_at = sessions.last_begun(now), sessions.next_open(now)
    if opens_at is None or (last is not None and now < last.closes_at + EXTENDED_HOURS):
        return soon
    return max(soon, opens_at - EXTENDED_HOURS)
