from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.pattern_statistics import TrackRecord
from market.domain.patterns import Direction
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import Session, Venue, VenueSessions
from market.domain.signals import Signal
from market.domain.snapshot import (
    MarketState,
    SectorChange,
    build_snapshot,
    joint_provenance,
    market_state,
    sector_changes,
)

NOON = datetime(2024, 5, 31, 6, 30, tzinfo=UTC)
OPEN = MarketState(is_open=True, as_of=NOON, next_open=None, next_close=NOON + timedelta(hours=3))
LIVE = Provenance("zerodha", NOON, Freshness.LIVE)


def quote(
    instrument_id: str,
    change_percent: float | None = 1.0,
    *,
    sector: str | None = "Energy",
    kind: InstrumentKind = InstrumentKind.EQUITY,
    provenance: Provenance = LIVE,
) -> Quote:
    exchange, symbol = instrument_id.split(":")
    instrument = Instrument(instrument_id, Exchange(exchange), symbol, symbol.title(), kind, "INR", sector)
    previous_close = None if change_percent is None else 100.0
    return Quote(instrument, 100.0 + (change_percent or 0.0), provenance, previous_close=previous_close)


def index(instrument_id: str, change_percent: float | None = 1.0, *, provenance: Provenance = LIVE) -> Quote:
    return quote(instrument_id, change_percent, sector=None, kind=InstrumentKind.INDEX, provenance=provenance)


def by_id(*quotes: Quote) -> dict[str, Quote]:
    return {each.instrument.id: each for each in quotes}


def test_the_three_indices_are_picked_by_name() -> None:
    quotes = by_id(index("INDEX:SENSEX", 0.5), index("INDEX:NIFTY50", -0.25), index("INDEX:BANKNIFTY", None))
    snapshot = build_snapshot(quotes, [], OPEN)
    assert snapshot.nifty is not None
    assert (snapshot.nifty.instrument, snapshot.nifty.price) == ("INDEX:NIFTY50", 99.75)
    assert (snapshot.nifty.change_percent, snapshot.nifty.provenance) == (-0.25, LIVE)
    assert snapshot.sensex is not None
    assert (snapshot.sensex.instrument, snapshot.sensex.change_percent) == ("INDEX:SENSEX", 0.5)
    assert snapshot.bank_nifty is not None
    assert (snapshot.bank_nifty.instrument, snapshot.bank_nifty.change_percent) == ("INDEX:BANKNIFTY", None)


def test_an_index_that_no_source_has_is_none_and_the_rest_stands() -> None:
    snapshot = build_snapshot(by_id(quote("NSE:ONGC", 2.0)), [], OPEN)
    assert (snapshot.nifty, snapshot.bank_nifty, snapshot.sensex) == (None, None, None)
    assert snapshot.sectors == [SectorChange("Energy", 2.0, 1)]
    assert snapshot.market is OPEN


def test_a_sector_is_the_plain_mean_of_its_instruments_strongest_first() -> None:
    quotes = [
        quote("NSE:ONGC", 1.0),
        quote("NSE:TCS", 3.0, sector="Technology"),
        quote("NSE:BPCL", -2.0),
        quote("NSE:IOC", 0.5),
        quote("NSE:ITC", 3.0, sector="Consumer"),
    ]
    assert sector_changes(quotes) == [
        SectorChange("Consumer", 3.0, 1),
        SectorChange("Technology", 3.0, 1),
        SectorChange("Energy", -0.1667, 3),
    ]


def test_quotes_without_a_sector_or_a_previous_close_are_in_no_sector() -> None:
    assert sector_changes([quote("NSE:ONGC", None), quote("NSE:TCS", sector=None)]) == []


