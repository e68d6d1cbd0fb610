"""What Yahoo knows of companies, made ours: profiles, statements, what analysts say."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from market.domain.capabilities import NothingKnown
from market.domain.companies import (
    MAX_PRICE_TARGETS,
    Period,
    PriceTarget,
    Profile,
    Ratings,
    Recommendation,
    Statement,
    StatementKind,
)
from market.domain.dates import as_date
from market.domain.instruments import Instrument
from market.domain.quotes import change_percent
from market.providers.yahoo.countries import CODE_OF_COUNTRY
from market.providers.yahoo.figures import ANCHOR_OF_KIND, FIGURE_OF_TYPE, SAME_AS
from market.providers.yahoo.wire import Wire, count, mapping, moment, number, price, result_of, rows, text

PROFILE_MODULES = ("assetProfile", "summaryDetail", "price", "quoteType")
RATINGS_MODULES = ("upgradeDowngradeHistory", "recommendationTrend")
ANNUAL, QUARTERLY = "annual", "quarterly"
# Fiscal years of 52 or 53 weeks end some days around a month's end; half a month earlier they are all in that month.
HALF_A_MONTH = timedelta(days=15)
CONSENSUS = ("Strong Buy", "Buy", "Hold", "Sell", "Strong Sell")
_NOW = "0m"


def profile_of(answer: Any, instrument: Instrument) -> Profile:
    """Return a company's profile.

    Yahoo has neither numbers (CIK, ISIN, CUSIP) nor the first day of trading, a picture, or whether it is a depositary
    receipt or still traded.

    Raises:
        NothingKnown: there is none.
    """
    modules = _summary(answer)
    company, detail, quote = (mapping(modules.get(name)) for name in ("assetProfile", "summaryDetail", "price"))
    if not company and not quote:
        raise NothingKnown
    kind = text(mapping(modules.get("quoteType")).get("quoteType")) or text(quote.get("quoteType"))
    current, before = price(quote.get("regularMarketPrice")), price(quote.get("regularMarketPreviousClose"))
    return Profile(
        company_name=text(quote.get("longName")) or text(quote.get("shortName")) or instrument.name,
        currency=text(quote.get("currency")) or instrument.currency,
        exchange=instrument.exchange.value,
        price=current,
        market_cap=price(quote.get("marketCap")) or price(detail.get("marketCap")),
        beta=number(detail.get("beta")),
        last_dividend=number(detail.get("trailingAnnualDividendRate")),
        range=_range(detail),
        change=number(quote.get("regularMarketChange")),
        # Yahoo's own is a fraction here and a percentage elsewhere.
        change_percentage=None if current is None else change_percent(current, before),
        volume=count(quote.get("regularMarketVolume")),
        average_volume=count(detail.get("averageVolume")),
        exchange_full_name=text(quote.get("exchangeName")),
        industry=text(company.get("industry")),
        website=text(company.get("website")),
        description=text(company.get("longBusinessSummary")),
        ceo=_chief_executive(company),
        sector=text(company.get("sector")),
        country=CODE_OF_COUNTRY.get(text(company.get("country")) or ""),
        full_time_employees=count(company.get("fullTimeEmployees")),
        phone=text(company.get("phone")),
        address=_address(company),
        city=text(company.get("city")),
        state=text(company.get("state")),
        zip=text(company.get("zip")),
        is_etf=None if kind is None else kind == "ETF",
        is_fund=None if kind is None else kind == "MUTUALFUND",
    )


def _summary(answer: Any) -> Wire:
    results = result_of(answer, "quoteSummary")
    if not results:
        raise NothingKnown
    return results[0]


def _range(detail: Wire) -> str | None:
    low, high = price(detail.get("fiftyTwoWeekLow")), price(detail.get("fiftyTwoWeekHigh"))
    return None if low is None or high is None else f"{low:g}-{high:g}"


def _address(company: Wire) -> str | None:
    parts = [text(company.get(name)) for name in ("address1", "address2")]
    return ", ".join(part for part in parts if part) or None


def _chief_executive(company: Wire) -> str | None:
    for officer in rows(company.get("companyOfficers")):
        title = text(officer.get("title")) or ""
        if "CEO" in title.replace("&", " ").split() or "Chief Executive Officer" in title:
            return text(officer.get("name"))
    return None


def types_of(kind: StatementKind, *, is_annual: bool) -> Sequence[str]:
    """Return the figures to ask for; for quarters also the one whose years say when fiscal years end."""
    if is_annual:
        return [ANNUAL + each for each in FIGURE_OF_TYPE[kind]]
    return [*(QUARTERLY + each for each in FIGURE_OF_TYPE[kind]), ANNUAL + ANCHOR_OF_KIND[kind]]


def statements_of(answer: Any, kind: StatementKind, *, is_annual: bool, limit: int) -> Sequence[Statement]:
    """Return the newest statements, newest first.

    Yahoo says on which day a period ends, not what the company calls it: a fiscal year is named after the year in which
    it ends, and quarters are counted from the end of the newest fiscal year that is known. Quarters of a company whose
    years are not known are left out.

    Raises:
        NothingKnown: there are none.
    """
    results = result_of(answer, "timeseries")
    by_day = _figures_by_day(results, kind, ANNUAL if is_annual else QUARTERLY)
    last_month = _last_month(results, kind)
    if not by_day or (last_month is None and not is_annual):
        raise NothingKnown
    newest = sorted(by_day, reverse=True)[:limit]
    return [_statement(kind, day, by_day[day], None if is_annual else last_month) for day in newest]


def _figures_by_day(results: Sequence[Wire], kind: StatementKind, prefix: str) -> dict[date, dict[str, Wire]]:
    by_day: dict[date, dict[str, Wire]] = {}
    for name, figure in FIGURE_OF_TYPE[kind].items():
        for day, reported in _reported(results, prefix + name):
            by_day.setdefault(day, {})[figure] = reported
    return by_day


def _reported(results: Sequence[Wire], name: str) -> Iterator[tuple[date, Wire]]:
    """Yield what was reported of one figure; Yahoo fills periods without it with null."""
    for series in results:
        for reported in rows(series.get(name)):
            try:
                day = as_date(text(reported.get("asOfDate")) or "")
            except ValueError:
                continue
            if number(reported.get("reportedValue")) is not None:
                yield day, reported


def _last_month(results: Sequence[Wire], kind: StatementKind) -> int | None:
    days = [day for day, _ in _reported(results, ANNUAL + ANCHOR_OF_KIND[kind])]
    return (max(days) - HALF_A_MONTH).month if days else None


def _statement(kind: StatementKind, day: date, reported: Mapping[str, Wire], last_month: int | None) -> Statement:
    figures = {figure: number(each.get("reportedValue")) for figure, each in reported.items()}
    known = {figure: value for figure, value in figures.items() if value is not None}
    known |= {other: known[figure] for figure, other in SAME_AS.items() if figure in known}
    currencies = Counter(currency for each in reported.values() if (currency := text(each.get("currencyCode"))))
    fiscal_year, period = _fiscal(day, last_month)
    return Statement(
        kind=kind,
        ends_on=day,
        fiscal_year=fiscal_year,
        period=period,
        reported_currency=currencies.most_common(1)[0][0] if currencies else None,
        figures=known,
    )


def _fiscal(day: date, last_month: int | None) -> tuple[int, Period]:
    """Return the fiscal year and its part that end on a day; all of it when no last month is given."""
    middle = day - HALF_A_MONTH
    if last_month is None:
        return middle.year, Period.FY
    months_left = (last_month - middle.month) % 12
    quarter = (Period.Q4, Period.Q3, Period.Q2, Period.Q1)[months_left // 3]
    return middle.year + (middle.month > last_month), quarter


def ratings_of(answer: Any) -> Ratings:
    """Return what analysts say; grades without a target are among the targets, without one.

    Raises:
        NothingKnown: they say nothing.
    """
    modules = _summary(answer)
    targets = _price_targets(mapping(modules.get("upgradeDowngradeHistory")))
    recommendation = _recommendation(mapping(modules.get("recommendationTrend")))
    if not targets and recommendation is None:
        raise NothingKnown
    return Ratings(price_targets=targets, recommendation=recommendation)


def _price_targets(module: Wire) -> Sequence[PriceTarget]:
    grades = [
        PriceTarget(
            published_at=at,
            price_target=price(grade.get("currentPriceTarget")),
            analyst_company=text(grade.get("firm")),
        )
        for grade in rows(module.get("history"))
        if (at := moment(grade.get("epochGradeDate"))) is not None
    ]
    return sorted(grades, key=lambda each: each.published_at, reverse=True)[:MAX_PRICE_TARGETS]


def _recommendation(module: Wire) -> Recommendation | None:
    current = next((each for each in rows(module.get("trend")) if each.get("period") == _NOW), None)
    if current is None:
        return None
    votes = [count(current.get(name)) or 0 for name in ("strongBuy", "buy", "hold", "sell", "strongSell")]
    if not sum(votes):
        return None
    # The mean of all recommendations, counted from 0 for a strong buy to 4 for a strong sell, to the nearest.
    mean = sum(place * number_of_votes for place, number_of_votes in enumerate(votes)) / sum(votes)
    strong_buy, buy, hold, sell, strong_sell = votes
    return Recommendation(strong_buy, buy, hold, sell, strong_sell, consensus=CONSENSUS[int(mean + 0.5)])
