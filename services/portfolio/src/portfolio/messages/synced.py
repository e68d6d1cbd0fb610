"""Messages of what brokers said and what it is worth."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from bourse.brokers.v1 import brokers_pb2
from bourse.market.v1 import quotes_pb2
from bourse.portfolio.v1 import events_pb2, holdings_pb2, pnl_pb2, positions_pb2, syncs_pb2
from chassis.outbox import OutboxEvent
from portfolio.domain.amounts import in_decimals, money, plain
from portfolio.domain.brokers import Broker
from portfolio.domain.portfolios import Holdings, Pnl, Positions
from portfolio.domain.prices import Price
from portfolio.domain.row_fields import MAX_SYMBOL_LENGTH, RowFields, RowsInvalid, require_countable
from portfolio.domain.rows import BrokerHolding, BrokerPosition, PositionType, RowCounts, Sync, SyncedRows
from portfolio.domain.snapshots import TrendPoint
from portfolio.domain.valuation import PnlComparison, ValuedHolding, ValuedPosition
from portfolio.messages.provenance import provenance_message, timestamp_message

SYNCED_SUBJECT = "events.portfolio.synced"

_BROKERS = {brokers_pb2.BROKER_ZERODHA: Broker.ZERODHA, brokers_pb2.BROKER_ICICI: Broker.ICICI}
_BROKER_NUMBERS = {broker: number for number, broker in _BROKERS.items()}
_TYPES = {syncs_pb2.POSITION_TYPE_NET: PositionType.NET, syncs_pb2.POSITION_TYPE_DAY: PositionType.DAY}
_TYPE_NUMBERS = {of_type: number for number, of_type in _TYPES.items()}


def synced_rows_of(request: syncs_pb2.ReplaceBrokerRowsRequest) -> SyncedRows:
    """Return the rows that a request brings.

    Raises:
        RowsInvalid: a field of a row, or of the sync, is not what it may be.
    """
    require_countable("holdings", request.holdings)
    require_countable("positions", request.positions)
    broker = _BROKERS.get(request.broker)
    if broker is None:
        raise RowsInvalid("broker", "it has to be named")
    sync = Sync(
        id=request.sync_id,
        user_id=request.user_id,
        broker=broker,
        started_at=_moment(request, "started_at"),
        synced_at=_moment(request, "synced_at"),
        is_simulated=request.is_simulated,
    )
    return SyncedRows(
        sync=sync,
        holdings=tuple(_holding_of(row, RowFields(f"holdings[{n}]")) for n, row in enumerate(request.holdings)),
        positions=tuple(_position_of(row, RowFields(f"positions[{n}]")) for n, row in enumerate(request.positions)),
    )


def position_type_of(number: int) -> PositionType | None:
    """Return the type that a caller asks for; None when it asks for no single one."""
    return _TYPES.get(number)  # type: ignore[call-overload, no-any-return]  # any number may come over the wire


def synced_event(sync: Sync, counts: RowCounts) -> OutboxEvent:
    """Return the event that tells of a sync; its message id is the sync's id, however often it is told."""
    message = events_pb2.PortfolioSynced(
        sync_id=sync.id,
        user_id=sync.user_id,
        broker=_BROKER_NUMBERS[sync.broker],
        synced_at=timestamp_message(sync.synced_at),
        holdings_count=counts.holdings,
        positions_count=counts.positions,
    )
    return OutboxEvent(
        subject=SYNCED_SUBJECT,
        message_id=sync.id,
        payload=message.SerializeToString(),
        created_at=sync.synced_at,
    )


def holdings_message(holdings: Holdings) -> holdings_pb2.ListHoldingsResponse:
    """Return a user's holdings as others see them."""
    sums = holdings.sums
    return holdings_pb2.ListHoldingsResponse(
        holdings=[_holding_message(row) for row in holdings.rows],
        summary=holdings_pb2.HoldingsSummary(
            total_invested=plain(sums.invested),
            total_current_value=plain(sums.current_value),
            total_pnl=plain(sums.pnl),
            total_pnl_percent=_optional(sums.pnl_percent),
            total_day_change=_optional(sums.day_change),
            unvalued_count=sums.unvalued_count,
            is_simulated=_has_simulated(holdings.syncs),
            day_unvalued_count=sums.day_unvalued_count,
        ),
        is_synced=bool(holdings.syncs),
        syncs=_sync_messages(holdings.syncs),
    )