def test_only_equities_of_nse_are_in_the_heatmap() -> None:
    others = [
        quote("BSE:ONGC", 9.0),
        quote("NASDAQ:AAPL", 9.0),
        quote("NSE:NIFTYBEES", 9.0, kind=InstrumentKind.FUND),
        quote("NSE:NEW", None),
        quote("NSE:UNSORTED", sector=None),
    ]
    snapshot = build_snapshot(by_id(quote("NSE:ONGC", 1.0), *others), [], OPEN)
    assert snapshot.sectors == [SectorChange("Energy", 1.0, 1)]


def test_what_is_not_shown_does_not_age_the_snapshot() -> None:
    old = replace(LIVE, as_of=NOON - timedelta(days=3), freshness=Freshness.STALE)
    quotes = by_id(index("INDEX:NIFTY50"), quote("NASDAQ:AAPL", provenance=old), index("INDEX:SP500", provenance=old))
    assert build_snapshot(quotes, [], OPEN).provenance == LIVE


def test_the_snapshot_is_as_old_as_its_oldest_price_and_as_fresh_as_its_worst() -> None:
    stale = Provenance("zerodha", NOON - timedelta(minutes=1), Freshness.STALE)
    delayed = Provenance("yahoo", NOON - timedelta(minutes=15), Freshness.DELAYED)
    quotes = by_id(
        index("INDEX:NIFTY50"), index("INDEX:SENSEX", provenance=delayed), quote("NSE:ITC", provenance=stale)
    )
    assert build_snapshot(quotes, [], OPEN).provenance == Provenance("yahoo", delayed.as_of, Freshness.STALE)


def test_one_simulated_price_makes_the_whole_simulated() -> None:
    provenances = [replace(LIVE, freshness=freshness) for freshness in Freshness]
    joint = joint_provenance(provenances)
    assert joint is not None
    assert joint.freshness is Freshness.SIMULATED


def test_every_freshness_can_be_compared() -> None:
    for freshness in Freshness:
        assert joint_provenance([replace(LIVE, freshness=freshness)]) == replace(LIVE, freshness=freshness)


def test_a_snapshot_without_prices_has_no_provenance() -> None:
    assert build_snapshot({}, [], OPEN).provenance is None


def test_the_signals_are_the_strongest_of_those_given() -> None:
    def signal(instrument: str, hits: int) -> Signal:
        record = TrackRecord(cases=1000, hits=hits, base_cases=10_000, base_hits=5_000)
        return Signal(instrument, "hammer", Direction.BULLISH, date(2024, 5, 30), record)

    signals = [signal("NSE:A", 400), signal("NSE:B", 600), signal("NSE:A", 500)]
    snapshot = build_snapshot({}, signals, OPEN)
    assert [(each.instrument, each.confidence) for each in snapshot.signals] == [("NSE:B", 0.6), ("NSE:A", 0.5)]


@pytest.fixture
def sessions() -> VenueSessions:
    opens_at = [datetime(2024, 5, day, 3, 45, tzinfo=UTC) for day in (30, 31)]
    running = [Session(opened.date(), opened, opened + timedelta(hours=6, minutes=15)) for opened in opens_at]
    return VenueSessions(Venue.INDIA, running, known_from=date(2024, 5, 30), known_through=date(2024, 5, 31))


def test_an_open_market_says_when_it_closes(sessions: VenueSessions) -> None:
    assert market_state(sessions, NOON) == MarketState(
        is_open=True, as_of=NOON, next_open=None, next_close=datetime(2024, 5, 31, 10, 0, tzinfo=UTC)
    )


def test_a_closed_market_says_when_it_opens(sessions: VenueSessions) -> None:
    evening = datetime(2024, 5, 30, 12, 0, tzinfo=UTC)
    assert market_state(sessions, evening) == MarketState(
        is_open=False, as_of=evening, next_open=datetime(2024, 5, 31, 3, 45, tzinfo=UTC), next_close=None
    )


def test_beyond_the_calendar_the_market_is_not_said_to_be_open_nor_when_it_opens(sessions: VenueSessions) -> None:
    later = NOON + timedelta(days=30)
    assert market_state(sessions, later) == MarketState(is_open=False, as_of=later, next_open=None, next_close=None)
