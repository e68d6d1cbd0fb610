"""Kite's holdings and positions as rows of ours."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from brokers.domain.rows import BrokerRows, HoldingRow, PositionRow, PositionType
from brokers.providers.fields import MAX_SYMBOL_LENGTH, AnswerUnreadable, Fields, listed
from brokers.providers.kite.contracts import contract_of

MARGIN_PRODUCT = "MTF"
ZERO = Decimal(0)


def parse_portfolio(answer: Any) -> BrokerRows:
    """Return the rows of what the job `kite_portfolio` brought.

    Raises:
        AnswerUnreadable: a row of it cannot be.
    """
    parts = Fields(answer, where="answer")
    positions = parts.inner("positions")
    if positions is None:
        raise AnswerUnreadable("positions", "is missing")
    return BrokerRows(
        holdings=tuple(_holdings(listed(answer.get("holdings"), where="holdings"))),
        positions=tuple(_positions(answer["positions"])),
    )


def _holdings(rows: Iterable[Fields]) -> Iterator[HoldingRow]:
    for row in rows:
        margin = row.inner("mtf")
        margin_units = ZERO if margin is None else margin.units("quantity")
        own = _holding(row)
        if margin is None or not margin_units:
            yield own
            continue
        # What was bought with borrowed money is counted apart, at a price of its own. Kite's profit is of the rest, if
        # there is any.
        has_rest = bool(own.quantity or own.t1_quantity)
        if has_rest:
            yield own
        yield replace(_margin_holding(row, margin, margin_units), pnl=None if has_rest else own.pnl)


def _holding(row: Fields) -> HoldingRow:
    average_price = row.optional_owned("average_price")
    pledged = row.units("collateral_quantity")
    # An average of 0 is what bonus shares cost; with a discrepancy, Kite says itself that it does not know.
    is_unknown = row.is_set("discrepancy") and not average_price
    return HoldingRow(
        exchange=row.word("exchange"),
        tradingsymbol=row.word("tradingsymbol", max_length=MAX_SYMBOL_LENGTH),
        isin=row.optional_word("isin"),
        product=row.optional_word("product"),
        quantity=_settled_units(row, pledged),
        t1_quantity=row.units("t1_quantity"),
        average_price=None if is_unknown else average_price,
        last_price=row.price("last_price"),
        close_price=row.price("close_price"),
        pnl=row.optional_amount("pnl"),
        collateral_quantity=pledged,
    )


def _settled_units(row: Fields, pledged: Decimal) -> Decimal:
    """Return the settled units, pledged ones included.

    Kite does not document whether `quantity` counts pledged units, and accounts of both kinds are seen: all pledged
    and quantity 0, or pledged as a part of it. The row's own profit says which: it counts all units.
    """
    quantity = row.amount("quantity")
    if quantity < 0:
        raise row.unreadable("quantity", "is below 0")
    if not pledged:
        return quantity
    if pledged > quantity:
        return quantity + pledged
    gain = (row.price("last_price") or ZERO) - (row.optional_owned("average_price") or ZERO)
    pnl = row.optional_amount("pnl")
    if pnl is None or not gain:
        return quantity
    settled = pnl / gain - row.units("t1_quantity")
    is_apart = abs(settled - quantity - pledged) < abs(settled - quantity)
    return quantity + pledged if is_apart else quantity


def _margin_holding(row: Fields, margin: Fields, units: Decimal) -> HoldingRow:
    return HoldingRow(
        exchange=row.word("exchange"),
        tradingsymbol=row.word("tradingsymbol", max_length=MAX_SYMBOL_LENGTH),
        isin=row.optional_word("isin"),
        product=MARGIN_PRODUCT,
        quantity=units,
        t1_quantity=ZERO,
        average_price=margin.optional_owned("average_price"),
        last_price=row.price("last_price"),
        close_price=row.price("close_price"),
    )


def _positions(answer: Any) -> Iterator[PositionRow]:
    for name, kind in (("net", PositionType.NET), ("day", PositionType.DAY)):
        for row in listed(answer.get(name), where=f"positions.{name}"):
            yield _position(row, kind)


def _position(row: Fields, kind: PositionType) -> PositionRow:
    exchange = row.word("exchange")
    tradingsymbol = row.word("tradingsymbol", max_length=MAX_SYMBOL_LENGTH)
    contract = contract_of(exchange, tradingsymbol)
    return PositionRow(
        type=kind,
        exchange=exchange,
        tradingsymbol=tradingsymbol,
        product=row.optional_word("product"),
        quantity=row.amount("quantity"),
        overnight_quantity=row.optional_amount("overnight_quantity"),
        multiplier=row.price("multiplier") or Decimal(1),
        average_price=row.optional_amount("average_price"),
        last_price=row.price("last_price"),
        close_price=row.price("close_price"),
        buy_value=row.optional_amount("buy_value"),
        sell_value=row.optional_amount("sell_value"),
        pnl=row.optional_amount("pnl"),
        m2m=row.optional_amount("m2m"),
        realised=row.optional_amount("realised"),
        unrealised=row.optional_amount("unrealised"),
        expiry=contract.expiry,
        strike=contract.strike,
        option_type=contract.option_type,
    )
