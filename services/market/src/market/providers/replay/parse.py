"""The bars of a replay file: CSV with the columns `symbol,timestamp,open,high,low,close,volume`, every row checked."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from market.domain.instruments import Exchange, Instrument, InstrumentKind, SymbolInvalid, read_instrument_id, shown

COLUMNS = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
PRICE_LIMIT = Decimal(1_000_000_000)
VOLUME_LIMIT = 10**15
BAR_LENGTH = timedelta(seconds=4)
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
NO_CURRENCY = "XXX"  # ISO 4217 for "no currency"

_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_VOLUME = re.compile(r"[0-9]{1,16}(\.0+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PAIR = re.compile(r"[A-Z]{6}")

_KIND_OF_EXCHANGE = {Exchange.INDEX: InstrumentKind.INDEX, Exchange.FX: InstrumentKind.CURRENCY_PAIR}
_CURRENCY_OF_EXCHANGE = {
    Exchange.NSE: "INR",
    Exchange.BSE: "INR",
    Exchange.NASDAQ: "USD",
    Exchange.NYSE: "USD",
    Exchange.AMEX: "USD",
}


class ReplayFileInvalid(ValueError):
    """A replay file cannot be used; says in which line and why."""

    def __init__(self, line: int, problem: str) -> None:
        self.line = line
        super().__init__(f"the replay file's line {line} is not usable: {problem}")


class ReplayFileUnreadable(ValueError):
    """A replay file cannot be read at all."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"the replay file {path} cannot be read: {problem}")


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: what an instrument did in a day, or in any other stretch of time.

    Attributes:
        instrument: its id, `EXCHANGE:SYMBOL`.
        at: when the bar begins.
        open: its first price, above 0, as are high, low and close.
        high: its highest price.
        low: its lowest price.
        close: its last price.
        volume: units traded, 0 or more.
    """

    instrument: str
    at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


def read_bars(path: Path) -> Sequence[Bar]:
    """Read a replay file, in the file's order; blocks.

    Raises:
        ReplayFileUnreadable: there is no such file, or it is not UTF-8 text.
        ReplayFileInvalid: a row is wrong.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return parse_bars(file)
    except OSError as error:
        raise ReplayFileUnreadable(path, error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise ReplayFileUnreadable(path, "it is not UTF-8 text") from error


def parse_bars(lines: Iterable[str]) -> Sequence[Bar]:
    """Read rows, the header first, in their order.

    Raises:
        ReplayFileInvalid: the header or a row is wrong.
    """
    reader = csv.reader(lines, strict=True)
    numbered: list[tuple[int, Bar]] = []
    try:
        _require_header(next(reader, []))
        numbered += [(reader.line_num, _bar(row, reader.line_num)) for row in reader if row]
    except csv.Error as error:
        raise ReplayFileInvalid(reader.line_num, f"it is not CSV ({error})") from error
    _refuse_overlaps(numbered)
    return [bar for _, bar in numbered]


def instruments_of(bars: Iterable[Bar], known: Mapping[str, Instrument]) -> Sequence[Instrument]:
    """Return each instrument of the bars once, as `known` describes it or else by what its exchange implies."""
    ids = dict.fromkeys(bar.instrument for bar in bars)
    return [known.get(each) or _implied(each) for each in ids]


def _require_header(row: Sequence[str]) -> None:
    names = tuple(name.strip().lower() for name in row)
    if names != COLUMNS:
        found = ",".join(shown(name) for name in row) or "nothing"
        raise ReplayFileInvalid(1, f"the columns are {found}; they should be {','.join(COLUMNS)}")


def _bar(row: Sequence[str], line: int) -> Bar:
    if len(row) != len(COLUMNS):
        raise ReplayFileInvalid(line, f"it has {len(row)} cells; it should have {len(COLUMNS)}")
    cells = dict(zip(COLUMNS, (cell.strip() for cell in row), strict=True))
    prices = {name: _price(name, cells[name], line) for name in ("open", "high", "low", "close")}
    bar = Bar(
        instrument=_instrument(cells["symbol"], line),
        at=_moment(cells["timestamp"], line),
        volume=_volume(cells["volume"], line),
        **prices,
    )
    if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        raise ReplayFileInvalid(line, f"open {bar.open} and close {bar.close} are not within {bar.low} to {bar.high}")
    return bar


def _instrument(cell: str, line: int) -> str:
    try:
        return read_instrument_id(cell)
    except SymbolInvalid as error:
        raise ReplayFileInvalid(line, error.message) from error


def _moment(cell: str, line: int) -> datetime:
    moment = _read_moment(cell, line)
    if moment.tzinfo is None:
        raise ReplayFileInvalid(line, f"timestamp {shown(cell)} does not say its offset from UTC")
    if not EARLIEST <= moment < LATEST:
        raise ReplayFileInvalid(line, f"timestamp {shown(cell)} is not between {EARLIEST.year} and {LATEST.year - 1}")
    return moment.astimezone(UTC)


def _read_moment(cell: str, line: int) -> datetime:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError as error:
        raise ReplayFileInvalid(line, f"timestamp {shown(cell)} is neither a date nor a time") from error
    return moment.replace(tzinfo=UTC) if _DATE.fullmatch(cell) else moment


def _price(name: str, cell: str, line: int) -> Decimal:
    price = Decimal(cell) if _PRICE.fullmatch(cell) else Decimal(0)
    if not 0 < price < PRICE_LIMIT:
        raise ReplayFileInvalid(line, f"{name} {shown(cell)} is not a number above 0 and below {PRICE_LIMIT}")
    return price


def _volume(cell: str, line: int) -> int:
    volume = int(Decimal(cell)) if _VOLUME.fullmatch(cell) else -1
    if not 0 <= volume < VOLUME_LIMIT:
        raise ReplayFileInvalid(line, f"volume {shown(cell)} is not a whole number of 0 or more")
    return volume


def _refuse_overlaps(numbered: Iterable[tuple[int, Bar]]) -> None:
    """Refuse bars of one instrument that are closer than the four ticks each of them becomes."""
    ordered = sorted(numbered, key=lambda each: (each[1].instrument, each[1].at))
    for (_, earlier), (line, later) in pairwise(ordered):
        if earlier.instrument == later.instrument and later.at - earlier.at < BAR_LENGTH:
            problem = f"{later.instrument} already has a bar at {earlier.at.isoformat()}, less than 4 seconds before"
            raise ReplayFileInvalid(line, problem)


def _implied(instrument_id: str) -> Instrument:
    exchange_name, _, symbol = instrument_id.partition(":")
    exchange = Exchange(exchange_name)
    currency = _CURRENCY_OF_EXCHANGE.get(exchange, NO_CURRENCY)
    if exchange is Exchange.FX and _PAIR.fullmatch(symbol):
        currency = symbol[3:]
    kind = _KIND_OF_EXCHANGE.get(exchange, InstrumentKind.EQUITY)
    return Instrument(instrument_id, exchange, symbol, symbol, kind, currency)
