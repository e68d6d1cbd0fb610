"""What I and the contract say of the market's public routes, as data: fields and types, and one request each.

I does not show most bodies; where it does not, the fields are those of contract.md, "Bodies that I does not show".
"""

import csv
import io
from typing import Annotated, Any, Literal, NotRequired

import httpx
from pydantic import Field

# Python 3.11's own lacks what pydantic reads.
from typing_extensions import TypedDict

from contract.documents import Freshness, Moment, Operation

Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
ExchangeTime = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")]
Hour = Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2]):[0-5]\d [AP]M [+-]\d\d:\d\d$")]
Price = Annotated[float, Field(gt=0)]
EpochSeconds = Annotated[int, Field(gt=1_500_000_000, lt=3_000_000_000)]
EpochMilliseconds = Annotated[int, Field(gt=1_500_000_000_000, lt=3_000_000_000_000)]


class Told(TypedDict):
    """Every price says where it comes from and how old it is."""

    source: Literal["sample", "yahoo", "fmp"]
    as_of: Moment
    freshness: Freshness


class ShortQuote(Told):
    """Short quotes of shares and pairs."""

    symbol: str
    price: Price
    change: float | None
    volume: int | None


class LongQuote(Told):
    """`long=true`."""

    symbol: str
    name: str
    price: Price
    changesPercentage: float | None
    change: float | None
    dayLow: float | None
    dayHigh: float | None
    yearHigh: float | None
    yearLow: float | None
    marketCap: float | None
    priceAvg50: float | None
    priceAvg200: float | None
    exchange: str
    volume: int | None
    avgVolume: int | None
    open: float | None
    previousClose: float | None
    eps: float | None
    pe: float | None
    timestamp: EpochSeconds


class HistoricalPrice(TypedDict):
    """`historical`."""

    symbol: str
    date: Day
    open: Price
    high: Price
    low: Price
    close: Price
    volume: int | None
    change: float
    changePercent: float
    vwap: float | None


class LightPrice(TypedDict):
    """`historical-light`."""

    symbol: str
    date: Day
    price: Price
    close: Price
    volume: int | None


class FiveMinutes(TypedDict):
    """`historical-chart/5min`."""

    date: ExchangeTime
    open: Price
    low: Price
    high: Price
    close: Price
    volume: int | None


class CompanyProfile(TypedDict):
    """`profile`."""

    symbol: str
    companyName: str
    price: float | None
    marketCap: float | None
    beta: float | None
    sector: str | None
    industry: str | None
    exchange: str
    currency: str
    country: str | None
    description: str | None
    ceo: str | None
    website: str | None
    isin: str | None
    cik: str | None
    ipoDate: Day | None
    fullTimeEmployees: int | None


class Statement(TypedDict):
    """What the three statements have in common."""

    date: Day
    symbol: str
    period: Literal["Q1", "Q2", "Q3", "Q4", "FY"]
    fiscalYear: Annotated[str, Field(pattern=r"^\d{4}$")]
    reportedCurrency: str | None


class IncomeStatement(Statement):
    """`type=income`."""

    revenue: float | None
    netIncome: float | None


class BalanceSheet(Statement):
    """`type=balance-sheet`."""

    totalAssets: float | None


class CashFlow(Statement):
    """`type=cash-flow`."""

    operatingCashFlow: float | None


class AfterMarketQuote(TypedDict):
    """`aftermarket-quote`."""

    symbol: str
    bidSize: int | None
    bidPrice: float | None
    askSize: int | None
    askPrice: float | None
    volume: int | None
    timestamp: EpochMilliseconds


class AfterMarketPrice(TypedDict):
    """I, "Response Example" of `after-market-price`."""

    symbol: str
    price: Price
    timestamp: EpochMilliseconds
    tradeSize: int | None


# The names begin with digits, as I has them.
PriceChange = TypedDict(
    "PriceChange",
    {
        "symbol": str,
        "1D": float | None,
        "5D": float | None,
        "1M": float | None,
        "3M": float | None,
        "6M": float | None,
        "1Y": float | None,
        "3Y": float | None,
        "5Y": float | None,
        "10Y": float | None,
        "ytd": float | None,
        "max": float | None,
    },
)


class Dividend(TypedDict):
    """I, "Stock Dividends"."""

    recordDate: Day
    adjDividend: float


class PriceTarget(TypedDict):
    """I, "Price Targets"."""

    symbol: str
    publishedDate: str
    newsURL: str | None
    newsTitle: str | None
    analystName: str | None
    priceTarget: float | None
    adjPriceTarget: float | None
    priceWhenPosted: float | None
    newsPublisher: str | None
    newsBaseURL: str | None
    analystCompany: str | None


class PriceTargets(TypedDict):
    """I, `ratings`."""

    price_targets: Annotated[list[PriceTarget], Field(max_length=50)]
    count: int


class Recommendation(TypedDict):
    """I, "Analyst Consensus"."""

    symbol: str
    strongBuy: int
    buy: int
    hold: int
    sell: int
    strongSell: int
    consensus: Literal["Strong Buy", "Buy", "Hold", "Sell", "Strong Sell"]


class Ratings(TypedDict):
    """I, "Stock Ratings & Price Targets"."""

    symbol: str
    ratings: PriceTargets
    recommendations: list[Recommendation]