def positions_message(positions: Positions) -> positions_pb2.ListPositionsResponse:
    """Return a user's positions as others see them."""
    sums = positions.sums
    return positions_pb2.ListPositionsResponse(
        positions=[_position_message(row) for row in positions.rows if not row.is_closed],
        closed=[_position_message(row) for row in positions.rows if row.is_closed],
        summary=positions_pb2.PositionsSummary(
            total_pnl=plain(sums.net_pnl),
            day_pnl=plain(sums.day_pnl),
            unvalued_count=sums.unvalued_count,
            is_simulated=_has_simulated(positions.syncs),
        ),
        is_synced=bool(positions.syncs),
        syncs=_sync_messages(positions.syncs),
    )


def pnl_message(pnl: Pnl, *, days: int) -> pnl_pb2.GetPnlResponse:
    """Return a user's P&L as others see it."""
    return pnl_pb2.GetPnlResponse(
        summary=pnl_pb2.PnlSummary(
            total_invested=plain(pnl.holdings.invested),
            total_current_value=plain(pnl.holdings.current_value),
            total_pnl=plain(pnl.holdings.pnl),
            total_pnl_percent=_optional(pnl.holdings.pnl_percent),
            day_change=_optional(pnl.holdings.day_change),
            positions_pnl=plain(pnl.positions.net_pnl),
            is_simulated=_has_simulated(pnl.syncs),
            day_unvalued_count=pnl.holdings.day_unvalued_count,
        ),
        trend=[_point_message(point) for point in pnl.trend],
        days=days,
        is_synced=bool(pnl.syncs),
        syncs=_sync_messages(pnl.syncs),
    )


def _holding_of(row: syncs_pb2.BrokerHolding, fields: RowFields) -> BrokerHolding:
    return BrokerHolding(
        exchange=fields.word("exchange", row.exchange),
        tradingsymbol=fields.word("tradingsymbol", row.tradingsymbol, max_length=MAX_SYMBOL_LENGTH),
        quantity=fields.owned_amount("quantity", row.quantity),
        t1_quantity=fields.owned_amount("t1_quantity", row.t1_quantity),
        isin=fields.optional_word("isin", _given(row, "isin")),
        product=fields.optional_word("product", _given(row, "product")),
        average_price=fields.optional_owned_amount("average_price", _given(row, "average_price")),
        last_price=fields.optional_amount("last_price", _given(row, "last_price")),
        close_price=fields.optional_amount("close_price", _given(row, "close_price")),
        pnl=fields.optional_amount("pnl", _given(row, "pnl")),
        broker_code=fields.optional_word("broker_code", _given(row, "broker_code"), max_length=MAX_SYMBOL_LENGTH),
        collateral_quantity=fields.optional_amount("collateral_quantity", _given(row, "collateral_quantity")),
    )


def _position_of(row: syncs_pb2.BrokerPosition, fields: RowFields) -> BrokerPosition:
    def amount(field: str) -> Decimal | None:
        return fields.optional_amount(field, _given(row, field))

    of_type = position_type_of(row.type)
    if of_type is None:
        raise fields.invalid("type", "it is net or day")
    return BrokerPosition(
        type=of_type,
        exchange=fields.word("exchange", row.exchange),
        tradingsymbol=fields.word("tradingsymbol", row.tradingsymbol, max_length=MAX_SYMBOL_LENGTH),
        quantity=fields.amount("quantity", row.quantity),
        multiplier=fields.positive_amount("multiplier", row.multiplier),
        product=fields.optional_word("product", _given(row, "product")),
        overnight_quantity=amount("overnight_quantity"),
        average_price=amount("average_price"),
        last_price=amount("last_price"),
        close_price=amount("close_price"),
        buy_value=amount("buy_value"),
        sell_value=amount("sell_value"),
        pnl=amount("pnl"),
        m2m=amount("m2m"),
        realised=amount("realised"),
        unrealised=amount("unrealised"),
        expiry=fields.optional_date("expiry", _given(row, "expiry")),
        strike=amount("strike"),
        option_type=fields.optional_word("option_type", _given(row, "option_type")),
        broker_code=fields.optional_word("broker_code", _given(row, "broker_code"), max_length=MAX_SYMBOL_LENGTH),
    )


def _given(row: Any, field: str) -> str | None:
    return str(getattr(row, field)) if row.HasField(field) else None


def _moment(request: syncs_pb2.ReplaceBrokerRowsRequest, field: str) -> datetime:
    timestamp: Timestamp = getattr(request, field)
    try:
        moment = timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise RowsInvalid(field, "it is no moment") from None
    if not request.HasField(field):  # type: ignore[arg-type]  # both names are the caller's above
        raise RowsInvalid(field, "it is missing")
    return moment


