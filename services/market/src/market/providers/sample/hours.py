"""When the simulated venues trade: as their calendar says, and past its last date on every weekday.

Only made-up prices may go on like that; the market's published state keeps to what the calendar knows.
"""

from datetime import UTC, date, datetime, time, timedelta

from market.domain.sessions import TIMEZONE_OF_VENUE, Session, Venue, VenueSessions

SATURDAY = 5
YEARS_AHEAD = timedelta(days=5 * 366)

# The day the session begins relative to its date, then the local times it opens and closes.
USUAL_HOURS = {
    Venue.INDIA: (0, time(9, 15), time(15, 30)),
    Venue.UNITED_STATES: (0, time(9, 30), time(16, 0)),
    Venue.CURRENCIES: (-1, time(17, 0), time(17, 0)),
}


def simulated_sessions(known: VenueSessions, today: date) -> VenueSessions:
    """Return a venue's known sessions, followed by its usual hours on every weekday for five years from today."""
    until = max(today, known.known_through) + YEARS_AHEAD
    days = [known.known_through + timedelta(days=offset + 1) for offset in range((until - known.known_through).days)]
    guessed = [_usual_session(known.venue, day) for day in days if day.weekday() < SATURDAY]
    return VenueSessions(known.venue, [*known.sessions, *guessed], known_from=known.known_from, known_through=until)


def _usual_session(venue: Venue, day: date) -> Session:
    timezone = TIMEZONE_OF_VENUE[venue]
    first_day, opens, closes = USUAL_HOURS[venue]
    opens_at = datetime.combine(day + timedelta(days=first_day), opens, timezone)
    closes_at = datetime.combine(day, closes, timezone)
    return Session(day, opens_at.astimezone(UTC), closes_at.astimezone(UTC))
