"""Financial Modeling Prep's rows made values of ours. What is odd is left out or None; nothing is made up.

Its `vwap` is not read: in its documented examples it is the mean of high, low and close, and no average by volume.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.bars import DailyBars
from market.domain.companies import (
    MAX_PRICE_TARGETS,
    Dividend,
    Period,
    PriceTarget,
    Profile,
    Ratings,
    Recommendation,
    Statement,
    StatementKind,
)
from market.domain.earnings import EarningsReport
from market.domain.freshness import LATE_AT_MOST
from market.domain.history import IntradayBar
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.news import Article
from market.domain.ports import FreshnessRule
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import TIMEZONE_OF_VENUE, Venue, venue_of
from market.domain.splits import Split
from market.domain.treasury import MATURITIES, TreasuryRates
from market.providers.fmp.read import NEW_YORK, day, epoch, moment, number, price, text, truth, web_address, whole
from market.providers.fmp.statements import OURS_BY_VENDOR
from market.providers.fmp.symbols import read_vendor_symbol

Row = Mapping[str, Any]
Prices = tuple[float, float, float, float]
Value = TypeVar("Value")

NAME = "fmp"
MILLISECONDS = 1_000
AHEAD_AT_MOST = timedelta(seconds=-60)
KINDS_WITH_VOLUME = (InstrumentKind.EQUITY, InstrumentKind.FUND)
RECOMMENDATIONS = ("strongBuy", "buy", "hold", "sell", "strongSell")
CONSENSUSES = ("Strong Buy", "Buy", "Hold", "Sell", "Strong Sell")
EXCHANGES_WITHOUT_COMPANIES = (Exchange.FX, Exchange.INDEX)


def read_all(rows: Iterable[Row], read: Callable[[Row], Value | None]) -> list[Value]:
    """Return what can be read of rows, in their order."""
    return [value for row in rows if (value := read(row)) is not None]


def by_instrument(
    rows: Iterable[Row], asked: Mapping[str, Instrument], read: Callable[[Row, Instrument], Value | None]
) -> dict[str, Value]:
    """Return what can be read of rows by the id of the instrument they are about; other rows are passed over.

    Args:
        rows: each with a symbol.
        asked: instruments by the vendor's symbols.
        read: reads one row.
    """
    found: dict[str, Value] = {}
    for row in rows:
        instrument = asked.get(str(row.get("symbol")))
        value = None if instrument is None else read(row, instrument)
        if instrument is not None and value is not None:
            found[instrument.id] = value
    return found


def read_quote(row: Row, instrument: Instrument, *, rule: FreshnessRule, now: datetime) -> Quote | None:
    """Read a row of `batch-quote`; None when its price is no price or has no time.

    Args:
        row: what the vendor says.
        instrument: what it is about.
        rule: how far prices that are not delayed can be relied on.
        now: when the answer came.
    """
    last_price, as_of = price(row.get("price")), epoch(row.get("timestamp"))
    if last_price is None or as_of is None:
        return None
    return Quote(
        instrument=instrument,
        last_price=last_price,
        provenance=Provenance(NAME, as_of, _freshness(instrument, rule.of(instrument, as_of), now - as_of)),
        previous_close=price(row.get("previousClose")),
        open=price(row.get("open")),
        high=price(row.get("dayHigh")),
        low=price(row.get("dayLow")),
        volume=_volume(row, instrument),
    )


def _freshness(instrument: Instrument, judged: Freshness, age: timedelta) -> Freshness:
    """Say how far a price can be relied on: the vendor has none of India as they are made, and does not say so."""
    is_late = venue_of(instrument) is Venue.INDIA and AHEAD_AT_MOST <= age <= LATE_AT_MOST
    return Freshness.DELAYED if is_late else judged


def read_quote_details(row: Row) -> QuoteDetails | None:
    """Read the same row's other figures; None when there are none. It tells no average volume and no earnings."""
    details = QuoteDetails(
        year_high=price(row.get("yearHigh")),
        year_low=price(row.get("yearLow")),
        price_avg50=price(row.get("priceAvg50")),
        price_avg200=price(row.get("priceAvg200")),
        market_cap=price(row.get("marketCap")),
    )
    return None if details == QuoteDetails() else details


