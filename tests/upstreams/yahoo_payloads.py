"""Yahoo's answers in their wire form, made from the market's facts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from upstreams.yahoo_market import (
    DAY,
    NEW_YORK,
    Bar,
    Issue,
    Session,
    YahooMarket,
    dividend_days,
    session_of,
)
from upstreams.yahoo_statements import reported, yearly_earnings_a_share

Json = dict[str, Any]
GRADES = (("Harbor Research", "Buy", "Hold", "up", 1.10), ("Cedar Partners", "Overweight", "", "init", 0.0))


def failed(envelope: str, code: str, description: str) -> Json:
    """Return an envelope that says what went wrong."""
    return {envelope: {"result": None, "error": {"code": code, "description": description}}}


def held(envelope: str, result: Sequence[Any]) -> Json:
    """Return an envelope with results."""
    return {envelope: {"result": list(result), "error": None}}


def seconds(moment: datetime) -> int:
    """Return a moment as Yahoo writes it."""
    return int(moment.timestamp())


# --- charts


def chart(market: YahooMarket, issue: Issue, bars: Sequence[Bar], first: date, *, interval: str) -> Json:
    """Return a chart of bars, with dividends and splits from `first` on."""
    result: Json = {"meta": _chart_meta(market, issue, bars, interval)}
    if bars:
        result["timestamp"] = [seconds(bar.at) for bar in bars]
    columns = {name: [getattr(bar, name) for bar in bars] for name in ("open", "high", "low", "close", "volume")}
    result["indicators"] = {"quote": [columns if bars else {}]}
    if interval == "1d" and bars:
        result["indicators"]["adjclose"] = [{"adjclose": _adjusted_for_dividends(issue, bars)}]
    if events := _events(issue, first, market.now().date()):
        result["events"] = events
    return held("chart", [result])


def _chart_meta(market: YahooMarket, issue: Issue, bars: Sequence[Bar], interval: str) -> Json:
    session = market.current_session(issue)
    meta: Json = {
        "currency": issue.currency,
        "symbol": issue.symbol,
        "exchangeName": issue.exchange,
        "fullExchangeName": issue.exchange_name,
        "instrumentType": issue.kind,
        "firstTradeDate": seconds(datetime.combine(issue.first_day, issue.place.opens, ZoneInfo(issue.place.zone))),
        "hasPrePostMarketData": issue.place.before is not None,
        "gmtoffset": _offset(issue, market.now()),
        "timezone": _short_zone(issue, market.now()),
        "exchangeTimezoneName": issue.place.zone,
        "longName": issue.name,
        "shortName": issue.name,
        "priceHint": 2,
        "currentTradingPeriod": _periods(issue, session),
        "dataGranularity": interval,
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }
    last = _last_bar(market, issue)
    if last is not None:
        meta |= {"regularMarketPrice": last.close, "regularMarketTime": seconds(_priced_at(market, issue))}
    if interval != "1d":
        days = {bar.at.astimezone(ZoneInfo(issue.place.zone)).date() for bar in bars}
        sessions = [each for day in sorted(days) if (each := session_of(issue.place, day)) is not None]
        meta["tradingPeriods"] = [[_period(issue, each.opens_at, each.closes_at)] for each in sessions]
    return meta


def _periods(issue: Issue, session: Session) -> Json:
    zone = ZoneInfo(issue.place.zone)
    before, after = (
        datetime.combine(session.day, at, zone) if at is not None else edge
        for at, edge in ((issue.place.before, session.opens_at), (issue.place.after, session.closes_at))
    )
    return {
        "pre": _period(issue, before, session.opens_at),
        "regular": _period(issue, session.opens_at, session.closes_at),
        "post": _period(issue, session.closes_at, after),
    }


def _period(issue: Issue, begin: datetime, end: datetime) -> Json:
    return {
        "timezone": _short_zone(issue, begin),
        "start": seconds(begin),
        "end": seconds(end),
        "gmtoffset": _offset(issue, begin),
    }


def _offset(issue: Issue, at: datetime) -> int:
    offset = at.astimezone(ZoneInfo(issue.place.zone)).utcoffset() or timedelta()
    return int(offset.total_seconds())


def _short_zone(issue: Issue, at: datetime) -> str:
    return at.astimezone(ZoneInfo(issue.place.zone)).strftime("%Z")


def _events(issue: Issue, first: date, last: date) -> Json:
    dividends = {
        str(at): {"amount": issue.dividend, "date": at}
        for day in dividend_days(issue, first, last)
        for at in [_open_seconds(issue, day)]
    }
    splits = {
        str(at): {"date": at, "numerator": float(new), "denominator": float(old), "splitRatio": f"{new}:{old}"}
        for day, new, old in issue.splits
        if first <= day <= last
        for at in [_open_seconds(issue, day)]
    }
    return {name: each for name, each in (("dividends", dividends), ("splits", splits)) if each}


def _open_seconds(issue: Issue, day: date) -> int:
    session = session_of(issue.place, day)
    return seconds(session.opens_at if session else datetime.combine(day, time(), ZoneInfo(issue.place.zone)))


def _adjusted_for_dividends(issue: Issue, bars: Sequence[Bar]) -> list[float]:
    zone = ZoneInfo(issue.place.zone)
    paid = set(dividend_days(issue, bars[0].at.astimezone(zone).date(), bars[-1].at.astimezone(zone).date()))
    adjusted, factor = [], 1.0
    for bar in reversed(bars):
        adjusted.append(round(bar.close * factor, 6))
        if bar.at.astimezone(zone).date() in paid:
            factor *= 1 - issue.dividend / bar.close
    return adjusted[::-1]


# --- quotes


def quote(market: YahooMarket, issue: Issue) -> Json:
    """Return a row of the address for quotes."""
    row: Json = {
        "language": "en-US",
        "region": "US",
        "quoteType": issue.kind,
        "typeDisp": issue.kind.title(),
        "triggerable": True,
        "customPriceAlertConfidence": "HIGH",
        "exchange": issue.exchange,
        "fullExchangeName": issue.exchange_name,
        "market": "us_market" if issue.place is NEW_YORK else "in_market",
        "shortName": issue.name,
        "longName": issue.name,
        "exchangeTimezoneName": issue.place.zone,
        "exchangeTimezoneShortName": _short_zone(issue, market.now()),
        "gmtOffSetMilliseconds": _offset(issue, market.now()) * 1000,
        "esgPopulated": False,
        "tradeable": False,
        "cryptoTradeable": False,
        "symbol": issue.symbol,
    }
    if issue.last_day is not None:
        return row | {"quoteType": "NONE"}
    bars = _year_of_bars(market, issue)
    today, before = bars[-1], bars[-2]
    change = today.close - before.close
    row |= {
        "currency": issue.currency,
        "marketState": market_state(market, issue),
        "quoteSourceName": "Delayed Quote" if issue.delay_minutes else "Nasdaq Real Time Price",
        "sourceInterval": 15,
        "exchangeDataDelayedBy": issue.delay_minutes,
        "priceHint": 2,
        "firstTradeDateMilliseconds": _open_seconds(issue, issue.first_day) * 1000,
        "regularMarketPrice": today.close,
        "regularMarketTime": seconds(_priced_at(market, issue)),
        "regularMarketChange": change,
        "regularMarketChangePercent": change / before.close * 100,
        "regularMarketPreviousClose": before.close,
        "regularMarketOpen": today.open,
        "regularMarketDayHigh": today.high,
        "regularMarketDayLow": today.low,
        "regularMarketDayRange": f"{today.low} - {today.high}",
        "regularMarketVolume": today.volume,
        "averageDailyVolume3Month": _mean([bar.volume for bar in bars[-63:]]),
        "averageDailyVolume10Day": _mean([bar.volume for bar in bars[-10:]]),
        "fiftyTwoWeekHigh": max(bar.high for bar in bars),
        "fiftyTwoWeekLow": min(bar.low for bar in bars),
        "fiftyDayAverage": sum(bar.close for bar in bars[-50:]) / 50,
        "twoHundredDayAverage": sum(bar.close for bar in bars[-200:]) / 200,
        "bid": round(today.close * 0.9998, 4),
        "ask": round(today.close * 1.0002, 4),
        "bidSize": 2,
        "askSize": 4,
    }
    if issue.kind == "EQUITY":
        earnings = yearly_earnings_a_share(issue, market.now().date())
        row |= {"marketCap": int(today.close * issue.shares), "sharesOutstanding": issue.shares}
        row |= {"epsTrailingTwelveMonths": earnings, "trailingPE": today.close / earnings}
    return row | _outside(market, issue, today)


def market_state(market: YahooMarket, issue: Issue) -> str:
    """Return the word for what goes on where an issue trades."""
    now = market.now()
    session = market.current_session(issue)
    if market.is_open(issue):
        return "REGULAR"
    zone = ZoneInfo(issue.place.zone)
    if session.day != now.astimezone(zone).date() or issue.place.before is None or issue.place.after is None:
        return "CLOSED"
    if now < session.opens_at:
        return "PRE" if datetime.combine(session.day, issue.place.before, zone) <= now else "PREPRE"
    return "POST" if now < datetime.combine(session.day, issue.place.after, zone) else "POSTPOST"


def _outside(market: YahooMarket, issue: Issue, today: Bar) -> Json:
    """Return the last trade outside the session; Yahoo shows none while one runs."""
    if issue.kind != "EQUITY" or issue.place.after is None or market.is_open(issue):
        return {}
    now, zone = market.now(), ZoneInfo(issue.place.zone)
    traded = session_of(issue.place, today.at.astimezone(zone).date())
    if traded is None:
        return {}
    ended_at = datetime.combine(traded.day, issue.place.after, zone).astimezone(UTC)
    paid = round(today.close * 1.003, 4)
    shown: Json = {"postMarketPrice": paid, "postMarketTime": seconds(min(now, ended_at) - timedelta(seconds=4))}
    if market_state(market, issue) == "PRE":
        shown |= {"preMarketPrice": round(paid * 1.001, 4), "preMarketTime": seconds(now - timedelta(seconds=4))}
    return shown


def _year_of_bars(market: YahooMarket, issue: Issue) -> Sequence[Bar]:
    today = market.now().astimezone(ZoneInfo(issue.place.zone)).date()
    return list(market.days(issue, today - timedelta(days=365), today))


def _last_bar(market: YahooMarket, issue: Issue) -> Bar | None:
    if issue.last_day is not None:
        return None
    today = market.now().astimezone(ZoneInfo(issue.place.zone)).date()
    bars = list(market.days(issue, today - timedelta(days=10), today))
    return bars[-1] if bars else None


def _priced_at(market: YahooMarket, issue: Issue) -> datetime:
    """Return when the last price was made: by the delay before now, and not after the close."""
    now = market.now()
    session = market.current_session(issue)
    if session.opens_at > now:
        day = session.day - DAY
        while (earlier := session_of(issue.place, day)) is None:
            day -= DAY
        session = earlier
    return min(now - timedelta(minutes=issue.delay_minutes, seconds=1), session.closes_at)


def _mean(counts: Sequence[int]) -> int:
    return sum(counts) // max(len(counts), 1)


# --- companies


def summary(market: YahooMarket, issue: Issue, modules: Sequence[str]) -> Json | None:
    """Return the modules asked for; None for what has none."""
    if issue.kind != "EQUITY" or issue.last_day is not None:
        return None
    row = quote(market, issue)
    known = {
        "assetProfile": _asset_profile(issue),
        "summaryDetail": _summary_detail(issue, row),
        "price": _price(row),
        "quoteType": {"quoteType": issue.kind, "symbol": issue.symbol, "exchange": issue.exchange},
        "defaultKeyStatistics": {"sharesOutstanding": issue.shares, "trailingEps": row["epsTrailingTwelveMonths"]},
        "financialData": {"currentPrice": row["regularMarketPrice"], "financialCurrency": issue.currency},
        "calendarEvents": {"maxAge": 1, "earnings": {"earningsDate": []}},
        "recommendationTrend": {"trend": _trend(), "maxAge": 86400},
        "upgradeDowngradeHistory": {"history": _grades(market, row), "maxAge": 86400},
    }
    return held("quoteSummary", [{name: known[name] for name in modules if name in known}])


def _asset_profile(issue: Issue) -> Json:
    return {
        "address1": "One Example Way",
        "city": "Example City",
        "state": "CA",
        "zip": "95014",
        "country": issue.country,
        "phone": "555 0100",
        "website": "https://www.example.com",
        "industry": issue.industry,
        "sector": issue.sector,
        "longBusinessSummary": f"{issue.name} makes what this market needs.",
        "fullTimeEmployees": 1000 + issue.shares // 1_000_000,
        "companyOfficers": [
            {"name": "Ms. A. Ledger", "title": "Chief Financial Officer", "maxAge": 1},
            {"name": "Mr. B. Chair", "title": "CEO & Director", "maxAge": 1},
        ],
        "maxAge": 86400,
    }


def _summary_detail(issue: Issue, row: Json) -> Json:
    return {
        "previousClose": row["regularMarketPreviousClose"],
        "beta": 1.21,
        "trailingAnnualDividendRate": round(issue.dividend * 4, 4),
        "averageVolume": row["averageDailyVolume3Month"],
        "marketCap": row["marketCap"],
        "fiftyTwoWeekLow": row["fiftyTwoWeekLow"],
        "fiftyTwoWeekHigh": row["fiftyTwoWeekHigh"],
        "currency": issue.currency,
        "maxAge": 1,
    }


def _price(row: Json) -> Json:
    names = ("Price", "Time", "Change", "PreviousClose", "Open", "DayHigh", "DayLow", "Volume")
    return {
        **{f"regularMarket{name}": row[f"regularMarket{name}"] for name in names},
        "regularMarketChangePercent": row["regularMarketChangePercent"] / 100,
        **{name: row[name] for name in ("currency", "symbol", "longName", "shortName", "marketCap", "quoteType")},
        "exchange": row["exchange"],
        "exchangeName": row["fullExchangeName"],
        "marketState": row["marketState"],
        "maxAge": 1,
    }


def _trend() -> list[Json]:
    votes = {"strongBuy": 7, "buy": 21, "hold": 9, "sell": 2, "strongSell": 0}
    return [{"period": period, **votes} for period in ("0m", "-1m", "-2m", "-3m")]


def _grades(market: YahooMarket, row: Json) -> list[Json]:
    today = datetime.combine(market.now().date(), time(13), UTC)
    return [
        {
            "epochGradeDate": seconds(today - timedelta(days=11 * place + 3)),
            "firm": firm,
            "toGrade": to_grade,
            "fromGrade": from_grade,
            "action": action,
            "priceTargetAction": "Raises" if factor else "",
            "currentPriceTarget": round(row["regularMarketPrice"] * factor, 0),
            "priorPriceTarget": round(row["regularMarketPrice"] * factor * 0.9, 0),
        }
        for place, (firm, to_grade, from_grade, action, factor) in enumerate(GRADES * 4)
    ]


def timeseries(market: YahooMarket, issue: Issue, types: Sequence[str]) -> Json:
    """Return the figures asked for; those that a company does not report are empty series."""
    today = market.now().date()
    by_kind = {
        "annual": (reported(issue, today, is_annual=True), "12M"),
        "quarterly": (reported(issue, today, is_annual=False), "3M"),
    }
    return held("timeseries", [_series(issue, each, by_kind) for each in types])


def _series(issue: Issue, name: str, by_kind: Mapping[str, tuple[Mapping[date, Mapping[str, float]], str]]) -> Json:
    series: Json = {"meta": {"symbol": [issue.symbol], "type": [name]}}
    kind = next((kind for kind in by_kind if name.startswith(kind)), None)
    if kind is None:
        return series
    periods, period_type = by_kind[kind]
    figure = name.removeprefix(kind)
    found = {end: figures[figure] for end, figures in sorted(periods.items()) if figure in figures}
    if not found:
        return series
    series["timestamp"] = [seconds(datetime.combine(end, time(), UTC)) for end in found]
    series[name] = [
        {
            "dataId": 20100,
            "asOfDate": end.isoformat(),
            "periodType": period_type,
            "currencyCode": issue.currency,
            "reportedValue": {"raw": value, "fmt": f"{value:,.2f}"},
        }
        for end, value in found.items()
    ]
    return series


# --- news and calendars


def news(market: YahooMarket, symbols: Sequence[str], *, kind: str, limit: int) -> Json:
    """Return the newest articles about symbols, an advertisement among them."""
    known = [market.issues[symbol] for symbol in symbols if symbol in market.issues]
    newest = market.now().replace(minute=0, second=0, microsecond=0)
    articles = [
        _article(known[place % len(known)], newest - timedelta(hours=3 * place), kind)
        for place in range(limit if known else 0)
    ]
    advertisement = {"ad": [{"id": "0"}], "content": None}
    stream = [*articles[:2], advertisement, *articles[2:]] if articles else []
    return {"data": {"tickerStream": {"stream": stream, "pagination": {"uuids": ""}}}, "status": "OK"}


def _article(issue: Issue, at: datetime, kind: str) -> Json:
    name = f"{issue.symbol.strip('^').lower()}-{at:%Y%m%d%H}"
    url = f"https://finance.yahoo.com/news/{name}.html"
    word = "announces" if kind == "pressRelease" else "moves"
    return {
        "id": name,
        "content": {
            "id": name,
            "contentType": "STORY",
            "title": f"{issue.name} {word} on {at:%d %B %Y}",
            "description": "",
            "summary": f"What {issue.name} did, in short.",
            "pubDate": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "displayTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "thumbnail": {"originalUrl": f"https://s.yimg.com/{name}.jpg", "resolutions": []},
            "provider": {"displayName": "Example Wire", "url": "https://www.example.com"},
            "canonicalUrl": {"url": url, "site": "finance", "region": "US", "lang": "en-US"},
            "clickThroughUrl": {"url": url},
            "finance": {"stockTickers": [{"symbol": issue.symbol}], "premiumFinance": {"isPremiumNews": False}},
        },
    }


EARNINGS_COLUMNS = (
    ("Symbol", "STRING"),
    ("Company Name", "STRING"),
    ("Market Cap (Intraday)", "NUMBER"),
    ("Event Name", "STRING"),
    ("Event Start Date", "DATE"),
    ("Event Start Date", "STRING"),
    ("EPS Estimate", "NUMBER"),
    ("Reported EPS", "NUMBER"),
    ("Surprise (%)", "NUMBER"),
)
# When, in days from today, the companies of a market report, in their order; each a second time as another event.
REPORT_DAYS = (1, -1, 5)
OTHERS_A_DAY = 9


def earnings(market: YahooMarket, first: str, until: str, *, offset: int, size: int) -> Json:
    """Return a page of the calendar, from a day to the first moment of another."""
    lines = [line for line in _reports(market) if first <= line[4] <= until + "T00:00:00.000Z"]
    columns = [{"label": label, "type": kind} for label, kind in EARNINGS_COLUMNS]
    page = sorted(lines, key=lambda line: (-line[2], line[0], line[4]))[offset : offset + size]
    return held("finance", [{"documents": [{"columns": columns, "rows": page}], "total": len(lines)}])


def _reports(market: YahooMarket) -> list[list[Any]]:
    today = market.now().date()
    companies = [each for each in market.issues.values() if each.fiscal_month and each.place is NEW_YORK]
    listed = [each for each in companies if each.last_day is None]
    lines = [
        _report(issue.symbol, issue.name, today + timedelta(days=REPORT_DAYS[place % len(REPORT_DAYS)]), today)
        for place, issue in enumerate(listed)
    ]
    for days in range(-3, 20):
        names = [f"Q{chr(65 + (days + 3) % 26)}{chr(65 + place)}" for place in range(OTHERS_A_DAY)]
        lines += [_report(name, f"{name} Holdings", today + timedelta(days=days), today) for name in names]
    return lines


def _report(symbol: str, name: str, day: date, today: date) -> list[Any]:
    # In the evening in New York, which is the next day in UTC.
    at = datetime.combine(day, time(20, 15), ZoneInfo("America/New_York")).astimezone(UTC)
    is_made = day < today
    worth, figures = len(name) * 1_000_000_000, [1.25, 1.31 if is_made else 0.0, 4.8 if is_made else 0.0]
    return [symbol, name, worth, f"Q3 {day.year} Earnings", f"{at:%Y-%m-%dT%H:%M:%S.000Z}", "AMC", *figures]


def screened(market: YahooMarket, *, region: str, offset: int, size: int) -> Json:
    """Return a page of the shares of a region, `us` or `in`, by what they are worth."""
    place_is_american = region == "us"
    found = [
        quote(market, each)
        for each in market.issues.values()
        if each.kind == "EQUITY" and each.last_day is None and (each.place is NEW_YORK) is place_is_american
    ]
    found.sort(key=lambda row: row["marketCap"], reverse=True)
    page = found[offset : offset + size]
    return held("finance", [{"total": len(found), "start": offset, "count": len(page), "quotes": page}])
