"""What a summary tells: lines, sums and movers. Made-up prices are never summed with real ones, nor two currencies.

It fetches nothing and words nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import groupby

from chassis.errors import Code, ServiceError
from portfolio.domain.amounts import difference, money, percent_of, product, total
from portfolio.domain.brokers import Broker
from portfolio.domain.manual_portfolios import ManualPortfolio
from portfolio.domain.prices import Pricing
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.domain.rows import PositionType, Sync
from portfolio.domain.snapshots import ValuedRows
from portfolio.domain.stock_entries import Stock
from portfolio.domain.valuation import ValuedHolding, ValuedPosition
from portfolio.domain.value_series import MissingSeries, ValueSeries

RUPEES = "INR"
MAX_MOVERS = 5


class PricesUnavailable(ServiceError):
    """Nothing of what a user has can be priced, because nobody answers."""

    code = Code.UNAVAILABLE
    reason = "PRICES_UNAVAILABLE"
    retry_after_seconds = 5.0

    def __init__(self) -> None:
        super().__init__("no price of anything in the portfolios can be had just now; try again shortly")


class Reality(StrEnum):
    """How much of what is told is made up."""

    REAL = "real"
    MIXED = "mixed"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Line:
    """One held instrument at its price. Figures are money where not said otherwise; None is unknown.

    Attributes:
        instrument: `EXCHANGE:SYMBOL`.
        symbol: as its owner or the broker writes it.
        quantity: the units; 0 for a closed position, below 0 for a short one.
        currency: of all its figures; None where nothing is known of it.
        price: a unit's.
        invested: what the units cost; None for positions.
        value: what they are worth.
        pnl: profit or loss.
        pnl_percent: the same in percent of invested.
        day_change: the value's change since the previous close; None for positions.
        day_percent: the price's change since the previous close, in percent.
        provenance: where the price comes from.
    """

    instrument: str
    symbol: str
    quantity: Decimal
    currency: str | None
    price: Decimal | None
    invested: Decimal | None
    value: Decimal | None
    pnl: Decimal | None
    pnl_percent: Decimal | None
    day_change: Decimal | None
    day_percent: Decimal | None
    provenance: Provenance | None

    @property
    def is_simulated(self) -> bool:
        """Say whether the price is made up."""
        return self.provenance is not None and self.provenance.freshness is Freshness.SIMULATED


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of the lines of one currency whose cost and price are known, real ones or simulated ones.

    Attributes:
        currency: its ISO 4217 code.
        is_simulated: whether their prices are made up.
        count: how many lines they are.
        invested: what they cost.
        value: what they are worth.
        pnl: value less invested.
        pnl_percent: pnl in percent of invested; None when that is 0.
        day_change: of the lines that have one; None when none has.
        day_percent: the same in percent of what these were worth at the previous close; None when that is 0.
    """

    currency: str
    is_simulated: bool
    count: int
    invested: Decimal
    value: Decimal
    pnl: Decimal
    pnl_percent: Decimal | None
    day_change: Decimal | None
    day_percent: Decimal | None


@dataclass(frozen=True, slots=True)
class Section:
    """What one broker, or one portfolio of the user's own, holds.

    Attributes:
        name: the broker's, or what the user calls the portfolio.
        lines: in the broker's or the owner's order.
        totals: by currency, real before simulated.
        unpriced_count: the lines without a price, which are in no sum.
        uncosted_count: those with a price and without a cost, which are in no sum either.
        sync: when the broker said so; None for a portfolio of the user's own.
    """

    name: str
    lines: Sequence[Line]
    totals: Sequence[Totals]
    unpriced_count: int
    uncosted_count: int
    sync: Sync | None = None


@dataclass(frozen=True, slots=True)
class PositionSection:
    """The net positions at one broker, in rupees.

    Attributes:
        broker: the broker.
        lines: in its order, closed ones with them.
        pnl: of the lines whose own is known.
        unvalued_count: the lines whose pnl is unknown.
        sync: when the broker said so.
    """

    broker: Broker
    lines: Sequence[Line]
    pnl: Decimal
    unvalued_count: int
    sync: Sync


@dataclass(frozen=True, slots=True)
class Mover:
    """An instrument that is held, and how far its price has come since the previous close, in percent."""

    line: Line
    percent: Decimal


