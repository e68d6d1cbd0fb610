"""The calendar of every venue, built once at start.

Importing `exchange_calendars` (and with it pandas) costs about a second, so it happens inside `load_calendar`, which is
meant for a worker thread.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from market.domain.sessions import TIMEZONE_OF_VENUE, Session, Venue, VenueSessions
from market.providers.calendars.corrections import CORRECTIONS, Correction

HISTORY_FROM = date(2010, 1, 1)
CURRENCY_HORIZON = timedelta(days=366)
CURRENCY_DAY_ENDS = time(17, 0)
SATURDAY = 5

# NSE and BSE share holidays and hours, and XBOM is the one of the two that the library has.
LIBRARY_NAME_OF_VENUE = {Venue.INDIA: "XBOM", Venue.UNITED_STATES: "XNYS"}


class ExchangeCalendar:
    """Sessions of every venue, held in memory."""

    def __init__(self, sessions: Mapping[Venue, VenueSessions]) -> None:
        self._sessions = dict(sessions)

    def sessions_of(self, venue: Venue) -> VenueSessions:
        """Return the sessions of a venue over the days that are known."""
        return self._sessions[venue]


def load_calendar(today: date) -> ExchangeCalendar:
    """Read the library's calendars, correct them and add the currencies' own; blocks for about a second."""
    loaded = {venue: load_exchange(venue) for venue in LIBRARY_NAME_OF_VENUE}
    loaded[Venue.CURRENCIES] = currency_sessions(HISTORY_FROM, today + CURRENCY_HORIZON)
    return ExchangeCalendar(loaded)


def load_exchange(venue: Venue, corrections: Iterable[Correction] = CORRECTIONS) -> VenueSessions:
    """Return an exchange's sessions from 2010 to the last date the library knows, corrected."""
    import exchange_calendars  # noqa: PLC0415  # a second of imports that only this function needs

    calendar = exchange_calendars.get_calendar(LIBRARY_NAME_OF_VENUE[venue], start=HISTORY_FROM.isoformat())
    sessions = read_schedule(calendar.schedule)
    known_through = calendar.last_session.date()
    corrected = correct(venue, sessions, corrections, known_through=known_through)
    return VenueSessions(venue, corrected, known_from=HISTORY_FROM, known_through=known_through)


def read_schedule(schedule: Any) -> list[Session]:
    """Return the sessions of one of the library's schedules, lunch breaks with."""
    columns = schedule[["open", "close", "break_start", "break_end"]]
    return [
        Session(
            date=day.date(),
            opens_at=opens.to_pydatetime(),
            closes_at=closes.to_pydatetime(),
            pauses_at=_known(pauses),
            resumes_at=_known(resumes),
        )
        for day, opens, closes, pauses, resumes in columns.itertuples()
    ]


def _known(moment: Any) -> datetime | None:
    """Return one of pandas' moments, of which a missing one is unequal to itself."""
    known: datetime | None = moment.to_pydatetime() if moment == moment else None  # noqa: PLR0124  # says it is there
    return known


def correct(
    venue: Venue, sessions: Iterable[Session], corrections: Iterable[Correction], *, known_through: date
) -> list[Session]:
    """Return the sessions with the venue's corrections in place of what they contradict."""
    by_date = {session.date: session for session in sessions}
    timezone = TIMEZONE_OF_VENUE[venue]
    for each in corrections:
        if each.venue is not venue or each.date > known_through:
            continue
        by_date.pop(each.date, None)
        if each.opens is not None and each.closes is not None:
            by_date[each.date] = Session(
                date=each.date,
                opens_at=_moment(each.date, each.opens, timezone),
                closes_at=_moment(each.date, each.closes, timezone),
            )
    return list(by_date.values())


def currency_sessions(first: date, last: date) -> VenueSessions:
    """Return the sessions of currency pairs: each weekday, from 17:00 in New York the evening before to 17:00."""
    timezone = TIMEZONE_OF_VENUE[Venue.CURRENCIES]
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    sessions = [
        Session(
            date=day,
            opens_at=_moment(day - timedelta(days=1), CURRENCY_DAY_ENDS, timezone),
            closes_at=_moment(day, CURRENCY_DAY_ENDS, timezone),
        )
        for day in days
        if day.weekday() < SATURDAY
    ]
    return VenueSessions(Venue.CURRENCIES, sessions, known_from=first, known_through=last)


def _moment(day: date, clock_time: time, timezone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock_time, timezone).astimezone(UTC)
