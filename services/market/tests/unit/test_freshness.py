from datetime import UTC, date, datetime, timedelta

import pytest

from chassis.clock import ManualClock
from market.domain.freshness import SessionFreshness, SimulatedFreshness
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quotes import Freshness
from market.domain.sessions import Session, Venue, VenueSessions

TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS Ltd.", InstrumentKind.EQUITY, "INR")
NIFTY = Instrument("INDEX:NIFTY50", Exchange.INDEX, "NIFTY50", "NIFTY 50", InstrumentKind.INDEX, "INR")
HOURS = timedelta(hours=6, minutes=15)
FRIDAY = datetime(2026, 1, 2, 3, 45, tzinfo=UTC)
MONDAY = datetime(2026, 1, 5, 3, 45, tzinfo=UTC)


class IndianCalendar:
    """Knows two sessions, a Friday's and the Monday's after it."""

    def __init__(self, known_from: date = date(2026, 1, 1)) -> None:
        sessions = [Session(opens.date(), opens, opens + HOURS) for opens in (FRIDAY, MONDAY)]
        self._sessions = VenueSessions(
            Venue.INDIA,
            [each for each in sessions if each.date >= known_from],
            known_from=known_from,
            known_through=date(2026, 1, 5),
        )

    def sessions_of(self, venue: Venue) -> VenueSessions:
        assert venue is Venue.INDIA
        return self._sessions


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("instrument", [TCS, NIFTY])
@pytest.mark.parametrize(
    ("now", "as_of", "freshness"),
    [
        (MONDAY + 60 * SECOND, MONDAY, Freshness.LIVE),
        (MONDAY + 61 * SECOND, MONDAY, Freshness.STALE),
        (MONDAY + SECOND, MONDAY + 2 * SECOND, Freshness.LIVE),
        (MONDAY + SECOND, MONDAY + 61 * SECOND, Freshness.LIVE),
        (MONDAY + SECOND, MONDAY + 62 * SECOND, Freshness.STALE),
        (MONDAY, FRIDAY + HOURS, Freshness.STALE),
        (MONDAY + HOURS, MONDAY + HOURS - SECOND, Freshness.CLOSED),
        (MONDAY + HOURS, MONDAY, Freshness.CLOSED),
        (MONDAY + HOURS, MONDAY + HOURS + 61 * SECOND, Freshness.STALE),
        (MONDAY + HOURS, FRIDAY + HOURS, Freshness.STALE),
        (MONDAY - SECOND, FRIDAY + HOURS + SECOND, Freshness.CLOSED),
        (MONDAY - SECOND, FRIDAY - SECOND, Freshness.STALE),
        # Past what the calendar knows nothing is said to be closed.
        (MONDAY + timedelta(days=1), MONDAY + timedelta(days=1) - SECOND, Freshness.LIVE),
        (MONDAY + timedelta(days=1), MONDAY + HOURS, Freshness.STALE),
    ],
)
def test_a_price_is_judged_by_its_age_and_its_venue_s_hours(
    instrument: Instrument, now: datetime, as_of: datetime, freshness: Freshness
) -> None:
    assert SessionFreshness(IndianCalendar(), ManualClock(now)).of(instrument, as_of) is freshness


def test_before_the_first_known_session_nothing_is_said_to_be_closed() -> None:
    now = MONDAY - timedelta(hours=1)
    rule = SessionFreshness(IndianCalendar(known_from=date(2026, 1, 5)), ManualClock(now))
    assert rule.of(TCS, now) is Freshness.LIVE


def test_what_is_made_up_stays_simulated() -> None:
    assert SimulatedFreshness().of(TCS, datetime(2010, 1, 4, tzinfo=UTC)) is Freshness.SIMULATED