def _volume(row: Row, instrument: Instrument) -> int | None:
    """Return units traded; what the vendor counts for pairs and indices is not that."""
    return whole(row.get("volume")) if instrument.kind in KINDS_WITH_VOLUME else None


def read_daily_bars(rows: Iterable[Row], instrument: Instrument, first: date, last: date) -> DailyBars:
    """Read the rows of `historical-price-eod/full` from `first` to `last`, both with, in any order.

    A day without one of its four prices, or without the volume that a share has, is left out; of a day told twice, the
    one told first counts.
    """
    has_volume = instrument.kind in KINDS_WITH_VOLUME
    days: dict[date, tuple[Prices, int | None]] = {}
    for row in rows:
        session, prices, volume = day(row.get("date")), _prices(row), _volume(row, instrument)
        is_whole = prices is not None and (volume is not None or not has_volume)
        if session is not None and prices is not None and is_whole and first <= session <= last:
            days.setdefault(session, (prices, volume))
    sessions = sorted(days)
    columns = np.array([days[each][0] for each in sessions], dtype=np.float64).reshape(-1, 4)
    return DailyBars(
        instrument=instrument.id,
        sessions=np.array(sessions, dtype="datetime64[D]"),
        open=columns[:, 0].copy(),
        high=columns[:, 1].copy(),
        low=columns[:, 2].copy(),
        close=columns[:, 3].copy(),
        volume=np.array([days[each][1] for each in sessions], dtype=np.int64) if has_volume else None,
    )


def _prices(row: Row) -> Prices | None:
    """Return open, high, low and close; None when one of them is missing."""
    opened, high = price(row.get("open")), price(row.get("high"))
    low, closed = price(row.get("low")), price(row.get("close"))
    if opened is None or high is None or low is None or closed is None:
        return None
    return opened, high, low, closed


def read_splits(rows: Iterable[Row], instrument: Instrument, first: date, last: date) -> Sequence[Split]:
    """Read the rows of `splits` that went ex from `first` to `last`, both with, oldest first."""
    splits = read_all(rows, lambda row: _read_split(row, instrument))
    return sorted((each for each in splits if first <= each.ex_date <= last), key=operator.attrgetter("ex_date"))


def _read_split(row: Row, instrument: Instrument) -> Split | None:
    ex_date, new, old = day(row.get("date")), price(row.get("numerator")), price(row.get("denominator"))
    if ex_date is None or new is None or old is None:
        return None
    # Rights and demergers come as decimals, such as 1.0478 for 1.
    ratio = Fraction(str(new)) / Fraction(str(old))
    return Split(instrument.id, ex_date, ratio.numerator, ratio.denominator, NAME)


def read_dividends(rows: Iterable[Row]) -> Sequence[Dividend]:
    """Read the rows of `dividends`, newest first, announced ones too."""
    return sorted(read_all(rows, _read_dividend), key=operator.attrgetter("ex_date"), reverse=True)


def _read_dividend(row: Row) -> Dividend | None:
    ex_date, amount = day(row.get("date")), price(row.get("adjDividend"))
    if ex_date is None or amount is None:
        return None
    return Dividend(ex_date, amount, day(row.get("recordDate")))


def read_intraday_bars(rows: Iterable[Row], instrument: Instrument, first: date, last: date) -> Sequence[IntradayBar]:
    """Read the rows of `historical-chart/5min` of the days from `first` to `last`, both with, oldest first."""
    wanted = [row for row in rows if (when := day(row.get("date"))) is not None and first <= when <= last]
    bars = {bar.begins_at: bar for bar in read_all(wanted, lambda row: _read_intraday_bar(row, instrument))}
    return [bars[begins_at] for begins_at in sorted(bars)]


def _read_intraday_bar(row: Row, instrument: Instrument) -> IntradayBar | None:
    # The moment is the first of the five minutes, by the clock of the place where the instrument trades.
    begins_at, prices = moment(row.get("date"), TIMEZONE_OF_VENUE[venue_of(instrument)]), _prices(row)
    if begins_at is None or prices is None:
        return None
    opened, high, low, closed = prices
    return IntradayBar(begins_at, opened, high, low, closed, _volume(row, instrument))


