"""Stocks as users enter them: read row by row, so that every fault of every row is told at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from chassis.errors import Code, ServiceError
from portfolio.domain.amounts import ZERO, trimmed
from portfolio.domain.row_fields import finite_decimal
from portfolio.domain.symbols import Resolution, SymbolUnknown, symbol_of
from portfolio.domain.wording import listed, shown

MAX_DIGITS_BEFORE, MAX_DIGITS_AFTER = 12, 8
_DIGITS = f"a number with at most {MAX_DIGITS_BEFORE} digits before and {MAX_DIGITS_AFTER} after the point is needed"


class StocksInvalid(ServiceError):
    """Some rows are not what stocks can be; the message names each row and its faults."""

    code = Code.INVALID_ARGUMENT
    reason = "STOCKS_INVALID"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(f"nothing was changed: {listed(faults, separator='; ')}")


@dataclass(frozen=True, slots=True)
class Stock:
    """One stock of a portfolio.

    Attributes:
        symbol: as its owner wrote it, upper case.
        instrument: `EXCHANGE:SYMBOL`.
        quantity: the units, above 0.
        total_cost: what they cost together, 0 or more.
    """

    symbol: str
    instrument: str
    quantity: Decimal
    total_cost: Decimal


@dataclass(frozen=True, slots=True)
class StockEntry:
    """A stock as its owner enters it, all of it text."""

    symbol: str
    quantity: str
    total_cost: str


@dataclass(frozen=True, slots=True)
class StockRow:
    """An entry that was read.

    Attributes:
        label: what messages call the row, which they count from 1.
        symbol: upper case; None when it is none.
        quantity: None when it is no quantity.
        total_cost: None when it is no cost.
        faults: what is wrong with it.
    """

    label: str
    symbol: str | None
    quantity: Decimal | None
    total_cost: Decimal | None
    faults: tuple[str, ...]


def read_rows(entries: Sequence[StockEntry]) -> Sequence[StockRow]:
    """Read entries; what is wrong with one is told in its row."""
    return [_row_of(number, entry) for number, entry in enumerate(entries, 1)]


def stocks_of(rows: Sequence[StockRow], resolution: Resolution) -> Sequence[Stock]:
    """Return the stocks that rows enter.

    Raises:
        StocksInvalid: a row has a fault, names nothing, or names what a row before it names.
    """
    faults: list[str] = []
    stocks: list[Stock] = []
    seen: dict[str, str] = {}
    for row in rows:
        wrong = [*row.faults, *_faults_of_symbol(row, resolution, seen)]
        if wrong:
            faults.append(f"{row.label}: {', '.join(wrong)}")
        else:
            stocks += _stock_of(row, resolution)
    if faults:
        raise StocksInvalid(faults)
    return stocks


def _row_of(number: int, entry: StockEntry) -> StockRow:
    symbol = symbol_of(entry.symbol)
    quantity, total_cost = _amount(entry.quantity), _amount(entry.total_cost)
    faults = [
        None if symbol is not None else "it is no symbol",
        _fault_of_quantity(entry.quantity, quantity),
        _fault_of_cost(entry.total_cost, total_cost),
    ]
    return StockRow(
        label=f"row {number} ({symbol or shown(entry.symbol)})",
        symbol=symbol,
        quantity=quantity,
        total_cost=total_cost,
        faults=tuple(fault for fault in faults if fault is not None),
    )


def _amount(text: str) -> Decimal | None:
    amount = finite_decimal(text)
    if amount is None:
        return None
    short = trimmed(amount)
    exponent = short.as_tuple().exponent
    if short.adjusted() >= MAX_DIGITS_BEFORE or not isinstance(exponent, int) or exponent < -MAX_DIGITS_AFTER:
        return None
    return short


def _fault_of_quantity(text: str, quantity: Decimal | None) -> str | None:
    if quantity is None:
        return f"quantity {shown(text)} cannot be: {_DIGITS}"
    return None if quantity > ZERO else f"quantity {shown(text)} is not above 0"


def _fault_of_cost(text: str, total_cost: Decimal | None) -> str | None:
    if total_cost is None:
        return f"total_cost {shown(text)} cannot be: {_DIGITS}"
    return None if total_cost >= ZERO else f"total_cost {shown(text)} is below 0"


def _faults_of_symbol(row: StockRow, resolution: Resolution, seen: dict[str, str]) -> list[str]:
    """Say what is wrong with what a row names, and note in `seen` that it names it."""
    if row.symbol is None:
        return []
    refusal = resolution.refused.get(row.symbol)
    faults = [] if refusal is None else [_told(refusal)]
    instrument = resolution.found.get(row.symbol)
    identity = row.symbol if instrument is None else instrument.id
    earlier = seen.setdefault(identity, row.label)
    if earlier != row.label:
        faults.append(f"it is the same stock as {earlier}")
    return faults


def _told(refusal: ServiceError) -> str:
    return f"it {refusal.problem}" if isinstance(refusal, SymbolUnknown) else refusal.message


def _stock_of(row: StockRow, resolution: Resolution) -> Sequence[Stock]:
    """Return the one stock of a row without faults; none for one whose symbol nobody could be asked about."""
    instrument = resolution.found.get(row.symbol or "")
    if instrument is None or row.symbol is None or row.quantity is None or row.total_cost is None:
        return []
    return [Stock(row.symbol, instrument.id, row.quantity, row.total_cost)]
