"""What a day ended with, kept for each broker, and the trend that the days make."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby

from portfolio.domain.amounts import percent_of, total
from portfolio.domain.brokers import Broker
from portfolio.domain.prices import MarketView
from portfolio.domain.quotes import QuoteAnswer
from portfolio.domain.rows import PositionType, Sync, SyncedRows
from portfolio.domain.splits import KnownSplits
from portfolio.domain.valuation import (
    ValuedHolding,
    ValuedPosition,
    sum_holdings,
    sum_positions,
    value_holding,
    value_position,
)

# About thirty milliseconds' worth.
ROWS_VALUED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One broker's rows of a user on one day, summed. It is never changed by what happens to units later.

    Attributes:
        user_id: whose rows they are.
        broker: the broker.
        date: the day in India.
        invested: what the holdings cost.
        current_value: what they were worth.
        pnl: the holdings' P&L.
        positions_pnl: the net positions' P&L.
        taken_at: when it was taken.
        is_simulated: whether rows or prices were simulated.
        is_nightly: whether it is at the prices of the day's session, taken after it, and not a sync's.
        unpriced_count: how many rows had only the broker's price, or none.
    """

    user_id: str
    broker: Broker
    date: date
    invested: Decimal
    current_value: Decimal
    pnl: Decimal
    positions_pnl: Decimal
    taken_at: datetime
    is_simulated: bool
    is_nightly: bool
    unpriced_count: int


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One day of all brokers that have a snapshot of it."""

    date: date
    invested: Decimal
    current_value: Decimal
    pnl: Decimal
    pnl_percent: Decimal | None
    positions_pnl: Decimal
    brokers: Sequence[Broker]
    taken_at: datetime
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class ValuedRows:
    """One broker's rows at prices."""

    sync: Sync
    holdings: Sequence[ValuedHolding] = field(default_factory=tuple)
    positions: Sequence[ValuedPosition] = field(default_factory=tuple)


async def value_all(brokers: Sequence[SyncedRows], view: MarketView) -> Sequence[ValuedRows]:
    """Value brokers' rows; so many that others would have to wait are valued in a thread beside them."""
    if sum(len(rows.holdings) + len(rows.positions) for rows in brokers) <= ROWS_VALUED_AT_ONCE:
        return [value_rows(rows, view) for rows in brokers]
    return [await asyncio.to_thread(value_rows, rows, view) for rows in brokers]


def value_rows(rows: SyncedRows, view: MarketView) -> ValuedRows:
    """Value all rows of a sync."""
    return ValuedRows(
        sync=rows.sync,
        holdings=[value_holding(row, rows.sync, view) for row in rows.holdings],
        positions=[value_position(row, rows.sync, view) for row in rows.positions],
    )


async def snapshot_at_sync(rows: SyncedRows) -> Snapshot:
    """Return the snapshot that a sync itself makes: its day, at the broker's own prices."""
    unasked = MarketView(QuoteAnswer({}, frozenset()), KnownSplits(), rows.sync.date)
    (valued,) = await value_all([rows], unasked)
    return snapshot_of(valued, on=rows.sync.date, taken_at=rows.sync.synced_at, is_nightly=False)


def snapshot_of(valued: ValuedRows, *, on: date, taken_at: datetime, is_nightly: bool) -> Snapshot:
    """Sum valued rows into a day's snapshot."""
    holdings = sum_holdings(valued.holdings)
    net = net_positions(valued, on=on)
    pricings = [*(each.pricing for each in valued.holdings), *(each.pricing for each in net)]
    return Snapshot(
        user_id=valued.sync.user_id,
        broker=valued.sync.broker,
        date=on,
        invested=holdings.invested,
        current_value=holdings.current_value,
        pnl=holdings.pnl,
        positions_pnl=sum_positions(net).net_pnl,
        taken_at=taken_at,
        is_simulated=valued.sync.is_simulated,
        is_nightly=is_nightly,
        unpriced_count=sum(pricing.quote is None for pricing in pricings),
    )


def net_positions(valued: ValuedRows, *, on: date) -> Sequence[ValuedPosition]:
    """Return the net positions that count on a day: what was closed or expired before it is not there any more."""
    net = [position for position in valued.positions if position.row.type is PositionType.NET]
    if on <= valued.sync.date:
        return net
    return [each for each in net if not each.is_closed and (each.row.expiry is None or each.row.expiry >= on)]


def trend_of(snapshots: Sequence[Snapshot]) -> Sequence[TrendPoint]:
    """Return one point a day that has a snapshot, oldest first, whatever the order of the snapshots."""
    ordered = sorted(snapshots, key=lambda snapshot: (snapshot.date, snapshot.broker))
    return [_point(day, list(of_day)) for day, of_day in groupby(ordered, key=lambda snapshot: snapshot.date)]


def _point(day: date, snapshots: Sequence[Snapshot]) -> TrendPoint:
    invested = total(snapshot.invested for snapshot in snapshots)
    pnl = total(snapshot.pnl for snapshot in snapshots)
    return TrendPoint(
        date=day,
        invested=invested,
        current_value=total(snapshot.current_value for snapshot in snapshots),
        pnl=pnl,
        pnl_percent=percent_of(pnl, invested),
        positions_pnl=total(snapshot.positions_pnl for snapshot in snapshots),
        brokers=[snapshot.broker for snapshot in snapshots],
        taken_at=max(snapshot.taken_at for snapshot in snapshots),
        is_simulated=any(snapshot.is_simulated for snapshot in snapshots),
    )