@dataclass(frozen=True, slots=True)
class Summary:
    """All that is told.

    Attributes:
        at: when it was gathered.
        holdings: by broker.
        positions: by broker.
        own: the user's own portfolios, oldest first.
        totals: of all holdings and own portfolios, by currency, real before simulated; positions are not in them.
        unpriced_count: the lines of these without a price, which are in no sum.
        uncosted_count: those with a price and without a cost, which are in no sum either.
        twice_count: how many instruments are in own portfolios and at a broker too, so that they count twice.
        rises: the largest first, at most five.
        falls: the largest first, at most five.
        series: value over time.
        missing_series: what of it is not there, and why.
    """

    at: datetime
    holdings: Sequence[Section]
    positions: Sequence[PositionSection]
    own: Sequence[Section]
    totals: Sequence[Totals]
    unpriced_count: int
    uncosted_count: int
    twice_count: int
    rises: Sequence[Mover]
    falls: Sequence[Mover]
    series: Sequence[ValueSeries]
    missing_series: Sequence[MissingSeries]

    @property
    def lines(self) -> Sequence[Line]:
        """Return all lines."""
        summed = [line for section in (*self.holdings, *self.own) for line in section.lines]
        return [*summed, *(line for section in self.positions for line in section.lines)]

    @property
    def is_empty(self) -> bool:
        """Say whether the user has nothing."""
        return not self.lines

    @property
    def reality(self) -> Reality:
        """Say how much of it is made up: prices, rows and the past alike."""
        made_up = {line.is_simulated for line in self.lines if line.provenance is not None}
        made_up |= {section.sync.is_simulated for section in self.holdings if section.sync is not None}
        made_up |= {section.sync.is_simulated for section in self.positions}
        made_up |= {each.is_simulated for each in self.series}
        if True not in made_up:
            return Reality.REAL
        return Reality.MIXED if False in made_up else Reality.SIMULATED


def summarise(
    valued: Sequence[ValuedRows],
    portfolios: Sequence[ManualPortfolio],
    quotes: QuoteAnswer,
    *,
    at: datetime,
    series: Sequence[ValueSeries] = (),
    missing_series: Sequence[MissingSeries] = (),
) -> Summary:
    """Return the summary of what brokers and the user say is held.

    Args:
        valued: brokers' rows at prices.
        portfolios: the user's own.
        quotes: what their stocks cost.
        at: when all this was.
        series: value over time.
        missing_series: what of it is not there.

    Raises:
        PricesUnavailable: something is held, none of it has a price, and that is for want of answers.
    """
    holdings = [_holdings_of(rows) for rows in valued if rows.holdings]
    positions = [_positions_of(rows) for rows in valued if _net(rows)]
    own = [section_of(each.name, [line_of_stock(stock, quotes) for stock in each.stocks]) for each in portfolios]
    summed = [line for section in (*holdings, *own) for line in section.lines]
    lines = [*summed, *(line for section in positions for line in section.lines)]
    if lines and quotes.unanswered and all(line.price is None for line in lines):
        raise PricesUnavailable
    whole = section_of("", summed)
    at_brokers = {line.instrument for section in holdings for line in section.lines}
    by_hand = {line.instrument for section in own for line in section.lines}
    rises, falls = movers_of(lines)
    return Summary(
        at=at,
        holdings=holdings,
        positions=positions,
        own=own,
        totals=whole.totals,
        unpriced_count=whole.unpriced_count,
        uncosted_count=whole.uncosted_count,
        twice_count=len(at_brokers & by_hand),
        rises=rises,
        falls=falls,
        series=series,
        missing_series=missing_series,
    )


def section_of(name: str, lines: Sequence[Line], sync: Sync | None = None) -> Section:
    """Return lines with their sums; sums are of the rounded lines, so that they equal them."""
    return Section(
        name=name,
        lines=lines,
        totals=totals_of(lines),
        unpriced_count=sum(line.price is None for line in lines),
        uncosted_count=sum(line.price is not None and line.pnl is None for line in lines),
        sync=sync,
    )


def totals_of(lines: Iterable[Line]) -> Sequence[Totals]:
    """Add up what is priced and whose cost is known: rupees first, then by currency; real before simulated."""
    summed = [line for line in lines if line.pnl is not None]
    ordered = sorted(summed, key=_key_of)
    return [_totals(list(group)) for _, group in groupby(ordered, key=_key_of)]


def movers_of(lines: Iterable[Line]) -> tuple[Sequence[Mover], Sequence[Mover]]:
    """Return the largest rises and falls of held instruments, each instrument once.

    A stale price, such as a broker's of last week, says nothing of the day and is left out. Where an instrument has
    several prices a real one wins over a simulated one, then the newest.
    """
    best: dict[str, tuple[tuple[bool, datetime], Mover]] = {}
    for line in lines:
        if line.day_percent is None or line.provenance is None or line.quantity.is_zero():
            continue
        if line.provenance.freshness is Freshness.STALE:
            continue
        rank = (not line.is_simulated, line.provenance.as_of)
        if line.instrument not in best or rank > best[line.instrument][0]:
            best[line.instrument] = (rank, Mover(line, line.day_percent))
    moved = [mover for _, mover in best.values()]
    rises = sorted((each for each in moved if each.percent > 0), key=lambda each: (-each.percent, each.line.instrument))
    falls = sorted((each for each in moved if each.percent < 0), key=lambda each: (each.percent, each.line.instrument))
    return rises[:MAX_MOVERS], falls[:MAX_MOVERS]


