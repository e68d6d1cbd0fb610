"""The domain's values as the contract's messages."""

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from bourse.market.v1 import calendars_pb2, corporate_actions_pb2, instruments_pb2, quotes_pb2, snapshot_pb2
from market.domain.instruments import Instrument, Listing
from market.domain.patterns import Direction
from market.domain.quote_board import QuoteAnswer, QuotedSymbol
from market.domain.quotes import Provenance
from market.domain.signals import Signal
from market.domain.snapshot import IndexLevel, MarketState, SectorChange, Snapshot
from market.domain.splits import Split
from market.domain.trading_days import TradingDays

_LISTINGS = {
    quotes_pb2.LISTING_UNSPECIFIED: Listing.UNSPECIFIED,
    quotes_pb2.LISTING_INDIA: Listing.INDIA,
    quotes_pb2.LISTING_UNITED_STATES: Listing.UNITED_STATES,
    quotes_pb2.LISTING_CURRENCIES: Listing.CURRENCIES,
}
_DIRECTIONS = {
    Direction.BULLISH: snapshot_pb2.SIGNAL_DIRECTION_BULLISH,
    Direction.BEARISH: snapshot_pb2.SIGNAL_DIRECTION_BEARISH,
}


def listing_of(value: "quotes_pb2.Listing.ValueType") -> Listing:
    """Return which market a bare symbol means; a value that is newer than this code counts as unspecified."""
    return _LISTINGS.get(value, Listing.UNSPECIFIED)


def instrument_message(instrument: Instrument) -> instruments_pb2.Instrument:
    """Describe an instrument."""
    return instruments_pb2.Instrument(
        id=instrument.id,
        exchange=instrument.exchange,
        symbol=instrument.symbol,
        name=instrument.name,
        kind=instruments_pb2.InstrumentKind.Value(f"INSTRUMENT_KIND_{instrument.kind.value}"),
        currency=instrument.currency,
        sector=instrument.sector,
    )


def trading_days_message(days: TradingDays) -> calendars_pb2.ListSessionsResponse:
    """Answer with sessions and with how far they are known."""
    return calendars_pb2.ListSessionsResponse(
        sessions=[
            calendars_pb2.TradingSession(
                date=each.date.isoformat(), opens_at=_timestamp(each.opens_at), closes_at=_timestamp(each.closes_at)
            )
            for each in days.sessions
        ],
        known_from=days.known_from.isoformat(),
        known_through=days.known_through.isoformat(),
    )


def splits_message(splits: Iterable[Split]) -> corporate_actions_pb2.ListSplitsResponse:
    """Answer with splits."""
    return corporate_actions_pb2.ListSplitsResponse(
        splits=[
            corporate_actions_pb2.Split(
                instrument=each.instrument,
                ex_date=each.ex_date.isoformat(),
                new_units=each.new_units,
                old_units=each.old_units,
                source=each.source,
            )
            for each in splits
        ]
    )


def quotes_message(answer: QuoteAnswer) -> quotes_pb2.GetQuotesResponse:
    """Answer with quotes and with what is missing."""
    missing = [quotes_pb2.MissingSymbol(symbol=each.symbol, code=each.reason) for each in answer.missing]
    return quotes_pb2.GetQuotesResponse(quotes=[_quote(each) for each in answer.quoted], missing=missing)


def snapshot_message(snapshot: Snapshot) -> snapshot_pb2.GetSnapshotResponse:
    """Answer with the market at a glance."""
    return snapshot_pb2.GetSnapshotResponse(
        nifty=_index_level(snapshot.nifty),
        bank_nifty=_index_level(snapshot.bank_nifty),
        sensex=_index_level(snapshot.sensex),
        signals=[_signal(each) for each in snapshot.signals],
        sectors=[_sector(each) for each in snapshot.sectors],
        market=_market_state(snapshot.market),
        provenance=_provenance(snapshot.provenance),
    )


def _quote(quoted: QuotedSymbol) -> quotes_pb2.Quote:
    quote = quoted.quote
    return quotes_pb2.Quote(
        instrument=quote.instrument.id,
        symbol=quoted.symbol,
        name=quote.instrument.name,
        last_price=quote.last_price,
        previous_close=quote.previous_close,
        change=quote.change,
        change_percent=quote.change_percent,
        open=quote.open,
        high=quote.high,
        low=quote.low,
        volume=quote.volume,
        currency=quote.instrument.currency,
        provenance=_provenance(quote.provenance),
    )


def _provenance(provenance: Provenance | None) -> quotes_pb2.Provenance | None:
    if provenance is None:
        return None
    return quotes_pb2.Provenance(
        source=provenance.source,
        as_of=_timestamp(provenance.as_of),
        freshness=quotes_pb2.Freshness.Value(f"FRESHNESS_{provenance.freshness.value}"),
    )


def _index_level(level: IndexLevel | None) -> snapshot_pb2.IndexLevel | None:
    if level is None:
        return None
    return snapshot_pb2.IndexLevel(
        instrument=level.instrument,
        price=level.price,
        change_percent=level.change_percent,
        provenance=_provenance(level.provenance),
    )


def _sector(sector: SectorChange) -> snapshot_pb2.SectorChange:
    return snapshot_pb2.SectorChange(
        sector=sector.sector, change_percent=sector.change_percent, instruments=sector.instruments
    )


def _signal(signal: Signal) -> snapshot_pb2.Signal:
    interval = signal.interval
    return snapshot_pb2.Signal(
        instrument=signal.instrument,
        pattern=signal.pattern,
        direction=_DIRECTIONS[signal.direction],
        confidence=signal.confidence,
        cases=signal.record.cases,
        confidence_low=None if interval is None else interval.low,
        confidence_high=None if interval is None else interval.high,
        base_rate=signal.base_rate,
        session=signal.session.isoformat(),
    )


def _market_state(state: MarketState) -> snapshot_pb2.MarketState:
    return snapshot_pb2.MarketState(
        is_open=state.is_open,
        as_of=_timestamp(state.as_of),
        next_open=_timestamp(state.next_open),
        next_close=_timestamp(state.next_close),
    )


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