def read_profile(row: Row, instrument: Instrument) -> Profile:
    """Read the row of `profile`; name, currency and exchange are the directory's where it does not say them."""
    return Profile(
        company_name=text(row.get("companyName")) or instrument.name,
        currency=text(row.get("currency")) or instrument.currency,
        exchange=text(row.get("exchange")) or instrument.exchange,
        price=price(row.get("price")),
        market_cap=price(row.get("marketCap")),
        beta=number(row.get("beta")),
        last_dividend=number(row.get("lastDividend")),
        range=text(row.get("range")),
        change=number(row.get("change")),
        change_percentage=number(row.get("changePercentage")),
        volume=whole(row.get("volume")),
        average_volume=whole(row.get("averageVolume")),
        cik=text(row.get("cik")),
        isin=text(row.get("isin")),
        cusip=text(row.get("cusip")),
        exchange_full_name=text(row.get("exchangeFullName")),
        industry=text(row.get("industry")),
        website=web_address(row.get("website")),
        description=text(row.get("description")),
        ceo=text(row.get("ceo")),
        sector=text(row.get("sector")),
        country=text(row.get("country")),
        full_time_employees=whole(row.get("fullTimeEmployees")),
        phone=text(row.get("phone")),
        address=text(row.get("address")),
        city=text(row.get("city")),
        state=text(row.get("state")),
        zip=text(row.get("zip")),
        # The vendor's default picture shows nothing of the company.
        image=None if row.get("defaultImage") is True else web_address(row.get("image")),
        ipo_date=day(row.get("ipoDate")),
        is_etf=truth(row.get("isEtf")),
        is_actively_trading=truth(row.get("isActivelyTrading")),
        is_adr=truth(row.get("isAdr")),
        is_fund=truth(row.get("isFund")),
    )


def read_statements(rows: Iterable[Row], kind: StatementKind) -> Sequence[Statement]:
    """Read statements, newest first; the vendor writes 0 also for what was not reported, which cannot be told apart."""
    statements = read_all(rows, lambda row: _read_statement(row, kind))
    return sorted(statements, key=operator.attrgetter("ends_on"), reverse=True)


def _read_statement(row: Row, kind: StatementKind) -> Statement | None:
    ends_on, year, period = day(row.get("date")), whole(row.get("fiscalYear")), row.get("period")
    if ends_on is None or year is None or period not in tuple(Period):
        return None
    figures = {ours: number(row.get(vendors)) for vendors, ours in OURS_BY_VENDOR[kind].items()}
    return Statement(
        kind=kind,
        ends_on=ends_on,
        fiscal_year=year,
        period=Period(period),
        reported_currency=text(row.get("reportedCurrency")),
        figures={name: figure for name, figure in figures.items() if figure is not None},
        cik=text(row.get("cik")),
        filing_date=day(row.get("filingDate")),
        accepted_date=text(row.get("acceptedDate")),
    )


def read_ratings(targets: Iterable[Row], grades: Iterable[Row]) -> Ratings | None:
    """Read the rows of `price-target-news` and `grades-consensus`; None when nobody says anything."""
    found = sorted(read_all(targets, _read_price_target), key=operator.attrgetter("published_at"), reverse=True)
    recommendation = next(iter(read_all(grades, _read_recommendation)), None)
    ratings = Ratings(tuple(found[:MAX_PRICE_TARGETS]), recommendation)
    return None if ratings == Ratings() else ratings


def _read_price_target(row: Row) -> PriceTarget | None:
    published_at = moment(row.get("publishedDate"), NEW_YORK)
    if published_at is None:
        return None
    return PriceTarget(
        published_at=published_at,
        news_url=web_address(row.get("newsURL")),
        news_title=text(row.get("newsTitle")),
        analyst_name=text(row.get("analystName")),
        price_target=price(row.get("priceTarget")),
        adj_price_target=price(row.get("adjPriceTarget")),
        price_when_posted=price(row.get("priceWhenPosted")),
        news_publisher=text(row.get("newsPublisher")),
        news_base_url=text(row.get("newsBaseURL")),
        analyst_company=text(row.get("analystCompany")),
    )


