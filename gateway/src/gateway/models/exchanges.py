"""The exchanges and what they list, as clients see them."""

from gateway.reply import (
    CamelReply,
    Date,
    DateTime,
    example,
)


class ExchangeHours(CamelReply):
    """An exchange's trading day: today's, or the next one's; null is what its calendar does not reach."""

    model_config = example(
        exchange="NASDAQ",
        name="NASDAQ",
        openingHour="09:30 AM -04:00",
        closingHour="04:00 PM -04:00",
        timezone="America/New_York",
        isMarketOpen=False,
        sessionDate="2026-04-07",
        isEarlyClose=False,
        nextOpen="2026-04-07T13:30:00Z",
        nextClose="2026-04-07T20:00:00Z",
    )

    exchange: str
    name: str
    opening_hour: str | None
    closing_hour: str | None
    timezone: str
    is_market_open: bool | None
    session_date: Date | None
    is_early_close: bool | None
    next_open: DateTime | None
    next_close: DateTime | None


class Exchange(CamelReply):
    """An exchange; `delay` is how late its prices are as the preferred source gives them."""

    model_config = example(
        exchange="NSE",
        name="National Stock Exchange of India",
        countryName="India",
        countryCode="IN",
        symbolSuffix=".NS",
        delay="15 min",
    )

    exchange: str
    name: str
    country_name: str
    country_code: str
    symbol_suffix: str | None
    delay: str | None


class ExchangeDetails(Exchange):
    """An exchange with its ISO 10383 code, time zone, currency and the number of instruments that are known of it."""

    model_config = example(
        exchange="NSE",
        name="National Stock Exchange of India",
        countryName="India",
        countryCode="IN",
        symbolSuffix=".NS",
        delay="15 min",
        mic="XNSE",
        timezone="Asia/Kolkata",
        currency="INR",
        instruments=1930,
    )

    mic: str
    timezone: str
    currency: str
    instruments: int


class StockListing(CamelReply):
    """One thing an exchange lists: `stock` or `etf`."""

    model_config = example(symbol="AAPL", name="Apple Inc.", exchange="NASDAQ", type="stock", isin="US0378331005")

    symbol: str
    name: str
    exchange: str
    type: str
    isin: str | None
