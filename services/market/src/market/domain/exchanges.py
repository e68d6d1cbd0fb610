"""Exchanges: what is known of them, and how today's hours follow from their sessions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from chassis.errors import Code, ServiceError
from market.domain.instruments import shown
from market.domain.sessions import KnownSessions, Session

# How many sessions on each side say when an exchange usually closes.
USUAL_SESSIONS = 20
NOON = 12

# Names people use for exchanges beside our own and the ISO 10383 code.
OTHER_NAMES = {
    "BOVESPA": "B3",
    "BVMF": "B3",
    "DAX": "XETRA",
    "HKEX": "HKSE",
    "KRX": "KSC",
    "NYSEAMERICAN": "AMEX",
    "PARIS": "EURONEXT",
    "SAO": "B3",
    "SGX": "SES",
    "SSE": "SHH",
    "SZSE": "SHZ",
    "TSE": "JPX",
    "TWSE": "TAI",
}


class NoSuchExchange(ServiceError):
    """There is no such exchange."""

    code = Code.NOT_FOUND
    reason = "EXCHANGE_UNKNOWN"

    def __init__(self, exchange: str, known: Iterable[str]) -> None:
        super().__init__(f"{shown(exchange)} names no exchange; it should be one of {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class ExchangeFacts:
    """What does not change from day to day.

    Attributes:
        exchange: its short name, upper case.
        name: its name in full.
        country_name: the country's name.
        country_code: the country's ISO 3166 code of two letters.
        symbol_suffix: what vendors append to its symbols; None where they append nothing.
        mic: its ISO 10383 code.
        timezone: by which it reckons its days.
        currency: the ISO 4217 code of its prices.
        calendar: the name under which the calendar library has its hours.
    """

    exchange: str
    name: str
    country_name: str
    country_code: str
    symbol_suffix: str | None
    mic: str
    timezone: ZoneInfo
    currency: str
    calendar: str


class ExchangeList:
    """All exchanges that can be asked about.

    Args:
        exchanges: in the order they are listed.
    """

    def __init__(self, exchanges: Sequence[ExchangeFacts]) -> None:
        self.exchanges = tuple(exchanges)
        self._by_name = {each.exchange: each for each in exchanges}
        self._names = {each.mic: each.exchange for each in exchanges} | OTHER_NAMES

    def find(self, name: str) -> ExchangeFacts:
        """Return the exchange of a name, in any case: ours, its ISO 10383 code or another usual one.

        Raises:
            NoSuchExchange: there is none.
        """
        wanted = name.upper()
        found = self._by_name.get(wanted) or self._by_name.get(self._names.get(wanted, ""))
        if found is None:
            raise NoSuchExchange(name, self._by_name)
        return found

    def find_all(self, names: Sequence[str]) -> Sequence[ExchangeFacts]:
        """Return the exchanges of names, in the order asked, duplicates folded; all when none is named.

        Raises:
            NoSuchExchange: one of them is none.
        """
        return list(dict.fromkeys(map(self.find, names))) if names else self.exchanges


@dataclass(frozen=True, slots=True)
class ExchangeHours:
    """An exchange's trading day: today's, or the next one's when today has none. None is what is not known.

    Attributes:
        exchange: whose hours they are.
        is_open: whether it trades now.
        session: the day; None when the calendar does not reach so far.
        is_early_close: whether it closes earlier that day than usual.
        next_open: when it opens next.
        next_close: when it closes next.
    """

    exchange: ExchangeFacts
    is_open: bool | None = None
    session: Session | None = None
    is_early_close: bool | None = None
    next_open: datetime | None = None
    next_close: datetime | None = None

    @property
    def opening_hour(self) -> str | None:
        """Return when the day begins, such as `09:30 AM -05:00`."""
        return None if self.session is None else hour(self.session.opens_at, self.exchange.timezone)

    @property
    def closing_hour(self) -> str | None:
        """Return when the day ends, in the same form."""
        return None if self.session is None else hour(self.session.closes_at, self.exchange.timezone)


def hours_of(exchange: ExchangeFacts, sessions: KnownSessions, now: datetime) -> ExchangeHours:
    """Return the hours of the day that `now` falls on, or of the next one with a session; past the calendar nothing."""
    if not sessions.knows(now):
        return ExchangeHours(exchange)
    today = now.astimezone(exchange.timezone).date()
    coming = [each for each in sessions.sessions if each.date >= today]
    session = coming[0] if coming else None
    return ExchangeHours(
        exchange=exchange,
        is_open=sessions.is_open_at(now),
        session=session,
        is_early_close=None if session is None else _closes_early(session, sessions),
        next_open=sessions.next_open(now),
        next_close=next((each.closes_at for each in coming if each.closes_at > now), None),
    )


def _closes_early(session: Session, sessions: KnownSessions) -> bool:
    """Say whether a session closes before the time of day at which most sessions around it close."""
    position = sessions.sessions.index(session)
    around = sessions.sessions[max(0, position - USUAL_SESSIONS) : position + USUAL_SESSIONS + 1]
    closes = [_time_of_day(each.closes_at, sessions.timezone) for each in around]
    usual, _ = Counter(closes).most_common(1)[0]
    return _time_of_day(session.closes_at, sessions.timezone) < usual


def _time_of_day(moment: datetime, timezone: ZoneInfo) -> time:
    return moment.astimezone(timezone).time()


def hour(moment: datetime, timezone: ZoneInfo) -> str:
    """Return the time of day at a place, with how far it is from UTC that day: `09:30 AM -05:00`."""
    local = moment.astimezone(timezone)
    half = "AM" if local.hour < NOON else "PM"
    return f"{local.hour % NOON or NOON:02d}:{local.minute:02d} {half} {local.isoformat()[-6:]}"