def _read_recommendation(row: Row) -> Recommendation | None:
    counts = [count for name in RECOMMENDATIONS if (count := whole(row.get(name))) is not None]
    consensus = text(row.get("consensus"))
    if len(counts) < len(RECOMMENDATIONS) or not any(counts) or consensus not in CONSENSUSES:
        return None
    strong_buy, buy, hold, sell, strong_sell = counts
    return Recommendation(strong_buy, buy, hold, sell, strong_sell, consensus)


def read_after_market_trade(row: Row) -> AfterMarketTrade | None:
    """Read a row of `batch-aftermarket-trade`; None when its price is no price or has no time."""
    traded_at = epoch(row.get("timestamp"), units_a_second=MILLISECONDS)
    last_price = price(row.get("price"))
    if traded_at is None or last_price is None:
        return None
    return AfterMarketTrade(last_price, traded_at, whole(row.get("tradeSize")))


def read_after_market_quote(row: Row) -> AfterMarketQuote | None:
    """Read the row of `aftermarket-quote`; None when it has no time or neither bid nor offer."""
    at = epoch(row.get("timestamp"), units_a_second=MILLISECONDS)
    bid_price, ask_price = price(row.get("bidPrice")), price(row.get("askPrice"))
    if at is None or (bid_price is None and ask_price is None):
        return None
    return AfterMarketQuote(
        at=at,
        bid_price=bid_price,
        bid_size=whole(row.get("bidSize")),
        ask_price=ask_price,
        ask_size=whole(row.get("askSize")),
        volume=whole(row.get("volume")),
    )


def read_earnings(rows: Iterable[Row], first: date, last: date) -> Sequence[EarningsReport]:
    """Read the rows of `earnings-calendar` from `first` to `last`, both with, of exchanges that we have."""
    return [each for each in read_all(rows, _read_report) if first <= each.on <= last]


def _read_report(row: Row) -> EarningsReport | None:
    on, named = day(row.get("date")), read_vendor_symbol(text(row.get("symbol")) or "")
    if on is None or named is None or named.exchange in EXCHANGES_WITHOUT_COMPANIES:
        return None
    return EarningsReport(
        on=on,
        symbol=named.symbol,
        exchange=named.exchange,
        eps_actual=number(row.get("epsActual")),
        eps_estimated=number(row.get("epsEstimated")),
        revenue_actual=number(row.get("revenueActual")),
        revenue_estimated=number(row.get("revenueEstimated")),
        last_updated=day(row.get("lastUpdated")),
    )


def read_articles(rows: Iterable[Row]) -> Sequence[Article]:
    """Read rows of news, newest first; one without a title, an address of the web or a time is left out."""
    return sorted(read_all(rows, _read_article), key=operator.attrgetter("published_at"), reverse=True)


def _read_article(row: Row) -> Article | None:
    published_at = moment(row.get("publishedDate"), NEW_YORK)
    title, url = text(row.get("title")), web_address(row.get("url"))
    if published_at is None or title is None or url is None:
        return None
    named = read_vendor_symbol(text(row.get("symbol")) or "")
    return Article(
        published_at=published_at,
        title=title,
        url=url,
        symbol=None if named is None else named.symbol,
        publisher=text(row.get("publisher")),
        image=web_address(row.get("image")),
        site=text(row.get("site")),
        text=text(row.get("text")),
    )


def read_treasury_rates(rows: Iterable[Row], first: date, last: date) -> Sequence[TreasuryRates]:
    """Read the rows of `treasury-rates` from `first` to `last`, both with, newest first, one a day."""
    days = {rates.on: rates for rates in read_all(rows, _read_rates) if first <= rates.on <= last}
    return [days[on] for on in sorted(days, reverse=True)]


def _read_rates(row: Row) -> TreasuryRates | None:
    on = day(row.get("date"))
    yields = {name: number(row.get(name)) for name in MATURITIES}
    known = {name: rate for name, rate in yields.items() if rate is not None}
    return TreasuryRates(on, known) if on is not None and known else None
