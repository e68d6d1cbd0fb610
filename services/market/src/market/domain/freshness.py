"""How far a price can be relied on, by when it was made and whether its venue trades."""

from datetime import datetime, timedelta

from chassis.clock import Clock
from market.domain.instruments import Instrument
from market.domain.ports import Calendar
from market.domain.quotes import Freshness
from market.domain.sessions import venue_of

LIVE_FOR = timedelta(seconds=60)
# How far a venue's clock may be ahead of ours. A price from later than that is not of now.
LONGEST_AHEAD = timedelta(seconds=60)
# Delayed prices come a quarter of an hour late and a little more: so long after a close, the last one is still to come.
LATE_AT_MOST = timedelta(minutes=20)


class SimulatedFreshness:
    """What is made up or replayed stays simulated, however old it is."""

    def of(self, instrument: Instrument, as_of: datetime) -> Freshness:  # noqa: ARG002  # the rule's shape
        """Return SIMULATED."""
        return Freshness.SIMULATED


class SessionFreshness:
    """Prices of real venues without a known delay.

    Args:
        calendar: when the venues trade.
        clock: what the time is.
    """

    def __init__(self, calendar: Calendar, clock: Clock) -> None:
        self._calendar = calendar
        self._clock = clock

    def of(self, instrument: Instrument, as_of: datetime) -> Freshness:
        """Judge a price that was made at `as_of`.

        While the venue trades, and where the calendar does not reach, it is live for a minute and stale afterwards.
        Between sessions it is closed when it is the last session's, and stale when it is older. What is dated more than
        a minute ahead is stale at any time: it would pass for live until its time has come.
        """
        now = self._clock.now()
        if as_of - now > LONGEST_AHEAD:
            return Freshness.STALE
        sessions = self._calendar.sessions_of(venue_of(instrument))
        last = sessions.last_begun(now)
        if sessions.is_open_at(now) is False and last is not None:
            return Freshness.CLOSED if as_of >= last.opens_at else Freshness.STALE
        return Freshness.LIVE if now - as_of <= LIVE_FOR else Freshness.STALE
