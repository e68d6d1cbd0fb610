"""An exchange's sessions between two dates, by the calendar alone: no clock, real or replayed, changes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from market.domain.dates import check_stretch, read_date
from market.domain.instruments import ExchangeUnknown
from market.domain.ports import Calendar
from market.domain.sessions import EXCHANGES_WITH_SESSIONS, Session, venue_of_exchange

LONGEST_STRETCH = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class TradingDays:
    """Sessions of an exchange.

    Attributes:
        sessions: those asked for, in order; a known date that is not among them has none.
        known_from: the first date the calendar knows.
        known_through: the last date the calendar knows.
    """

    sessions: Sequence[Session]
    known_from: date
    known_through: date


def trading_days(calendar: Calendar, exchange: str, from_date: str, to_date: str) -> TradingDays:
    """Return the sessions of an exchange, both dates with.

    Args:
        calendar: what is known.
        exchange: its name, `NSE`, `BSE`, `NASDAQ`, `NYSE` or `AMEX`.
        from_date: the first date, `YYYY-MM-DD`.
        to_date: the last date, at most 400 days later.

    Raises:
        ExchangeUnknown: there is no such exchange.
        DatesInvalid: a date is not one, they are the wrong way round or too far apart.
    """
    if exchange not in EXCHANGES_WITH_SESSIONS:
        raise ExchangeUnknown(exchange, EXCHANGES_WITH_SESSIONS)
    first, last = read_date("from_date", from_date), read_date("to_date", to_date)
    check_stretch(first, last, LONGEST_STRETCH)
    known = calendar.sessions_of(venue_of_exchange(exchange))
    return TradingDays(
        sessions=[each for each in known.sessions if first <= each.date <= last],
        known_from=known.known_from,
        known_through=known.known_through,
    )
