"""Prices of shares and currencies, now, before now and outside the session, as clients see them."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from bourse.market.v1 import quotes_pb2
from gateway.models.origins import ABOUT_AS_OF, ABOUT_FRESHNESS, ABOUT_SOURCE, AsOf, HowFresh, Source
from gateway.reply import (
    Amount,
    BarPercent,
    CamelReply,
    Change,
    Date,
    DateTime,
    Freshness,
    From,
    Percent,
    Price,
    Shared,
    example,
    name_of_message,
)


def _quoted_at(detailed: quotes_pb2.DetailedQuote) -> int:
    return detailed.quote.provenance.as_of.seconds


class Quote(CamelReply):
    """What one instrument costs; `symbol` is in the form the caller asked with."""

    model_config = example(
        symbol="AAPL",
        price=201.28,
        change=2.15,
        volume=54_064_033,
        source="sample",
        as_of="2026-04-07T18:30:00Z",
        freshness="simulated",
    )

    symbol: str
    price: Annotated[Price, From("last_price")]
    change: Change | None
    volume: int | None
    source: Source
    as_of: AsOf
    freshness: HowFresh


class DetailedQuote(CamelReply):
    """What one instrument costs, with figures of the past year and of the company; `timestamp` is in epoch seconds."""

    model_config = example(
        symbol="AAPL",
        name="Apple Inc.",
        price=201.28,
        changesPercentage=1.08,
        change=2.15,
        dayLow=198.96,
        dayHigh=203.22,
        yearHigh=260.1,
        yearLow=169.21,
        marketCap=3_006_300_000_000,
        priceAvg50=204.18,
        priceAvg200=222.61,
        exchange="NASDAQ",
        volume=54_064_033,
        avgVolume=61_772_000,
        open=199.1,
        previousClose=199.13,
        eps=6.43,
        pe=31.3,
        timestamp=1_775_586_600,
        source="sample",
        as_of="2026-04-07T18:30:00Z",
        freshness="simulated",
    )

    symbol: Annotated[str, From("quote.symbol")]
    name: Annotated[str, From("quote.name")]
    price: Annotated[Price, From("quote.last_price")]
    changes_percentage: Annotated[Percent | None, From("quote.change_percent")]
    change: Annotated[Change | None, From("quote.change")]
    day_low: Annotated[Price | None, From("quote.low")]
    day_high: Annotated[Price | None, From("quote.high")]
    year_high: Price | None
    year_low: Price | None
    market_cap: Amount | None
    price_avg50: Price | None
    price_avg200: Price | None
    exchange: str
    volume: Annotated[int | None, From("quote.volume")]
    avg_volume: int | None
    open: Annotated[Price | None, From("quote.open")]
    previous_close: Annotated[Price | None, From("quote.previous_close")]
    eps: Price | None
    pe: Price | None
    timestamp: Annotated[int, From(_quoted_at)]
    source: Annotated[str, From("quote.provenance.source"), ABOUT_SOURCE]
    as_of: Annotated[DateTime, From("quote.provenance.as_of"), Field(serialization_alias="as_of"), ABOUT_AS_OF]
    freshness: Annotated[Freshness | None, From("quote.provenance.freshness"), ABOUT_FRESHNESS]


AnyQuote = Annotated[
    Annotated[Quote, Tag("Quote")] | Annotated[DetailedQuote, Tag("DetailedQuote")], Discriminator(name_of_message)
]


class DailyBar(CamelReply):
    """One session; `change` is from its open to its close, and `changePercent` is in percent of its open."""

    model_config = example(
        symbol="AAPL",
        date="2026-04-06",
        open=199.1,
        high=203.22,
        low=198.96,
        close=201.28,
        volume=54_064_033,
        change=2.18,
        changePercent=1.09493,
        vwap=201.15,
    )

    symbol: Annotated[str, Shared()]
    date: Date
    open: Price
    high: Price
    low: Price
    close: Price
    volume: int | None
    change: Annotated[
        Change, Field(description="`close` minus `open`; that of a live price counts from the previous close.")
    ]
    change_percent: Annotated[
        BarPercent, Field(description="`change` in percent of `open`; a live price's is of the previous close.")
    ]
    vwap: Annotated[
        Price | None, Field(description="The average price by volume; null, since none of our sources tells it.")
    ]


class LightBar(CamelReply):
    """One session's close, under both of its names, and volume."""

    model_config = example(symbol="AAPL", date="2026-04-06", price=201.28, close=201.28, volume=54_064_033)

    symbol: Annotated[str, Shared()]
    date: Date
    price: Annotated[Price, From("close")]
    close: Price
    volume: int | None


class IntradayBar(CamelReply):
    """Five minutes, from `date`: `YYYY-MM-DD HH:MM:SS` in the exchange's time."""

    model_config = example(
        date="2026-04-06 15:55:00", open=201.1, low=200.98, high=201.3, close=201.28, volume=1_204_411
    )

    date: str
    open: Price
    low: Price
    high: Price
    close: Price
    volume: int | None


class PriceChange(CamelReply):
    """How far a price has come, in percent; null where there is less history."""

    model_config = example(
        symbol="AAPL",
        **{"1D": 2.25, "5D": 1.87, "1M": -0.54, "3M": -7.91, "6M": -21.02, "1Y": -3.13, "3Y": 47.93, "5Y": 124.03},
        **{"10Y": 530.09, "ytd": -17.57, "max": 156503.04},
    )

    symbol: str
    day_1: Annotated[Percent | None, Field(serialization_alias="1D")]
    day_5: Annotated[Percent | None, Field(serialization_alias="5D")]
    month_1: Annotated[Percent | None, Field(serialization_alias="1M")]
    month_3: Annotated[Percent | None, Field(serialization_alias="3M")]
    month_6: Annotated[Percent | None, Field(serialization_alias="6M")]
    year_1: Annotated[Percent | None, Field(serialization_alias="1Y")]
    year_3: Annotated[Percent | None, Field(serialization_alias="3Y")]
    year_5: Annotated[Percent | None, Field(serialization_alias="5Y")]
    year_10: Annotated[Percent | None, Field(serialization_alias="10Y")]
    ytd: Percent | None
    max: Percent | None


class AfterMarketTrade(CamelReply):
    """The last trade outside the session; `timestamp` is in epoch milliseconds."""

    model_config = example(
        symbol="AAPL",
        price=201.28,
        timestamp=1_750_982_398_000,
        tradeSize=80,
        source="sample",
        as_of="2025-06-26T23:59:58Z",
        freshness="simulated",
    )

    symbol: str
    price: Price
    timestamp: int
    trade_size: int | None
    source: Source
    as_of: AsOf
    freshness: HowFresh


class AfterMarketQuote(CamelReply):
    """What is bid and asked outside the session; `timestamp` is in epoch milliseconds."""

    model_config = example(
        symbol="AAPL",
        bidSize=2,
        bidPrice=201.2,
        askSize=1,
        askPrice=201.35,
        volume=4_211_806,
        timestamp=1_750_982_398_000,
        source="sample",
        as_of="2025-06-26T23:59:58Z",
        freshness="simulated",
    )

    symbol: str
    bid_size: int | None
    bid_price: Price | None
    ask_size: int | None
    ask_price: Price | None
    volume: int | None
    timestamp: int
    source: Source
    as_of: AsOf
    freshness: HowFresh
