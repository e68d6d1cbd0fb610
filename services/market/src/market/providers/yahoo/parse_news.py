"""Yahoo's articles and its calendar of earnings, made ours."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from market.domain.earnings import EarningsReport
from market.domain.news import Article
from market.providers.yahoo.symbols import native_symbol_of
from market.providers.yahoo.wire import (
    AnswerUnreadable,
    Wire,
    mapping,
    moment_of_text,
    number,
    result_of,
    rows,
    text,
)

NEW_YORK = ZoneInfo("America/New_York")


def articles_of(answer: Any, *, symbol: str | None = None) -> Sequence[Article]:
    """Return the articles of an answer, newest first; advertisements and what cannot be read are left out.

    Args:
        answer: of the address for news.
        symbol: what they are about; None takes it from an article that names one instrument, and only one.

    Raises:
        AnswerUnreadable: it is no list of articles.
    """
    stream = mapping(mapping(mapping(answer).get("data")).get("tickerStream")).get("stream")
    if not isinstance(stream, list):
        raise AnswerUnreadable
    contents = [mapping(each.get("content")) for each in rows(stream) if not each.get("ad")]
    articles = [article for content in contents if (article := _article(content, symbol)) is not None]
    return sorted(articles, key=lambda each: each.published_at, reverse=True)


def _article(content: Wire, symbol: str | None) -> Article | None:
    published_at, title, url = moment_of_text(content.get("pubDate")), text(content.get("title")), _url(content)
    if published_at is None or title is None or url is None:
        return None
    return Article(
        published_at=published_at,
        title=title,
        url=url,
        symbol=symbol or _only_symbol(content),
        publisher=text(mapping(content.get("provider")).get("displayName")),
        image=_image(mapping(content.get("thumbnail"))),
        site=urlsplit(url).hostname,
        text=text(content.get("summary")),
    )


def _url(content: Wire) -> str | None:
    links = (text(mapping(content.get(name)).get("url")) for name in ("canonicalUrl", "clickThroughUrl"))
    return next((link for link in links if link and link.startswith(("https://", "http://"))), None)


def _image(thumbnail: Wire) -> str | None:
    return text(thumbnail.get("originalUrl")) or next(
        (url for each in rows(thumbnail.get("resolutions")) if (url := text(each.get("url")))), None
    )


def _only_symbol(content: Wire) -> str | None:
    tickers = rows(mapping(content.get("finance")).get("stockTickers"))
    symbol = text(tickers[0].get("symbol")) if len(tickers) == 1 else None
    return native_symbol_of(symbol) if symbol else None


def count_of_reports(answer: Any) -> int:
    """Return how many rows a page of the calendar of earnings has, readable or not."""
    return len(_table(answer)[1])


def earnings_of(answer: Any, *, first: date, last: date) -> Sequence[EarningsReport]:
    """Return the reports of a page of the calendar from `first` to `last`, both with, by the date in New York.

    Yahoo has no revenues in its calendar, and writes 0 for earnings that it does not know.
    """
    columns, lines = _table(answer)
    reports = (_report(dict(zip(columns, line, strict=False))) for line in lines)
    return [each for each in reports if each is not None and first <= each.on <= last]


def _table(answer: Any) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    results = result_of(answer, "finance")
    documents = rows(results[0].get("documents")) if results else []
    if not documents:
        raise AnswerUnreadable
    columns = [_column(each) for each in rows(documents[0].get("columns"))]
    lines = documents[0].get("rows")
    if not isinstance(lines, list):
        raise AnswerUnreadable
    return columns, [each for each in lines if isinstance(each, list)]


def _column(column: Wire) -> str:
    """Return a column's name; the moment and the time of day are both called `Event Start Date`."""
    label = text(column.get("label")) or ""
    return "Timing" if label == "Event Start Date" and column.get("type") == "STRING" else label


def _report(line: Mapping[str, Any]) -> EarningsReport | None:
    symbol, at = native_symbol_of(text(line.get("Symbol")) or "."), moment_of_text(line.get("Event Start Date"))
    if symbol is None or at is None:
        return None
    return EarningsReport(
        on=at.astimezone(NEW_YORK).date(),
        symbol=symbol,
        eps_actual=number(line.get("Reported EPS")) or None,
        eps_estimated=number(line.get("EPS Estimate")) or None,
    )
