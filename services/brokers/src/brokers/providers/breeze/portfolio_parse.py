"""Breeze's holdings, demat holdings and positions as rows of ours.

Holdings know what a stock cost and how much there is of it; demat knows its ISIN and how much of it has settled. Where
they disagree:

- fewer units in demat than in holdings: the rest is bought and not settled yet (T1);
- more units in demat than in holdings: what was sold and not delivered yet, by today's positions or because demat has
  blocked it, is gone; anything else came by a bonus, a split or a transfer that holdings do not show, and is a holding
  of its own at an unknown cost;
- no units in demat: all is T1, the ISIN unknown but for ICICI's list of securities;
- the same stock on NSE and on BSE: two holdings, whose settled units are taken from demat in that order, unless both
  show the same units at the same cost and demat has no room for both: then it is one holding, shown twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from brokers.domain.isins import SecurityDirectory
from brokers.domain.rows import BrokerRows, HoldingRow, PositionRow, PositionType
from brokers.providers.fields import Fields, listed

EXCHANGES = ("NSE", "BSE")
# Derivatives are named after a share of this exchange.
UNDERLYING = {"NFO": "NSE", "BFO": "BSE"}
OPTION_TYPES = {"call": "CE", "ce": "CE", "put": "PE", "pe": "PE"}
ZERO = Decimal(0)
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class _Deposit:
    """What demat holds of one stock, and how much of it is blocked for a delivery."""

    isin: str | None
    units: Decimal
    blocked: Decimal


def parse_portfolio(answer: Any, directory: SecurityDirectory) -> BrokerRows:
    """Return the rows of what the job `breeze_portfolio` brought.

    Args:
        answer: the job's answer.
        directory: what ICICI's codes stand for.

    Raises:
        AnswerUnreadable: a row of it cannot be.
    """
    parts = Fields(answer, where="answer")
    by_exchange = parts.inner("holdings")
    if by_exchange is None:
        raise parts.unreadable("holdings", "is missing")
    deposits = _deposits(listed(answer.get("demat"), where="demat"), directory)
    positions = listed(answer.get("positions"), where="positions")
    shown = [
        _holding(row, exchange)
        for exchange in EXCHANGES
        for row in listed(answer["holdings"].get(exchange), where=f"holdings.{exchange}")
    ]
    held = list(_settled(_without_mirrored(shown, deposits), deposits))
    held += _uncounted(held, deposits, _sold_today(positions), directory)
    return BrokerRows(
        holdings=tuple(_resolved(row, deposits, directory) for row in held),
        positions=tuple(_position(row, directory) for row in positions),
    )


def _deposits(rows: Iterable[Fields], directory: SecurityDirectory) -> dict[str, _Deposit]:
    deposits: dict[str, _Deposit] = {}
    for row in rows:
        isin = row.optional_word("stock_ISIN")
        code = row.optional_word("stock_code") or _code_of(row.word("stock_ISIN"), directory)
        before = deposits.get(code, _Deposit(isin, ZERO, ZERO))
        units, blocked = before.units + row.units("quantity"), before.blocked + row.units("blocked_quantity")
        deposits[code] = _Deposit(before.isin or isin, units, blocked)
    return deposits


def _code_of(isin: str, directory: SecurityDirectory) -> str:
    """Return ICICI's code of what demat gives none for, such as what is listed nowhere: then its ISIN stands in."""
    exchange = directory.exchange_of(isin)
    symbol = directory.resolve(exchange, "", isin).symbol
    return isin if symbol is None else directory.code_of(exchange, symbol) or isin


def _holding(row: Fields, exchange: str) -> HoldingRow:
    """Return a holding under ICICI's own code, with all its units as if they had settled."""
    return HoldingRow(
        exchange=exchange,
        tradingsymbol=row.word("stock_code"),
        product=row.optional_word("product_type"),
        quantity=row.units("quantity"),
        t1_quantity=ZERO,
        average_price=row.optional_owned("average_price"),
        last_price=row.price("current_market_price"),
        pnl=row.optional_amount("unrealized_profit"),
    )


def _without_mirrored(shown: list[HoldingRow], deposits: dict[str, _Deposit]) -> Iterator[HoldingRow]:
    """Leave out what BSE's list repeats of NSE's."""
    first = {_likeness(row) for row in shown if row.exchange == EXCHANGES[0]}
    for row in shown:
        is_same = row.exchange != EXCHANGES[0] and _likeness(row) in first
        deposit = deposits.get(row.tradingsymbol)
        has_room = deposit is not None and deposit.units >= row.quantity * 2
        if not is_same or has_room:
            yield row


