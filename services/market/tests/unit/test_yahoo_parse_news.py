import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from market.domain.earnings import EarningsReport
from market.domain.news import Article
from market.providers.yahoo.parse_news import articles_of, count_of_reports, earnings_of
from market.providers.yahoo.wire import AnswerUnreadable


def content(**fields: Any) -> dict[str, Any]:
    known = {
        "id": "1",
        "contentType": "STORY",
        "title": "Apple moves",
        "summary": "What it did.",
        "pubDate": "2026-01-14T12:00:00Z",
        "provider": {"displayName": "Example Wire", "url": "https://www.example.com"},
        "canonicalUrl": {"url": "https://finance.example.com/news/1.html"},
        "clickThroughUrl": {"url": "https://finance.yahoo.com/news/1.html"},
        "thumbnail": {"originalUrl": "https://s.yimg.com/1.jpg"},
    }
    return known | fields


def stream(*entries: Any) -> Any:
    return json.loads(json.dumps({"data": {"tickerStream": {"stream": list(entries)}}, "status": "OK"}))


def article(**fields: Any) -> Article | None:
    found = articles_of(stream({"content": content(**fields)}))
    return found[0] if found else None


class TestArticles:
    def test_every_field_is_read(self) -> None:
        assert article() == Article(
            published_at=datetime(2026, 1, 14, 12, tzinfo=UTC),
            title="Apple moves",
            url="https://finance.example.com/news/1.html",
            symbol=None,
            publisher="Example Wire",
            image="https://s.yimg.com/1.jpg",
            site="finance.example.com",
            text="What it did.",
        )

    def test_advertisements_are_left_out_and_the_newest_is_first(self) -> None:
        entries = [
            {"content": content(title="old", pubDate="2026-01-13T12:00:00Z")},
            {"ad": [{"id": "0"}], "content": content(title="buy this")},
            {"content": content(title="new")},
            {"content": None},
            "nothing",
        ]
        assert [each.title for each in articles_of(stream(*entries))] == ["new", "old"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"title": None},
            {"title": "  "},
            {"pubDate": "yesterday"},
            {"pubDate": None},
            {"canonicalUrl": None, "clickThroughUrl": None},
            {"canonicalUrl": {"url": "javascript:alert(1)"}, "clickThroughUrl": {"url": "data:text/html,x"}},
        ],
    )
    def test_what_cannot_be_shown_is_left_out(self, fields: dict[str, Any]) -> None:
        assert article(**fields) is None

    def test_the_other_link_stands_in(self) -> None:
        found = article(canonicalUrl=None)
        assert found is not None
        assert found.url == "https://finance.yahoo.com/news/1.html"

    def test_a_picture_may_come_in_sizes_or_not_at_all(self) -> None:
        sized = article(thumbnail={"resolutions": [{"tag": "x"}, {"url": "https://s.yimg.com/small.jpg"}]})
        assert sized is not None
        assert sized.image == "https://s.yimg.com/small.jpg"
        bare = article(thumbnail=None, provider=None, summary="")
        assert bare is not None
        assert (bare.image, bare.publisher, bare.text) == (None, None, None)

    @pytest.mark.parametrize(
        ("tickers", "symbol"),
        [
            ([{"symbol": "AAPL"}], "AAPL"),
            ([{"symbol": "BRK-B"}], "BRK.B"),
            ([{"symbol": "AAPL"}, {"symbol": "MSFT"}], None),
            ([{"symbol": "^GSPC"}], None),
            ([{}], None),
            (None, None),
        ],
    )
    def test_an_article_about_one_company_names_it(self, tickers: Any, symbol: str | None) -> None:
        found = article(finance={"stockTickers": tickers})
        assert found is not None
        assert found.symbol == symbol

    def test_what_was_asked_for_is_what_it_is_about(self) -> None:
        [found] = articles_of(stream({"content": content()}), symbol="TCS")
        assert found.symbol == "TCS"

    def test_an_empty_answer_has_no_articles_and_another_is_unreadable(self) -> None:
        assert articles_of(stream()) == []
        no_answers: list[Any] = [{}, {"data": {}}, {"data": {"tickerStream": {"stream": None}}}, "<html>"]
        for broken in no_answers:
            with pytest.raises(AnswerUnreadable):
                articles_of(broken)


COLUMNS = [
    {"label": "Symbol", "type": "STRING"},
    {"label": "Event Start Date", "type": "DATE"},
    {"label": "Event Start Date", "type": "STRING"},
    {"label": "EPS Estimate", "type": "NUMBER"},
    {"label": "Reported EPS", "type": "NUMBER"},
]


def calendar(*lines: Any) -> Any:
    documents = [{"columns": COLUMNS, "rows": list(lines)}]
    return json.loads(json.dumps({"finance": {"result": [{"documents": documents}], "error": None}}))


FIRST, LAST = date(2026, 1, 13), date(2026, 1, 15)


class TestEarnings:
    def test_days_are_new_yorks(self) -> None:
        answer = calendar(
            ["AAPL", "2026-01-16T01:15:00.000Z", "AMC", 2.5, 0.0],
            ["BRK-B", "2026-01-13T05:00:00.000Z", "TNS", -1.1, 1.2],
            ["LATE", "2026-01-16T05:00:00.000Z", "BMO", 1, 1],
            ["EARLY", "2026-01-13T04:59:00.000Z", "BMO", 1, 1],
        )
        assert earnings_of(answer, first=FIRST, last=LAST) == [
            EarningsReport(LAST, "AAPL", eps_actual=None, eps_estimated=2.5),
            EarningsReport(FIRST, "BRK.B", eps_actual=1.2, eps_estimated=-1.1),
        ]

    def test_a_day_in_summer_begins_an_hour_earlier(self) -> None:
        answer = calendar(["AAPL", "2026-07-31T04:00:00.000Z", "AMC", 2.5, None])
        [report] = earnings_of(answer, first=date(2026, 7, 1), last=date(2026, 7, 31))
        assert report.on == date(2026, 7, 31)

    @pytest.mark.parametrize(
        "line",
        [
            [None, "2026-01-14T12:00:00.000Z", "AMC", 1, 1],
            ["AAPL", None, "AMC", 1, 1],
            ["AAPL"],
            ["SAP.DE", "2026-01-14T12:00:00.000Z", "AMC", 1, 1],
            {"Symbol": "AAPL"},
        ],
    )
    def test_what_cannot_be_read_is_left_out(self, line: Any) -> None:
        assert earnings_of(calendar(line), first=FIRST, last=LAST) == []

    def test_rows_are_counted_whether_or_not_they_can_be_read(self) -> None:
        assert count_of_reports(calendar(["AAPL"], [None])) == 2

    @pytest.mark.parametrize(
        "broken",
        [
            {"finance": {"result": [], "error": None}},
            {"finance": {"result": [{"documents": []}], "error": None}},
            {"finance": {"result": [{"documents": [{"columns": COLUMNS, "rows": None}]}], "error": None}},
        ],
    )
    def test_what_is_no_calendar_is_unreadable(self, broken: Any) -> None:
        with pytest.raises(AnswerUnreadable):
            earnings_of(broken, first=FIRST, last=LAST)
