"""Rows at a price: what they cost, what they are worth, and sums that equal their rows to the paisa."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from portfolio.domain.amounts import (
    NO_MONEY,
    ZERO,
    difference,
    money,
    percent_of,
    product,
    rounded,
    scaled,
    total,
    trimmed,
)
from portfolio.domain.differences import DifferencePart, PnlAtSync, explain
from portfolio.domain.prices import MarketView, Price, Pricing, per_unit, pricing_of
from portfolio.domain.rows import BrokerHolding, BrokerPosition, PositionType, Sync
from portfolio.domain.splits import UNCHANGED, quotient

_UNIT_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class PnlComparison:
    """The broker's own P&L beside ours, in money.

    Attributes:
        broker_pnl: the broker's.
        difference: ours less the broker's; None when ours is unknown.
        parts: what the difference is made of.
    """

    broker_pnl: Decimal
    difference: Decimal | None
    parts: Sequence[DifferencePart]


@dataclass(frozen=True, slots=True)
class ValuedHolding:
    """A holding at a price. Figures are money where not said otherwise; None is unknown.

    Attributes:
        row: what the broker said.
        sync: when it said so.
        pricing: the price, and how units changed since.
        quantity: all units, in today's.
        t1_quantity: those of them not settled at the sync, in today's.
        average_price: the mean price paid for one of today's units.
        invested: what the units cost.
        current_value: what they are worth.
        pnl: current_value less invested.
        pnl_percent: pnl in percent of invested.
        day_change: the value's change since the previous close.
        day_change_percent: the same in percent of the value then.
        comparison: the broker's own P&L beside ours; None when it gave none.
    """

    row: BrokerHolding
    sync: Sync
    pricing: Pricing
    quantity: Decimal
    t1_quantity: Decimal
    average_price: Decimal | None
    invested: Decimal | None
    current_value: Decimal | None
    pnl: Decimal | None
    pnl_percent: Decimal | None
    day_change: Decimal | None
    day_change_percent: Decimal | None
    comparison: PnlComparison | None


@dataclass(frozen=True, slots=True)
class ValuedPosition:
    """A position at a price. Figures are money where not said otherwise; None is unknown.

    Attributes:
        row: what the broker said.
        sync: when it said so.
        pricing: the price, and how units changed since.
        quantity: the units, in today's.
        overnight_quantity: those carried from the day before the sync, in today's.
        average_price: the mean price of one of today's units.
        value: what the units are worth, below 0 for a short position.
        pnl: profit or loss.
        comparison: the broker's own P&L beside ours; None when it gave none.
    """

    row: BrokerPosition
    sync: Sync
    pricing: Pricing
    quantity: Decimal
    overnight_quantity: Decimal | None
    average_price: Decimal | None
    value: Decimal | None
    pnl: Decimal | None
    comparison: PnlComparison | None

    @property
    def is_closed(self) -> bool:
        """Say whether nothing of it is open any more."""
        return self.quantity.is_zero()


@dataclass(frozen=True, slots=True)
class HoldingSums:
    """Sums of holdings whose cost and price are known.

    Attributes:
        invested: of their invested.
        current_value: of their current_value.
        pnl: of their pnl.
        pnl_percent: pnl in percent of invested; None when that is 0.
        day_change: of the rows that have one; None when no row has.
        unvalued_count: the rows that are in none of invested, current_value and pnl.
        day_unvalued_count: the rows that are not in day_change.
    """

    invested: Decimal
    current_value: Decimal
    pnl: Decimal
    pnl_percent: Decimal | None
    day_change: Decimal | None
    unvalued_count: int
    day_unvalued_count: int


@dataclass(frozen=True, slots=True)
class PositionSums:
    """Sums of positions.

    Attributes:
        net_pnl: of the net positions' pnl.
        day_pnl: of the day positions' pnl.
        unvalued_count: the rows whose pnl is unknown.
    """

    net_pnl: Decimal
    day_pnl: Decimal
    unvalued_count: int


def value_holding(row: BrokerHolding, sync: Sync, view: MarketView) -> ValuedHolding:
    """Value a holding as of the view's day."""
    pricing = pricing_of(row, sync, view)
    factor = pricing.unit_factor
    invested = None if row.average_price is None else money(product(row.units, row.average_price))
    value = _value(row.units, pricing)
    pnl = None if value is None or invested is None else difference(value, invested)
    day_change, previous_value = _day_change(row.units, pricing)
    return ValuedHolding(
        row=row,
        sync=sync,
        pricing=pricing,
        quantity=in_units(row.units, factor),
        t1_quantity=in_units(row.t1_quantity, factor),
        average_price=None if row.average_price is None else per_unit(row.average_price, factor),
        invested=invested,
        current_value=value,
        pnl=pnl,
        pnl_percent=None if pnl is None or invested is None else percent_of(pnl, invested),
        day_change=day_change,
        day_change_percent=None if day_change is None else percent_of(day_change, previous_value),
        comparison=_compare(row.pnl, pnl, _holding_at_sync(row, pricing), units=row.units),
    )


def value_position(row: BrokerPosition, sync: Sync, view: MarketView) -> ValuedPosition:
    """Value a position as of the view's day."""
    pricing = pricing_of(row, sync, view)
    factor = pricing.unit_factor
    units = product(row.quantity, row.multiplier)
    worth = None if pricing.price is None else _worth(units, pricing.price, factor)
    pnl = _position_pnl(row, worth)
    return ValuedPosition(
        row=row,
        sync=sync,
        pricing=pricing,
        quantity=in_units(row.quantity, factor),
        overnight_quantity=None if row.overnight_quantity is None else in_units(row.overnight_quantity, factor),
        average_price=None if row.average_price is None else per_unit(row.average_price, factor),
        value=None if worth is None else money(worth),
        pnl=pnl,
        comparison=_compare(row.pnl, pnl, _position_at_sync(row, pricing), units=units),
    )


