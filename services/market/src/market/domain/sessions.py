"""When the markets trade, by sessions that a calendar knows; beyond what it knows the answer is None, never a guess."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from market.domain.instruments import Exchange, Instrument, InstrumentKind


class Venue(StrEnum):
    """Exchanges that share hours and holidays."""

    INDIA = "INDIA"
    UNITED_STATES = "UNITED_STATES"
    CURRENCIES = "CURRENCIES"


TIMEZONE_OF_VENUE = {
    Venue.INDIA: ZoneInfo("Asia/Kolkata"),
    Venue.UNITED_STATES: ZoneInfo("America/New_York"),
    Venue.CURRENCIES: ZoneInfo("America/New_York"),
}

_VENUE_OF_EXCHANGE = {
    Exchange.NSE: Venue.INDIA,
    Exchange.BSE: Venue.INDIA,
    Exchange.NASDAQ: Venue.UNITED_STATES,
    Exchange.NYSE: Venue.UNITED_STATES,
    Exchange.AMEX: Venue.UNITED_STATES,
    Exchange.FX: Venue.CURRENCIES,
}

EXCHANGES_WITH_SESSIONS = (Exchange.NSE, Exchange.BSE, Exchange.NASDAQ, Exchange.NYSE, Exchange.AMEX)


def venue_of_exchange(exchange: str) -> Venue:
    """Return where an exchange's instruments trade, given its name; `INDEX` is no exchange of its own."""
    return _VENUE_OF_EXCHANGE[Exchange(exchange)]


def venue_of(instrument: Instrument) -> Venue:
    """Return where an instrument trades; an index follows the exchanges of its currency's country."""
    if instrument.kind is InstrumentKind.INDEX:
        return Venue.INDIA if instrument.currency == "INR" else Venue.UNITED_STATES
    return _VENUE_OF_EXCHANGE[instrument.exchange]


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day of a venue.

    Attributes:
        date: the day it counts for, by the venue's own reckoning.
        opens_at: its first moment.
        closes_at: the first moment after it.
        pauses_at: when its lunch break begins; None where there is none.
        resumes_at: the first moment after the break; None where there is none.
    """

    date: date
    opens_at: datetime
    closes_at: datetime
    pauses_at: datetime | None = None
    resumes_at: datetime | None = None

    def is_open_at(self, moment: datetime) -> bool:
        """Say whether the session runs at `moment`."""
        return self.opens_at <= moment < self.closes_at and not self._pauses_at(moment)

    def _pauses_at(self, moment: datetime) -> bool:
        if self.pauses_at is None or self.resumes_at is None:
            return False
        return self.pauses_at <= moment < self.resumes_at


class KnownSessions:
    """Sessions over the days that a calendar knows, both ends with.

    Args:
        timezone: by which the days are reckoned.
        sessions: in any order, one a date, not overlapping.
        known_from: the first date known.
        known_through: the last date known.
    """

    def __init__(
        self, timezone: ZoneInfo, sessions: Sequence[Session], *, known_from: date, known_through: date
    ) -> None:
        self.timezone = timezone
        self.known_from = known_from
        self.known_through = known_through
        self.sessions = tuple(sorted(sessions, key=lambda session: session.opens_at))
        self._opens = [session.opens_at for session in self.sessions]
        self._known_from = datetime.combine(known_from, time.min, timezone)
        self._known_until = datetime.combine(known_through + timedelta(days=1), time.min, timezone)

    def knows(self, moment: datetime) -> bool:
        """Say whether the calendar reaches `moment`."""
        return self._known_from <= moment < self._known_until

    def is_open_at(self, moment: datetime) -> bool | None:
        """Say whether the venue trades at `moment`; None when the calendar does not reach it."""
        if not self.knows(moment):
            return None
        session = self.last_begun(moment)
        return session is not None and session.is_open_at(moment)

    def last_begun(self, moment: datetime) -> Session | None:
        """Return the newest session that has begun at `moment`, running or over; None when none is known."""
        position = bisect_right(self._opens, moment)
        return self.sessions[position - 1] if position else None

    def last_finished(self, moment: datetime) -> Session | None:
        """Return the newest session that is over at `moment`; None when none is known."""
        position = bisect_right(self._opens, moment)
        finished = [each for each in self.sessions[max(0, position - 2) : position] if each.closes_at <= moment]
        return finished[-1] if finished else None

    def next_open(self, moment: datetime) -> datetime | None:
        """Return when the next session after `moment` opens; None when the calendar does not say."""
        position = bisect_right(self._opens, moment)
        if not self.knows(moment) or position == len(self.sessions):
            return None
        return self.sessions[position].opens_at

    def next_close(self, moment: datetime) -> datetime | None:
        """Return when the session that runs at `moment` closes; None when none runs or the calendar does not say."""
        session = self.last_begun(moment)
        if session is None or not session.is_open_at(moment):
            return None
        return session.closes_at


class VenueSessions(KnownSessions):
    """The sessions of one venue over the days its calendar knows, both ends with.

    Args:
        venue: whose they are.
        sessions: in any order, one a date, not overlapping.
        known_from: the first date known.
        known_through: the last date known.
    """

    def __init__(self, venue: Venue, sessions: Sequence[Session], *, known_from: date, known_through: date) -> None:
        super().__init__(TIMEZONE_OF_VENUE[venue], sessions, known_from=known_from, known_through=known_through)
        self.venue = venue
