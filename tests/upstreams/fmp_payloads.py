"""Rows in the exact form of Financial Modeling Prep's `/stable` answers, odd ones among them.

Odd rows stand where the vendor has them: empty strings for dates it does not know, numbers as strings, nulls, rows
without a symbol, listings of exchanges that nobody here asks for. `ODD` is a listing with nothing else.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from upstreams.fmp_market import LISTED, Bar, Listed, Place, Standing, daily_bars, intraday_bars, standing

Row = dict[str, Any]

NEW_YORK = ZoneInfo("America/New_York")
ODD = "ODDS"
ARTICLES = 240
MATURITIES = {
    "month1": 5.3, "month2": 5.28, "month3": 5.25, "month6": 5.1, "year1": 4.8, "year2": 4.4, "year3": 4.25,
    "year5": 4.15, "year7": 4.2, "year10": 4.25, "year20": 4.5, "year30": 4.4,
}  # fmt: skip


def quote(listed: Listed, now: datetime) -> Row | None:
    """Return a row of `batch-quote`; None for what is listed no longer."""
    stands = standing(listed, now)
    if stands is None:
        return None
    bar, change = stands.bar, stands.bar.close - stands.previous_close
    return {
        "symbol": listed.symbol,
        "name": listed.name,
        "price": bar.close,
        "changePercentage": round(change / stands.previous_close * 100, 5),
        "change": round(change, listed.decimals),
        "volume": bar.volume,
        "dayLow": bar.low,
        "dayHigh": bar.high,
        "yearHigh": stands.year_high,
        "yearLow": stands.year_low,
        "marketCap": round(bar.close * listed.shares) if listed.is_company else None,
        "priceAvg50": stands.mean_50,
        "priceAvg200": stands.mean_200,
        "exchange": listed.exchange,
        "open": bar.open,
        "previousClose": stands.previous_close,
        "timestamp": int(stands.as_of.timestamp()),
    }


def odd_quote(now: datetime) -> Row:
    """Return a quote with numbers as strings, nulls and fields left out."""
    return {
        "symbol": ODD,
        "name": None,
        "price": "12.50",
        "volume": "1200",
        "dayLow": 0,
        "dayHigh": None,
        "yearHigh": "NaN",
        "marketCap": "",
        "previousClose": "12.25",
        "timestamp": int(now.timestamp()),
    }


def daily_rows(listed: Listed, first: date, last: date, now: datetime) -> list[Row]:
    """Return the rows of `historical-price-eod/full`, newest first."""
    return [daily_row(listed.symbol, bar) for bar in daily_bars(listed, first, last, now)]


def daily_row(symbol: str, bar: Bar) -> Row:
    """Return one day; what the vendor calls vwap is the mean of high, low and close."""
    change = bar.close - bar.open
    return {
        "symbol": symbol,
        "date": bar.begins.isoformat(),
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
        "change": round(change, 6),
        "changePercent": round(change / bar.open * 100, 5),
        "vwap": round((bar.high + bar.low + bar.close) / 3, 4),
    }


def odd_daily_rows(first: date, last: date) -> list[Row]:
    """Return days of which only the first and the last can be used."""
    whole: Row = {"symbol": ODD, "open": 10.0, "high": 11.0, "low": 9.5, "close": 10.5, "volume": 1000}
    oddities: Sequence[Row] = (
        {"open": "10.0", "close": "10.5", "volume": "1000"},
        {"close": None},
        {"high": 0},
        {"volume": None},
        {"date": ""},
        {"low": "NaN"},
        {},
    )
    days = [last - timedelta(days=index) for index in range(len(oddities))]
    rows = [whole | {"date": day.isoformat()} | odd for day, odd in zip(days, oddities, strict=True)]
    return [row for row in rows if not row["date"] or row["date"] >= first.isoformat()]


def intraday_rows(listed: Listed, first: date, last: date, now: datetime) -> list[Row]:
    """Return the rows of `historical-chart/5min`, newest first, in the exchange's time."""
    return [
        {
            "date": f"{bar.begins:%Y-%m-%d %H:%M:%S}",
            "open": bar.open,
            "low": bar.low,
            "high": bar.high,
            "close": bar.close,
            "volume": bar.volume,
        }
        for bar in intraday_bars(listed, first, last, now)
    ]


def splits(listed: Listed) -> list[Row]:
    """Return the rows of `splits`."""
    return [
        {"symbol": listed.symbol, "date": day.isoformat(), "numerator": new, "denominator": old}
        for day, new, old in listed.splits
    ]


