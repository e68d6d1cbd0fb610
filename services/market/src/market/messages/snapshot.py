"""The market at a glance."""

from bourse.market.v1 import snapshot_pb2
from market.domain.patterns import Direction
from market.domain.signals import Signal
from market.domain.snapshot import IndexLevel, MarketState, SectorChange, Snapshot
from market.messages.provenance import provenance_message, timestamp

_DIRECTIONS = {
    Direction.BULLISH: snapshot_pb2.SIGNAL_DIRECTION_BULLISH,
    Direction.BEARISH: snapshot_pb2.SIGNAL_DIRECTION_BEARISH,
}


def snapshot_message(snapshot: Snapshot) -> snapshot_pb2.GetSnapshotResponse:
    """Answer with the market at a glance."""
    return snapshot_pb2.GetSnapshotResponse(
        nifty=_index_level(snapshot.nifty),
        bank_nifty=_index_level(snapshot.bank_nifty),
        sensex=_index_level(snapshot.sensex),
        signals=[_signal(each) for each in snapshot.signals],
        sectors=[_sector(each) for each in snapshot.sectors],
        market=_market_state(snapshot.market),
        provenance=provenance_message(snapshot.provenance),
    )


def _index_level(level: IndexLevel | None) -> snapshot_pb2.IndexLevel | None:
    if level is None:
        return None
    return snapshot_pb2.IndexLevel(
        instrument=level.instrument,
        price=level.price,
        change_percent=level.change_percent,
        provenance=provenance_message(level.provenance),
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
        as_of=timestamp(state.as_of),
        next_open=timestamp(state.next_open),
        next_close=timestamp(state.next_close),
    )
