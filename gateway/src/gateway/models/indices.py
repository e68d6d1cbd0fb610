"""The market at a glance as clients see it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Literal

from bourse.market.v1 import snapshot_pb2
from gateway.reply import DateTime, Freshness, From, Percent, Reply, always

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
