"""Indices and the market at a glance, as clients see them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Literal

from pydantic import Field

from bourse.market.v1 import snapshot_pb2
from gateway.reply import (
    CamelReply,
    Change,
    Date,
    DateTime,
    Freshness,
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
    """A candlestick pattern, and how often such patterns were followed by the move they point to."""

    symbol: Annotated[str, From("instrument")]
    pattern: str
    direction: Literal["bullish", "bearish"] | None
    confidence: float | None
    cases: int
    confidence_low: float | None
    confidence_high: float | None
    base_rate: float | None
    session: str


class Sector(Reply):
    """One sector of the heatmap."""

    sector: str
    change_pct: Annotated[Percent, From("change_percent")]
    instruments: int


def _in_india(market: snapshot_pb2.MarketState) -> str:
    moment = datetime.fromtimestamp(market.as_of.seconds, UTC).astimezone(INDIA)
    return moment.isoformat(timespec="seconds")


class MarketState(Reply):
    """When NSE trades."""

    is_open: bool
    as_of_ist: Annotated[DateTime, From(_in_india)]
    next_open: DateTime | None
    next_close: DateTime | None


class Snapshot(Reply):
    """Index levels, the sector heatmap, the strongest signals and the market's hours."""

    nifty_price: Annotated[float | None, From("nifty.price")]
    nifty_change: Annotated[Percent | None, From("nifty.change_percent")]
    banknifty_price: Annotated[float | None, From("bank_nifty.price")]
    banknifty_change: Annotated[Percent | None, From("bank_nifty.change_percent")]
    sensex_price: Annotated[float | None, From("sensex.price")]
    sensex_change: Annotated[Percent | None, From("sensex.change_percent")]
    signals: list[Signal]
    sectors: list[Sector]
    market: MarketState
    source: Annotated[str | None, From("provenance.source")]
    as_of: Annotated[DateTime | None, From("provenance.as_of")]
    freshness: Annotated[Freshness | None, From("provenance.freshness")]
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