class EarningsReport(TypedDict):
    """I, "Earnings Calendar": a figure nobody knows has no key."""

    exchange: Literal["NASDAQ", "NYSE", "AMEX"]
    symbol: str
    epsActual: NotRequired[float]
    epsEstimated: NotRequired[float]
    revenueActual: NotRequired[float]
    revenueEstimated: NotRequired[float]


class _Article(TypedDict):
    publishedDate: str
    publisher: str | None
    title: str
    image: str | None
    site: str | None
    text: str | None
    url: Annotated[str, Field(pattern=r"^https?://")]


class Article(_Article):
    """News and press releases."""

    symbol: str | None


class StockArticle(_Article):
    """News of a stock names it."""

    symbol: str


class Hours(TypedDict):
    """`exchange/hours`."""

    exchange: str
    name: str
    openingHour: Hour | None
    closingHour: Hour | None
    timezone: str
    isMarketOpen: bool | None


class Exchange(TypedDict):
    """`exchanges`."""

    exchange: str
    name: str
    countryName: str
    countryCode: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    symbolSuffix: str | None
    delay: str | None


class Constituent(TypedDict):
    """`index/constituents`."""

    symbol: str
    name: str
    sector: str | None
    subSector: str | None
    headQuarter: str | None
    dateFirstAdded: str | None
    cik: str | None
    founded: str | None


class Listing(TypedDict):
    """`stock/list`."""

    symbol: str
    name: str
    exchange: str
    type: Literal["stock", "etf"]


class TreasuryRates(TypedDict):
    """`treasury/rates`."""

    date: Day
    month1: float | None
    month2: float | None
    month3: float | None
    month6: float | None
    year1: float | None
    year2: float | None
    year3: float | None
    year5: float | None
    year7: float | None
    year10: float | None
    year20: float | None
    year30: float | None


STOCK_PRICE_COLUMNS = [
    "symbol",
    "name",
    "price",
    "change",
    "changePercent",
    "sector",
    "subSector",
    "founded",
    "headQuarter",
]


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    """Return the rows of an answer that is a table."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


def _public(path: str) -> Operation:
    return Operation("GET", path, is_cached=True)


# I's own examples, where it has them; one operation may stand here with several requests.
REQUESTS: tuple[tuple[Operation, Any], ...] = (
    (_public("/api/stock/price/AAPL"), list[ShortQuote]),
    (_public("/api/stock/price/AAPL?symbols=MSFT,NVDA&long=true"), list[LongQuote]),
    (_public("/api/stock/price/bulk?symbols=AAPL,MSFT,NVDA"), list[ShortQuote]),
    (_public("/api/stock/historical/AAPL?from_date=2024-01-01&to_date=2024-06-01"), list[HistoricalPrice]),
    (_public("/api/stock/historical-light/AAPL"), list[LightPrice]),
    (_public("/api/stock/historical-chart/5min/AAPL"), list[FiveMinutes]),
    (_public("/api/stock/profile/AAPL"), CompanyProfile),
    (_public("/api/stock/financials/AAPL?type=income&limit=3&period=Q1"), list[IncomeStatement]),
    (_public("/api/stock/financials/AAPL?type=balance-sheet"), list[BalanceSheet]),
    (_public("/api/stock/financials/AAPL?type=cash-flow"), list[CashFlow]),
    (_public("/api/stock/aftermarket-quote/AAPL"), AfterMarketQuote),
    (_public("/api/stock/after-market-price?symbols=AAPL,NVDA"), list[AfterMarketPrice]),
    (_public("/api/stock/price-change/AAPL"), list[PriceChange]),
    (_public("/api/stock/dividend/AAPL"), list[Dividend]),
    (_public("/api/stock/list/NASDAQ,NYSE"), dict[str, list[Listing]]),
    (_public("/api/stock/ratings/AAPL"), Ratings),
    (_public("/api/earnings"), dict[Day, list[EarningsReport]]),
    (_public("/api/forex/quote/EURUSD?long=true"), LongQuote),
    (_public("/api/forex/quote/EURUSD"), ShortQuote),
    (_public("/api/forex/quotes?pairs=EURUSD,USDINR"), list[ShortQuote]),
    (_public("/api/forex/historical/EURUSD?from_date=2024-01-01&to_date=2024-06-01"), list[HistoricalPrice]),
    (_public("/api/news/latest?page=0&limit=10"), list[Article]),
    (_public("/api/news/press-releases?page=0&limit=10"), list[Article]),
    (_public("/api/news/stock/AAPL,MSFT?page=0&limit=5"), list[StockArticle]),
    (_public("/api/exchange/hours/NASDAQ"), Hours),
    (_public("/api/exchange/hours"), dict[str, Hours]),
    (_public("/api/exchanges"), list[Exchange]),
    (_public("/api/exchanges/list"), list[Exchange]),
    (_public("/api/index/constituents/SP500"), list[Constituent]),
    (_public("/api/index/constituents/SP500?include_metadata=true"), list[Constituent]),
    (_public("/api/treasury/rates?from_date=2025-01-01&to_date=2025-03-01"), list[TreasuryRates]),
)

# One request an operation.
MARKET_OPERATIONS = tuple({str(operation): operation for operation, _ in REQUESTS}.values())