def sum_holdings(holdings: Sequence[ValuedHolding]) -> HoldingSums:
    """Add up rows; sums are of the rounded rows, so that they equal them to the paisa."""
    valued = [each for each in holdings if each.pnl is not None]
    invested = total(each.invested for each in valued if each.invested is not None)
    pnl = total(each.pnl for each in valued if each.pnl is not None)
    day_changes = [each.day_change for each in holdings if each.day_change is not None]
    return HoldingSums(
        invested=invested,
        current_value=total(each.current_value for each in valued if each.current_value is not None),
        pnl=pnl,
        pnl_percent=percent_of(pnl, invested),
        day_change=total(day_changes) if day_changes else None,
        unvalued_count=len(holdings) - len(valued),
        day_unvalued_count=len(holdings) - len(day_changes),
    )


def sum_positions(positions: Sequence[ValuedPosition]) -> PositionSums:
    """Add up rows; sums are of the rounded rows, so that they equal them to the paisa."""
    return PositionSums(
        net_pnl=_sum_of(positions, PositionType.NET),
        day_pnl=_sum_of(positions, PositionType.DAY),
        unvalued_count=sum(each.pnl is None for each in positions),
    )


def in_units(quantity: Decimal, factor: Fraction) -> Decimal:
    """Return what a quantity of old units is in new ones; a fraction of a unit is kept, to six decimals."""
    if factor is UNCHANGED:
        return quantity
    return trimmed(rounded(scaled(quantity, factor), _UNIT_STEP))


def _value(units: Decimal, pricing: Pricing) -> Decimal | None:
    return None if pricing.price is None else money(_worth(units, pricing.price, pricing.unit_factor))


def _worth(units: Decimal, price: Price, unit_factor: Fraction) -> Decimal:
    """Return what the sync's units, as many as they are today, are worth, not rounded."""
    return scaled(product(units, price.last_price), quotient(unit_factor, price.factor))


def _day_change(units: Decimal, pricing: Pricing) -> tuple[Decimal | None, Decimal]:
    """Return the change since the previous close, None without one, and what it is in percent of."""
    price = pricing.price
    if price is None or price.previous_close is None:
        return None, NO_MONEY
    factor = quotient(pricing.unit_factor, price.factor)
    change = scaled(product(units, difference(price.last_price, price.previous_close)), factor)
    return money(change), scaled(product(units, price.previous_close), factor)


def _position_pnl(row: BrokerPosition, worth: Decimal | None) -> Decimal | None:
    """Return the P&L at a worth of the open units.

    A closed position has no worth to be known, and without its buy and sell values nobody can say what it has made:
    its mean price is that of no unit.
    """
    if row.buy_value is not None and row.sell_value is not None:
        if worth is None and not row.quantity.is_zero():
            return None
        return money(total((row.sell_value, row.buy_value.copy_negate(), worth or ZERO)))
    if worth is None or row.average_price is None or row.quantity.is_zero():
        return None
    return money(difference(worth, product(row.quantity, row.multiplier, row.average_price)))


def _compare(
    broker_pnl: Decimal | None, pnl: Decimal | None, at_sync: PnlAtSync | None, *, units: Decimal
) -> PnlComparison | None:
    if broker_pnl is None:
        return None
    theirs = money(broker_pnl)
    if pnl is None:
        return PnlComparison(theirs, None, ())
    amount = difference(pnl, theirs)
    return PnlComparison(theirs, amount, explain(amount, theirs, at_sync, units=units))


def _holding_at_sync(row: BrokerHolding, pricing: Pricing) -> PnlAtSync | None:
    if row.last_price is None or row.average_price is None or pricing.price is None:
        return None
    price_time, corporate_action = _moves(row.units, row.last_price, pricing.price, pricing.unit_factor)
    return PnlAtSync(
        pnl=_pnl_at(row.units, row.last_price, row.average_price),
        settled_pnl=_pnl_at(row.quantity, row.last_price, row.average_price),
        price_time=price_time,
        corporate_action=corporate_action,
    )


def _position_at_sync(row: BrokerPosition, pricing: Pricing) -> PnlAtSync | None:
    if row.last_price is None or pricing.price is None:
        return None
    units = product(row.quantity, row.multiplier)
    pnl = _position_pnl(row, product(units, row.last_price))
    if pnl is None:
        return None
    price_time, corporate_action = _moves(units, row.last_price, pricing.price, pricing.unit_factor)
    return PnlAtSync(pnl=pnl, settled_pnl=pnl, price_time=price_time, corporate_action=corporate_action)


def _pnl_at(units: Decimal, price: Decimal, average_price: Decimal) -> Decimal:
    return difference(money(product(units, price)), money(product(units, average_price)))


def _moves(units: Decimal, broker_price: Decimal, price: Price, unit_factor: Fraction) -> tuple[Decimal, Decimal]:
    """Return what the price's change made of the sync's units, and what the units added since are worth.

    A bonus of one for one halves the price and doubles the units: the first part is about minus half the value, the
    second about plus half, and what the market did is their sum.
    """
    worth = scaled(product(units, price.last_price), quotient(UNCHANGED, price.factor))
    price_time = money(difference(worth, product(units, broker_price)))
    return price_time, NO_MONEY if unit_factor is UNCHANGED else money(scaled(worth, unit_factor - 1))


def _sum_of(positions: Sequence[ValuedPosition], of_type: PositionType) -> Decimal:
    return total(each.pnl for each in positions if each.row.type is of_type and each.pnl is not None)
