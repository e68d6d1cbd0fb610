"""What is known of companies: profiles, statements, dividends, what analysts say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

MAX_PRICE_TARGETS = 50


class StatementKind(StrEnum):
    """Which of a company's statements."""

    INCOME = "INCOME"
    BALANCE_SHEET = "BALANCE_SHEET"
    CASH_FLOW = "CASH_FLOW"


class Period(StrEnum):
    """Which part of a fiscal year a statement is about; `FY` is all of it."""

    Q1 = "Q1"
    Q2 = "Q2"
    Q3 = "Q3"
    Q4 = "Q4"
    FY = "FY"


@dataclass(frozen=True, slots=True)
class Profile:
    """One company, as a source describes it; None is what the source does not say.

    Attributes:
        company_name: its name.
        currency: ISO 4217 code of its share's prices and of all amounts.
        exchange: the exchange's short name, such as `NASDAQ`.
        market_cap: price times shares.
        beta: against the source's benchmark.
        last_dividend: dividends of the last year a share.
        range: lowest and highest price of 52 weeks, `LOW-HIGH`.
        change_percentage: the change from the previous close in percent.
        cik: its number with the SEC, ten digits.
        country: ISO 3166 code of two letters.
        ipo_date: the first day of trading.
    """

    company_name: str
    currency: str
    exchange: str
    price: float | None = None
    market_cap: float | None = None
    beta: float | None = None
    last_dividend: float | None = None
    range: str | None = None
    change: float | None = None
    change_percentage: float | None = None
    volume: int | None = None
    average_volume: int | None = None
    cik: str | None = None
    isin: str | None = None
    cusip: str | None = None
    exchange_full_name: str | None = None
    industry: str | None = None
    website: str | None = None
    description: str | None = None
    ceo: str | None = None
    sector: str | None = None
    country: str | None = None
    full_time_employees: int | None = None
    phone: str | None = None
    address: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    image: str | None = None
    ipo_date: date | None = None
    is_etf: bool | None = None
    is_actively_trading: bool | None = None
    is_adr: bool | None = None
    is_fund: bool | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of one period.

    Attributes:
        kind: which statement.
        ends_on: the period's last day.
        fiscal_year: the company's own reckoning.
        period: the part of that year.
        reported_currency: ISO 4217 code of every amount; None when the source does not say.
        figures: amounts by the contract's field names of that statement, such as `net_income`; what was not reported
            is left out.
        cik: the company's number with the SEC.
        filing_date: when it was filed.
        accepted_date: when it was accepted, as the source writes it.
    """

    kind: StatementKind
    ends_on: date
    fiscal_year: int
    period: Period
    reported_currency: str | None
    figures: Mapping[str, float]
    cik: str | None = None
    filing_date: date | None = None
    accepted_date: str | None = None


@dataclass(frozen=True, slots=True)
class Dividend:
    """Money paid a share.

    Attributes:
        ex_date: the first day that trades without it.
        amount: a share, in the instrument's currency, adjusted for the splits since.
        record_date: the day on which holders are entitled; None when the source does not know it.
    """

    ex_date: date
    amount: float
    record_date: date | None = None


@dataclass(frozen=True, slots=True)
class PriceTarget:
    """What an analyst holds a share to be worth; None is what the source does not say.

    Attributes:
        published_at: when.
        price_target: the target in the instrument's currency; None for a grade without one.
        adj_price_target: the target adjusted for splits since.
        price_when_posted: the price at that time.
    """

    published_at: datetime
    news_url: str | None = None
    news_title: str | None = None
    analyst_name: str | None = None
    price_target: float | None = None
    adj_price_target: float | None = None
    price_when_posted: float | None = None
    news_publisher: str | None = None
    news_base_url: str | None = None
    analyst_company: str | None = None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """How many analysts recommend what.

    Attributes:
        consensus: `Strong Buy`, `Buy`, `Hold`, `Sell` or `Strong Sell`.
    """

    strong_buy: int
    buy: int
    hold: int
    sell: int
    strong_sell: int
    consensus: str


@dataclass(frozen=True, slots=True)
class Ratings:
    """What analysts say of one share.

    Attributes:
        price_targets: up to 50, newest first.
        recommendation: None when nobody recommends.
    """

    price_targets: Sequence[PriceTarget] = field(default_factory=tuple)
    recommendation: Recommendation | None = None
