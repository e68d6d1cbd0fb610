"""Indices and the market at a glance, as clients see them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Literal

from pydantic import Field

from bourse.market.v1 import snapshot_pb2
from gateway.models.origins import AnyAsOf, AnySource, HowFresh
from gateway.reply import (
    CamelReply,
    Change,
    Date,
    DateTime,
    From,
    Percent,
    Price,
    Reply,
    always,
    example,
)

INDIA = timezone(timedelta(hours=5, minutes=30))
NOTICE = (
    "Bourse is not registered with SEBI as an Investment Adviser or Research Analyst. "
    "Prices, patterns and their statistics are information only and no investment advice."
)


class Signal(Reply):
    """A candlestick pattern on daily bars, and how often such patterns were followed by the move they point to."""

    symbol: Annotated[str, From("instrument")]
    """The instrument, `EXCHANGE:SYMBOL`."""
    pattern: str
    direction: Literal["bullish", "bearish"] | None
    """Whether the pattern points to a rise or a fall."""
    confidence: float | None
    """The share, 0 to 1, of earlier cases of this pattern and direction, over all equities of the source, in which the
    close five sessions later lay on the pattern's side of the close that completed it; null under 30 cases. Only cases
    whose outcome was known before `session` count. On simulated prices it measures the simulation, whose prices revert
    to a level, which some patterns follow: it says nothing of a real market."""
    cases: int
    """How many cases `confidence` is the share of."""
    confidence_low: float | None
    """The lower end of the 95 % Wilson interval of `confidence`. It takes cases as independent, which windows that
    overlap and markets that move together make them not: it is too narrow. Null with `confidence`."""
    confidence_high: float | None
    """The upper end of that interval, too narrow as well; null with `confidence`."""
    base_rate: float | None
    """How often, 0 to 1, the close five sessions later lay on that side for any bar, with or without a pattern: what
    `confidence` has to beat. Null when nothing could be measured."""
    session: str
    """The day whose bar completed the pattern."""


class Sector(Reply):
    """One sector of the heatmap."""

    sector: str
    change_pct: Annotated[Percent, From("change_percent")]
    """The mean change of its instruments since their previous close, in percent, each counting alike."""
    instruments: int
    """How many the mean is over."""


def _in_india(market: snapshot_pb2.MarketState) -> str:
    moment = datetime.fromtimestamp(market.as_of.seconds, UTC).astimezone(INDIA)
    return moment.isoformat(timespec="seconds")


class MarketState(Reply):
    """When NSE trades."""

    is_open: bool
    as_of_ist: Annotated[DateTime, From(_in_india)]
    next_open: DateTime | None
    """Null while it is open, and where the calendar does not reach."""
    next_close: DateTime | None
    """Null while it is closed."""


class Snapshot(Reply):
    """Index levels, the sector heatmap, the strongest signals and the market's hours."""

    nifty_price: Annotated[float | None, From("nifty.price")]
    nifty_change: Annotated[Percent | None, From("nifty.change_percent")]
    """Since the previous close, in percent; null where that, or the level, is not known."""
    banknifty_price: Annotated[float | None, From("bank_nifty.price")]
    banknifty_change: Annotated[Percent | None, From("bank_nifty.change_percent")]
    """As `nifty_change`."""
    sensex_price: Annotated[float | None, From("sensex.price")]
    sensex_change: Annotated[Percent | None, From("sensex.change_percent")]
    """As `nifty_change`."""
    signals: list[Signal]
    """At most 20 equities of NSE, each with its best signal, best first: by how far `confidence_low` exceeds
    `base_rate`, those without a confidence last."""
    sectors: list[Sector]
    """The strongest first."""
    market: MarketState
    source: AnySource
    as_of: AnyAsOf
    freshness: HowFresh
    notice: Annotated[str, always(NOTICE)]


class Constituent(CamelReply):
    """One member of an index."""

    model_config = example(
        symbol="AAPL",
        name="Apple Inc.",
        sector="Information Technology",
        subSector="Technology Hardware, Storage & Peripherals",
        headQuarter="Cupertino, California",
        dateFirstAdded="1982-11-30",
        cik="0000320193",
        founded="1977",
    )

    symbol: str
    name: str
    sector: str | None
    sub_sector: str | None
    head_quarter: str | None
    date_first_added: Date | None
    cik: str | None
    founded: str | None


class ConstituentDetails(Constituent):
    """One member of an index, which instrument it is, and where the row comes from as of which day."""

    model_config = example(
        symbol="AAPL",
        name="Apple Inc.",
        sector="Information Technology",
        subSector="Technology Hardware, Storage & Peripherals",
        headQuarter="Cupertino, California",
        dateFirstAdded="1982-11-30",
        cik="0000320193",
        founded="1977",
        instrument="NASDAQ:AAPL",
        isin="US0378331005",
        source="datasets/s-and-p-500-companies",
        as_of="2026-04-01",
    )

    instrument: str
    isin: str | None
    source: str
    as_of: Annotated[Date, Field(serialization_alias="as_of")]


class ConstituentPrice(CamelReply):
    """One member of an index and what it costs: a line of the table."""

    symbol: Annotated[str, From("constituent.symbol")]
    name: Annotated[str, From("constituent.name")]
    price: Price | None
    change: Change | None
    change_percent: Percent | None
    sector: Annotated[str | None, From("constituent.sector")]
    sub_sector: Annotated[str | None, From("constituent.sub_sector")]
    founded: Annotated[str | None, From("constituent.founded")]
    head_quarter: Annotated[str | None, From("constituent.head_quarter")]