def dividends(listed: Listed, today: date) -> list[Row]:
    """Return the rows of `dividends`, newest first: four a year, the next one announced without its dates."""
    if not listed.dividend:
        return []
    ex_dates = [date(year, month, 10) for year in range(2012, today.year + 2) for month in (2, 5, 8, 11)]
    known = [day for day in ex_dates if day <= min(listed.last_day or today, today) + timedelta(days=95)]
    return [_dividend(listed, day, is_announced=day > today) for day in reversed(known)]


def _dividend(listed: Listed, day: date, *, is_announced: bool) -> Row:
    units = 1.0
    for ex_date, new, old in listed.splits:
        units *= new / old if day < ex_date else 1.0
    return {
        "symbol": listed.symbol,
        "date": day.isoformat(),
        "recordDate": "" if is_announced else day.isoformat(),
        "paymentDate": "" if is_announced else (day + timedelta(days=3)).isoformat(),
        "declarationDate": "" if is_announced else (day - timedelta(days=11)).isoformat(),
        "adjDividend": round(listed.dividend / units, 6),
        "dividend": listed.dividend,
        "yield": round(listed.dividend * 4 / listed.price * 100, 6),
        "frequency": "Quarterly",
    }


def profile(listed: Listed, now: datetime) -> Row:
    """Return the row of `profile`; one of a company that is listed no longer has no prices."""
    stands = standing(listed, now)
    is_american = listed.place is Place.NEW_YORK
    return {
        "symbol": listed.symbol,
        **_profile_prices(listed, stands),
        "lastDividend": listed.dividend * 4,
        "companyName": listed.name,
        "currency": listed.currency,
        "cik": f"{listed.phase:010d}" if is_american else None,
        "isin": f"{'US' if is_american else 'IN'}{listed.phase:010d}",
        "cusip": f"{listed.phase:09d}" if is_american else None,
        "exchangeFullName": f"{listed.exchange} in full",
        "exchange": listed.exchange,
        "industry": "Diversified",
        "website": "https://www.example.com",
        "description": f"{listed.name} is in business.",
        "ceo": "A. N. Example",
        "sector": listed.sector,
        "country": "US" if is_american else "IN",
        "fullTimeEmployees": "164000",
        "phone": "",
        "address": "1 Example Way",
        "city": "Springfield",
        "state": None,
        "zip": "00501",
        "image": f"https://images.example.com/symbol/{listed.symbol}.png",
        "ipoDate": "1980-12-12",
        "defaultImage": False,
        "isEtf": False,
        "isActivelyTrading": stands is not None,
        "isAdr": False,
        "isFund": False,
    }


def _profile_prices(listed: Listed, stands: Standing | None) -> Row:
    if stands is None:
        return {"price": None, "marketCap": None, "beta": None, "range": "", "change": None, "volume": None}
    change = stands.bar.close - stands.previous_close
    return {
        "price": stands.bar.close,
        "marketCap": round(stands.bar.close * listed.shares),
        "beta": 1.24,
        "range": f"{stands.year_low}-{stands.year_high}",
        "change": round(change, 2),
        "changePercentage": round(change / stands.previous_close * 100, 5),
        "volume": stands.bar.volume,
        "averageVolume": round(listed.shares * 0.004),
    }


def price_targets(listed: Listed, page: int, limit: int, now: datetime) -> list[Row]:
    """Return a page of `price-target-news`, newest first; the analyst's name is often empty."""
    stands = standing(listed, now)
    if stands is None:
        return []
    rows = []
    for index in range(page * limit, min((page + 1) * limit, 64)):
        published = now.astimezone(UTC).replace(minute=1, second=0, microsecond=0) - timedelta(days=index + 1)
        target = round(stands.bar.close * (1.1 + 0.002 * (index % 9)), 2)
        rows.append(
            {
                "symbol": listed.symbol,
                "publishedDate": f"{published:%Y-%m-%dT%H:%M:%S}.000Z",
                "newsURL": f"https://news.example.com/{listed.symbol}/{index}",
                "newsTitle": f"A broker keeps its rating of {listed.name}",
                "analystName": "" if index % 3 else "A. Lyst",
                "priceTarget": target,
                "adjPriceTarget": target,
                "priceWhenPosted": stands.bar.close if index % 5 else None,
                "newsPublisher": "Example Wire",
                "newsBaseURL": "news.example.com",
                "analystCompany": "Example Brothers",
            }
        )
    return rows


def grades(listed: Listed) -> Row:
    """Return the row of `grades-consensus`."""
    counts = {"strongBuy": 1, "buy": 29, "hold": 11, "sell": 4, "strongSell": 0}
    return {"symbol": listed.symbol, **counts, "consensus": "Buy"}


