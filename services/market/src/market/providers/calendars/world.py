"""When exchanges trade whose instruments we do not have: read from the library when somebody asks, or ahead of that.

One calendar takes between ten milliseconds and, for Korea's, more than a second of a thread's time, so none is read
while the service starts.
"""

import asyncio
from collections.abc import Iterable
from datetime import date, timedelta

from chassis.clock import Clock
from market.domain.exchanges import ExchangeFacts
from market.domain.instruments import Exchange
from market.domain.ports import Calendar
from market.domain.sessions import EXCHANGES_WITH_SESSIONS, KnownSessions, venue_of_exchange
from market.providers.calendars.exchanges import read_schedule

LOOKING_BACK = timedelta(days=60)


class WorldCalendars:
    """The sessions of every exchange; those of ours are the calendar's, which is there from the start.

    Args:
        ours: the calendar of the exchanges with instruments.
        clock: what the time is.
    """

    def __init__(self, ours: Calendar, clock: Clock) -> None:
        self._ours = ours
        self._clock = clock
        self._read: dict[str, KnownSessions] = {}
        # One at a time: who asks for all should not have all threads.
        self._reading = asyncio.Lock()

    async def sessions_of_exchange(self, exchange: ExchangeFacts) -> KnownSessions:
        """Return the sessions of an exchange around today."""
        if exchange.exchange in EXCHANGES_WITH_SESSIONS:
            return self._ours.sessions_of(venue_of_exchange(Exchange(exchange.exchange)))
        async with self._reading:
            if exchange.calendar not in self._read:
                first = self._clock.now().date() - LOOKING_BACK
                self._read[exchange.calendar] = await asyncio.to_thread(read_sessions, exchange, first)
            return self._read[exchange.calendar]

    async def warm(self, exchanges: Iterable[ExchangeFacts]) -> None:
        """Read the calendars of exchanges, one after the other, so that nobody has to wait for them."""
        for each in exchanges:
            await self.sessions_of_exchange(each)


def read_sessions(exchange: ExchangeFacts, first: date) -> KnownSessions:
    """Return an exchange's sessions from a date to the last that the library knows; blocks for up to two seconds."""
    import exchange_calendars  # noqa: PLC0415  # a second of imports that only this function needs

    calendar = exchange_calendars.get_calendar(exchange.calendar, start=first.isoformat())
    return KnownSessions(
        exchange.timezone,
        read_schedule(calendar.schedule),
        known_from=first,
        known_through=calendar.last_session.date(),
    )