def _holding_message(holding: ValuedHolding) -> holdings_pb2.Holding:
    row, price = holding.row, holding.pricing.price
    return holdings_pb2.Holding(
        broker=_BROKER_NUMBERS[holding.sync.broker],
        exchange=row.exchange,
        tradingsymbol=row.tradingsymbol,
        instrument=row.instrument,
        isin=row.isin,
        product=row.product,
        quantity=plain(holding.quantity),
        t1_quantity=plain(holding.t1_quantity),
        average_price=_optional(holding.average_price),
        last_price=_price(price),
        invested=_optional(holding.invested),
        current_value=_optional(holding.current_value),
        pnl=_optional(holding.pnl),
        pnl_percent=_optional(holding.pnl_percent),
        day_change=_optional(holding.day_change),
        day_change_percent=_optional(holding.day_change_percent),
        broker_pnl=_broker_pnl(holding.comparison),
        pnl_difference=_difference(holding.comparison),
        pnl_differences=_parts(holding.comparison),
        split_factor=_factor(holding.pricing.unit_factor),
        provenance=_provenance(price),
        synced_at=timestamp_message(holding.sync.synced_at),
        is_simulated=holding.sync.is_simulated,
    )


def _position_message(position: ValuedPosition) -> positions_pb2.Position:
    row, price = position.row, position.pricing.price
    return positions_pb2.Position(
        broker=_BROKER_NUMBERS[position.sync.broker],
        type=_TYPE_NUMBERS[row.type],
        exchange=row.exchange,
        tradingsymbol=row.tradingsymbol,
        instrument=row.instrument,
        product=row.product,
        quantity=plain(position.quantity),
        overnight_quantity=_optional(position.overnight_quantity),
        multiplier=plain(row.multiplier),
        average_price=_optional(position.average_price),
        last_price=_price(price),
        value=_optional(position.value),
        pnl=_optional(position.pnl),
        broker_pnl=_broker_pnl(position.comparison),
        pnl_difference=_difference(position.comparison),
        pnl_differences=_parts(position.comparison),
        m2m=_money(row.m2m),
        expiry=None if row.expiry is None else row.expiry.isoformat(),
        strike=_optional(row.strike),
        option_type=row.option_type,
        provenance=_provenance(price),
        synced_at=timestamp_message(position.sync.synced_at),
        is_simulated=position.sync.is_simulated,
    )


def _point_message(point: TrendPoint) -> pnl_pb2.PnlPoint:
    return pnl_pb2.PnlPoint(
        date=point.date.isoformat(),
        total_invested=plain(point.invested),
        total_current_value=plain(point.current_value),
        total_pnl=plain(point.pnl),
        total_pnl_percent=_optional(point.pnl_percent),
        positions_pnl=plain(point.positions_pnl),
        brokers=[_BROKER_NUMBERS[broker] for broker in point.brokers],
        taken_at=timestamp_message(point.taken_at),
        is_simulated=point.is_simulated,
    )


def _sync_messages(syncs: Sequence[Sync]) -> list[holdings_pb2.BrokerSync]:
    return [
        holdings_pb2.BrokerSync(
            broker=_BROKER_NUMBERS[sync.broker],
            synced_at=timestamp_message(sync.synced_at),
            is_simulated=sync.is_simulated,
        )
        for sync in syncs
    ]


def _optional(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(money(amount))


def _price(price: Price | None) -> str | None:
    return None if price is None else plain(price.unit_price)


def _broker_pnl(comparison: PnlComparison | None) -> str | None:
    return None if comparison is None else plain(comparison.broker_pnl)


def _difference(comparison: PnlComparison | None) -> str | None:
    return None if comparison is None else _optional(comparison.difference)


def _parts(comparison: PnlComparison | None) -> list[holdings_pb2.PnlDifference]:
    parts = () if comparison is None else comparison.parts
    return [holdings_pb2.PnlDifference(reason=part.reason.value, amount=plain(part.amount)) for part in parts]


def _factor(factor: Fraction) -> str:
    return plain(in_decimals(factor))


def _provenance(price: Price | None) -> quotes_pb2.Provenance | None:
    return None if price is None else provenance_message(price.provenance)


def _has_simulated(syncs: Sequence[Sync]) -> bool:
    return any(sync.is_simulated for sync in syncs)