def _likeness(row: HoldingRow) -> tuple[str, Decimal, Decimal | None]:
    """Return what a holding has in common with its like on the other exchange."""
    return row.tradingsymbol, row.quantity, row.average_price


def _settled(rows: Iterable[HoldingRow], deposits: dict[str, _Deposit]) -> Iterator[HoldingRow]:
    """Part each holding into what demat has of it and what has not settled yet."""
    left = {code: deposit.units for code, deposit in deposits.items()}
    for row in rows:
        settled = min(row.quantity, left.get(row.tradingsymbol, ZERO))
        left[row.tradingsymbol] = left.get(row.tradingsymbol, ZERO) - settled
        yield replace(row, quantity=settled, t1_quantity=row.quantity - settled)


def _sold_today(positions: Iterable[Fields]) -> dict[str, Decimal]:
    """Return how many units of each stock were sold and still lie in demat."""
    sold: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in positions:
        units = _signed_units(row)
        if row.word("exchange_code") in EXCHANGES and units < 0:
            sold[row.word("stock_code")] -= units
    return sold


def _uncounted(
    held: Iterable[HoldingRow], deposits: dict[str, _Deposit], sold: dict[str, Decimal], directory: SecurityDirectory
) -> Iterator[HoldingRow]:
    """Yield what demat has and holdings do not show."""
    counted: defaultdict[str, Decimal] = defaultdict(Decimal)
    known: dict[str, HoldingRow] = {}
    for row in held:
        counted[row.tradingsymbol] += row.quantity
        known.setdefault(row.tradingsymbol, row)
    for code, deposit in deposits.items():
        units = deposit.units - max(deposit.blocked, sold.get(code, ZERO)) - counted[code]
        if units > 0:
            yield _at_unknown_cost(code, units, known.get(code), exchange=_listed_at(deposit, directory))


def _at_unknown_cost(code: str, units: Decimal, like: HoldingRow | None, *, exchange: str) -> HoldingRow:
    if like is None:
        return HoldingRow(exchange=exchange, tradingsymbol=code, quantity=units, t1_quantity=ZERO)
    return replace(like, quantity=units, t1_quantity=ZERO, average_price=None, pnl=None)


def _listed_at(deposit: _Deposit, directory: SecurityDirectory) -> str:
    return EXCHANGES[0] if deposit.isin is None else directory.exchange_of(deposit.isin)


def _resolved(row: HoldingRow, deposits: dict[str, _Deposit], directory: SecurityDirectory) -> HoldingRow:
    """Give a holding its ISIN and the exchange's symbol, where they are known."""
    code = row.tradingsymbol
    deposit = deposits.get(code)
    found = directory.resolve(row.exchange, code, None if deposit is None else deposit.isin)
    tradingsymbol, broker_code = _named(code, found.symbol)
    return replace(row, tradingsymbol=tradingsymbol, isin=found.isin, broker_code=broker_code)


def _named(code: str, symbol: str | None) -> tuple[str, str | None]:
    """Return the exchange's symbol, ICICI's code where there is none, and that code where it is not the symbol.

    A symbol that is its own code was not resolved, as whoever values the row is to know.
    """
    if symbol is None:
        return code, code
    return symbol, None if symbol == code else code


def _position(row: Fields, directory: SecurityDirectory) -> PositionRow:
    exchange, code = row.word("exchange_code"), row.word("stock_code")
    option_type = OPTION_TYPES.get((row.optional_word("right") or "").lower())
    is_derivative = exchange not in EXCHANGES
    symbol = directory.resolve(UNDERLYING.get(exchange, exchange), code, None).symbol
    tradingsymbol, broker_code = _named(code, symbol)
    return PositionRow(
        type=PositionType.NET,
        exchange=exchange,
        tradingsymbol=tradingsymbol,
        product=row.optional_word("product_type"),
        quantity=_signed_units(row),
        multiplier=ONE,
        average_price=row.optional_amount("average_price"),
        last_price=row.price("ltp") or row.price("price"),
        pnl=row.optional_amount("pnl"),
        expiry=row.day("expiry_date") if is_derivative else None,
        # What is no option has one all the same, 0 or below.
        strike=None if option_type is None else row.optional_owned("strike_price"),
        option_type=option_type,
        broker_code=broker_code,
    )


def _signed_units(row: Fields) -> Decimal:
    """Return the units of a position, below 0 where it was sold; Breeze says so in words."""
    units = row.amount("quantity")
    is_sold = (row.optional_word("action") or "").lower() == "sell"
    return -abs(units) if is_sold else units
