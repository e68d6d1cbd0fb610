from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from chassis.clock import ManualClock
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.last_prices import LastPrices
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.reuse import CLOSED_SECONDS, TICKING_SECONDS, VENDOR_SECONDS, Reuse
from market.domain.sessions import Venue, VenueSessions
from market.domain.ticks import Tick, microseconds_of

NOON = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)
TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS Ltd.", InstrumentKind.EQUITY, "INR")

UNKNOWN = date(2000, 1, 1)


def quote(source: str) -> Quote:
    return Quote(TCS, 100.0, Provenance(source, NOON, Freshness.LIVE))


class OneFreshness:
    """Judges everything alike, as it is told."""

    def __init__(self) -> None:
        self.freshness = Freshness.LIVE

    def of(self, instrument: Instrument, as_of: datetime) -> Freshness:
        return self.freshness


@pytest.fixture
def rule() -> OneFreshness:
    return OneFreshness()


@pytest.fixture
def last_prices(rule: OneFreshness) -> LastPrices:
    return LastPrices(rule)


@pytest.fixture
def reuse(rule: OneFreshness, last_prices: LastPrices) -> Reuse:
    clock = ManualClock(NOON)
    return Reuse({"zerodha": 5.0, "icici": 30.0}, last_prices=last_prices, rule=rule, clock=clock)


@pytest.mark.parametrize(("source", "seconds"), [("zerodha", 5.0), ("icici", 30.0)])
def test_an_answer_serves_for_as_long_as_its_source_needs(reuse: Reuse, source: str, seconds: float) -> None:
    assert reuse.again(quote(source), seconds - 0.1) == quote(source)
    assert reuse.again(quote(source), seconds) is None


def test_a_source_that_may_be_asked_at_will_always_is(reuse: Reuse) -> None:
    assert reuse.again(quote("yahoo"), 0.0) is None


@pytest.mark.parametrize(("tick_age", "is_longer"), [(0.0, True), (5.0, True), (5.1, False)])
def test_while_ticks_come_an_answer_serves_longer(
    reuse: Reuse, last_prices: LastPrices, tick_age: float, *, is_longer: bool
) -> None:
    last_prices.record("zerodha", [Tick("NSE:TCS", 101.0, microseconds_of(NOON - timedelta(seconds=tick_age)))])
    assert (reuse.again(quote("zerodha"), TICKING_SECONDS - 0.1) is not None) is is_longer
    assert reuse.again(quote("zerodha"), TICKING_SECONDS) is None
    assert reuse.again(quote("icici"), TICKING_SECONDS - 0.1) is None


def test_between_sessions_it_serves_longest_and_says_so(reuse: Reuse, rule: OneFreshness) -> None:
    rule.freshness = Freshness.CLOSED
    again = reuse.again(quote("zerodha"), CLOSED_SECONDS - 0.1)
    assert again is not None
    assert again.provenance == Provenance("zerodha", NOON, Freshness.CLOSED)
    assert reuse.again(quote("zerodha"), CLOSED_SECONDS) is None


def test_an_answer_is_judged_anew_each_time(reuse: Reuse, rule: OneFreshness) -> None:
    rule.freshness = Freshness.STALE
    again = reuse.again(quote("icici"), 20.0)
    assert again is not None
    assert again.provenance.freshness is Freshness.STALE


class ClosedOn:
    """A calendar by which every venue is closed on a day, or, without one, of which nothing is known."""

    def __init__(self, day: date | None) -> None:
        self.day = day

    def sessions_of(self, venue: Venue) -> VenueSessions:
        return VenueSessions(venue, [], known_from=self.day or UNKNOWN, known_through=self.day or UNKNOWN)


@pytest.mark.parametrize(("day", "seconds"), [(NOON.date(), CLOSED_SECONDS), (None, VENDOR_SECONDS)])
def test_a_calendar_lets_an_old_price_of_a_closed_market_serve_as_long_as_a_new_one(
    rule: OneFreshness, last_prices: LastPrices, day: date | None, seconds: float
) -> None:
    rule.freshness = Freshness.STALE
    clock, calendar = ManualClock(NOON), ClosedOn(day)
    reuse = Reuse({"yahoo": VENDOR_SECONDS}, last_prices=last_prices, rule=rule, clock=clock, calendar=calendar)
    assert reuse.again(quote("yahoo"), seconds - 0.1) is not None
    assert reuse.again(quote("yahoo"), seconds) is None


def test_what_its_source_calls_delayed_stays_so_until_the_last_price_has_come(reuse: Reuse, rule: OneFreshness) -> None:
    delayed = quote("icici").judged(Freshness.DELAYED)
    for rule.freshness in (Freshness.LIVE, Freshness.STALE):
        assert reuse.again(delayed, 20.0) == delayed
    rule.freshness = Freshness.CLOSED
    assert reuse.again(delayed, 20.0) == delayed  # the session's last price is still to come
    assert reuse.again(delayed, 30.0) is None
    past = replace(delayed, provenance=replace(delayed.provenance, as_of=NOON - timedelta(minutes=21)))
    assert reuse.again(past, 31.0) == past.judged(Freshness.CLOSED)


def test_what_a_source_calls_closed_does_not_come_alive(reuse: Reuse, rule: OneFreshness) -> None:
    closed = quote("icici").judged(Freshness.CLOSED)  # by Yahoo's word, on a day off that no calendar knows
    assert reuse.again(closed, 20.0) == closed
    rule.freshness = Freshness.STALE
    assert reuse.again(closed, 20.0) == closed.judged(Freshness.STALE)