def after_market_trade(listed: Listed, now: datetime) -> Row | None:
    """Return a row of `batch-aftermarket-trade`; only America has such trades, and not each tells its size."""
    stands = standing(listed, now) if listed.place is Place.NEW_YORK and listed.is_company else None
    if stands is None:
        return None
    return {
        "symbol": listed.symbol,
        "price": round(stands.bar.close * 1.001, 2),
        "tradeSize": None if listed.symbol == "NVDA" else 80,
        "timestamp": int(stands.as_of.timestamp() * 1000) + 311,
    }


def after_market_quote(listed: Listed, now: datetime) -> Row | None:
    """Return the row of `aftermarket-quote`."""
    trade, stands = after_market_trade(listed, now), standing(listed, now)
    if trade is None or stands is None:
        return None
    return {
        "symbol": listed.symbol,
        "bidSize": 1,
        "bidPrice": round(trade["price"] - 0.04, 2),
        "askSize": 3,
        "askPrice": round(trade["price"] + 0.04, 2),
        "volume": stands.bar.volume,
        "timestamp": trade["timestamp"],
    }


def earnings(first: date, last: date, today: date) -> list[Row]:
    """Return the rows of `earnings-calendar`, newest first: some of every weekday, from all over the world."""
    days = [first + timedelta(days=index) for index in range((last - first).days + 1)]
    return [row for day in reversed(days) if day.weekday() < 5 for row in _earnings_of(day, today)]


def _earnings_of(day: date, today: date) -> list[Row]:
    companies = [listed for listed in LISTED if listed.is_company and listed.last_day is None]
    listed = companies[day.toordinal() % len(companies)]
    is_made, expected = day < today, round(listed.price / 100, 2)
    row = {
        "symbol": listed.symbol,
        "date": day.isoformat(),
        "epsActual": round(expected * 1.04, 2) if is_made else None,
        "epsEstimated": expected,
        "revenueActual": 61_000_000_000 if is_made else None,
        "revenueEstimated": 60_000_000_000,
        "lastUpdated": min(day, today).isoformat(),
    }
    nothing_said = dict.fromkeys(("epsActual", "epsEstimated", "revenueActual", "revenueEstimated"))
    return [
        row,
        row | {"symbol": "KO", "epsEstimated": "0.52", "revenueEstimated": ""},
        row | {"symbol": "VOD.L"},
        row | {"symbol": "PFE", **nothing_said, "lastUpdated": ""},
        row | {"symbol": None},
    ]


def general_news(page: int, limit: int, now: datetime) -> list[Row]:
    """Return a page of `news/general-latest`, newest first; it names no symbol."""
    return [_article(None, "Markets", index, now) for index in _page(page, limit)]


def stock_news(symbols: Sequence[Listed], page: int, limit: int, now: datetime) -> list[Row]:
    """Return a page of `news/stock`, newest first."""
    indices = _page(page, limit) if symbols else range(0)
    listed = [symbols[index % len(symbols)] for index in indices]
    return [_article(each.symbol, each.name, index, now) for each, index in zip(listed, indices, strict=True)]


def press_releases(page: int, limit: int, now: datetime) -> list[Row]:
    """Return a page of `news/press-releases-latest`, newest first, some of companies that nobody here knows."""
    symbols = [listed.symbol for listed in LISTED if listed.is_company] + ["VOD.L"]
    return [_article(symbols[index % len(symbols)], "A company", index, now) for index in _page(page, limit)]


def _page(page: int, limit: int) -> range:
    return range(min(page * limit, ARTICLES), min((page + 1) * limit, ARTICLES))


def _article(symbol: str | None, subject: str, index: int, now: datetime) -> Row:
    published = now.astimezone(NEW_YORK).replace(second=37, microsecond=0) - timedelta(minutes=17 * (index + 1))
    return {
        "symbol": symbol,
        "publishedDate": f"{published:%Y-%m-%d %H:%M:%S}",
        "publisher": "Example Wire",
        "title": f"{subject}: report {index}",
        "image": f"https://images.example.com/news/{index}.jpg" if index % 4 else "",
        "site": "news.example.com",
        "text": f"{subject} did something that report {index} is about.",
        "url": f"https://news.example.com/{subject.split(maxsplit=1)[0].lower().strip(',')}/{index}",
    }


def treasury_rates(first: date, last: date, now: datetime) -> list[Row]:
    """Return the rows of `treasury-rates`, newest first; some maturities were not sold at all times."""
    last = min(last, now.astimezone(NEW_YORK).date())
    days = [first + timedelta(days=index) for index in range((last - first).days + 1)]
    return [_rates(day) for day in reversed(days) if day.weekday() < 5]


def _rates(day: date) -> Row:
    shift = day.toordinal() % 40 / 100
    row: Row = {"date": day.isoformat()} | {name: round(rate + shift, 2) for name, rate in MATURITIES.items()}
    if day.day == 1:
        row["month2"] = None
    if day.day == 2:
        row["year20"] = str(row["year20"])
    return row