def line_of_stock(stock: Stock, quotes: QuoteAnswer) -> Line:
    """Return a stock that its owner entered at what it costs now; without a price nothing is known but its cost."""
    quote = quotes.quotes.get(stock.instrument)
    invested = money(stock.total_cost)
    value = None if quote is None else money(product(stock.quantity, quote.last_price))
    pnl = None if value is None else difference(value, invested)
    return Line(
        instrument=stock.instrument,
        symbol=stock.symbol,
        quantity=stock.quantity,
        currency=None if quote is None else quote.currency,
        price=None if quote is None else quote.last_price,
        invested=invested,
        value=value,
        pnl=pnl,
        pnl_percent=None if pnl is None else percent_of(pnl, invested),
        day_change=None if quote is None else _day_change(stock.quantity, quote),
        day_percent=None if quote is None else _percent_since(quote.last_price, quote.previous_close),
        provenance=None if quote is None else quote.provenance,
    )


def _holdings_of(rows: ValuedRows) -> Section:
    return section_of(rows.sync.broker.value, [_line_of_holding(each) for each in rows.holdings], rows.sync)


def _line_of_holding(holding: ValuedHolding) -> Line:
    pricing = holding.pricing
    return Line(
        instrument=holding.row.instrument,
        symbol=holding.row.tradingsymbol,
        quantity=holding.quantity,
        currency=RUPEES,
        price=_unit_price(pricing),
        invested=holding.invested,
        value=holding.current_value,
        pnl=holding.pnl,
        pnl_percent=holding.pnl_percent,
        day_change=holding.day_change,
        day_percent=_price_percent(pricing),
        provenance=None if pricing.price is None else pricing.price.provenance,
    )


def _positions_of(rows: ValuedRows) -> PositionSection:
    net = _net(rows)
    return PositionSection(
        broker=rows.sync.broker,
        lines=[_line_of_position(each) for each in net],
        pnl=total(each.pnl for each in net if each.pnl is not None),
        unvalued_count=sum(each.pnl is None for each in net),
        sync=rows.sync,
    )


def _net(rows: ValuedRows) -> Sequence[ValuedPosition]:
    return [each for each in rows.positions if each.row.type is PositionType.NET]


def _line_of_position(position: ValuedPosition) -> Line:
    pricing = position.pricing
    return Line(
        instrument=position.row.instrument,
        symbol=position.row.tradingsymbol,
        quantity=position.quantity,
        currency=RUPEES,
        price=_unit_price(pricing),
        invested=None,
        value=position.value,
        pnl=position.pnl,
        pnl_percent=None,
        day_change=None,
        day_percent=_price_percent(pricing),
        provenance=None if pricing.price is None else pricing.price.provenance,
    )


def _unit_price(pricing: Pricing) -> Decimal | None:
    return None if pricing.price is None else pricing.price.unit_price


def _price_percent(pricing: Pricing) -> Decimal | None:
    price = pricing.price
    return None if price is None else _percent_since(price.last_price, price.previous_close)


def _percent_since(last_price: Decimal, previous_close: Decimal | None) -> Decimal | None:
    if previous_close is None:
        return None
    return percent_of(difference(last_price, previous_close), previous_close)


def _day_change(quantity: Decimal, quote: Quote) -> Decimal | None:
    if quote.previous_close is None:
        return None
    return money(product(quantity, difference(quote.last_price, quote.previous_close)))


def _key_of(line: Line) -> tuple[bool, str, bool]:
    currency = line.currency or ""
    return currency != RUPEES, currency, line.is_simulated


def _totals(lines: Sequence[Line]) -> Totals:
    invested = total(line.invested for line in lines if line.invested is not None)
    pnl = total(line.pnl for line in lines if line.pnl is not None)
    day_change, day_percent = _day_of(lines)
    return Totals(
        currency=lines[0].currency or "",
        is_simulated=lines[0].is_simulated,
        count=len(lines),
        invested=invested,
        value=total(line.value for line in lines if line.value is not None),
        pnl=pnl,
        pnl_percent=percent_of(pnl, invested),
        day_change=day_change,
        day_percent=day_percent,
    )


def _day_of(lines: Sequence[Line]) -> tuple[Decimal | None, Decimal | None]:
    """Return the change of the day of the lines that have one, and the same in percent of what they were worth."""
    changed = [
        (line.value, line.day_change) for line in lines if line.value is not None and line.day_change is not None
    ]
    if not changed:
        return None, None
    day_change = total(change for _, change in changed)
    before = difference(total(value for value, _ in changed), day_change)
    return day_change, percent_of(day_change, before)
