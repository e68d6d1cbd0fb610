"""What a sync brought, as portfolio is told."""

from datetime import date
from decimal import Decimal

from bourse.portfolio.v1 import syncs_pb2
from brokers.domain.rows import HoldingRow, PositionRow, PositionType
from brokers.domain.syncs import SyncedRows
from brokers.messages import BROKER_MESSAGES, timestamp

_POSITION_TYPES = {
    PositionType.NET: syncs_pb2.POSITION_TYPE_NET,
    PositionType.DAY: syncs_pb2.POSITION_TYPE_DAY,
}


def replace_request(rows: SyncedRows) -> syncs_pb2.ReplaceBrokerRowsRequest:
    """Return what portfolio is asked to keep."""
    return syncs_pb2.ReplaceBrokerRowsRequest(
        sync_id=rows.sync_id,
        user_id=rows.user_id,
        broker=BROKER_MESSAGES[rows.broker],
        started_at=timestamp(rows.started_at),
        synced_at=timestamp(rows.synced_at),
        is_simulated=rows.is_simulated,
        holdings=[_holding(row) for row in rows.rows.holdings],
        positions=[_position(row) for row in rows.rows.positions],
    )


def _holding(row: HoldingRow) -> syncs_pb2.BrokerHolding:
    return syncs_pb2.BrokerHolding(
        exchange=row.exchange,
        tradingsymbol=row.tradingsymbol,
        isin=row.isin,
        product=row.product,
        quantity=_plain(row.quantity),
        t1_quantity=_plain(row.t1_quantity),
        average_price=_optional(row.average_price),
        last_price=_optional(row.last_price),
        close_price=_optional(row.close_price),
        pnl=_optional(row.pnl),
        broker_code=row.broker_code,
        collateral_quantity=_optional(row.collateral_quantity),
    )


def _position(row: PositionRow) -> syncs_pb2.BrokerPosition:
    return syncs_pb2.BrokerPosition(
        type=_POSITION_TYPES[row.type],
        exchange=row.exchange,
        tradingsymbol=row.tradingsymbol,
        product=row.product,
        quantity=_plain(row.quantity),
        overnight_quantity=_optional(row.overnight_quantity),
        multiplier=_plain(row.multiplier),
        average_price=_optional(row.average_price),
        last_price=_optional(row.last_price),
        close_price=_optional(row.close_price),
        buy_value=_optional(row.buy_value),
        sell_value=_optional(row.sell_value),
        pnl=_optional(row.pnl),
        m2m=_optional(row.m2m),
        realised=_optional(row.realised),
        unrealised=_optional(row.unrealised),
        expiry=_day(row.expiry),
        strike=_optional(row.strike),
        option_type=row.option_type,
        broker_code=row.broker_code,
    )


def _plain(amount: Decimal) -> str:
    """Write an amount with the digits it has and without an exponent."""
    return f"{amount:f}"


def _optional(amount: Decimal | None) -> str | None:
    return None if amount is None else _plain(amount)


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
