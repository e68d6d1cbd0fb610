"""The stand-in for Financial Modeling Prep: its answers agree with one another, and it keeps its key to itself."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import requests

from upstreams import fmp_faults
from upstreams.faults import Fault
from upstreams.fmp import OURS, SOMEBODY, RunningFmp, fmp_server
from upstreams.fmp_market import BY_SYMBOL, LISTED, Place
from upstreams.fmp_payloads import ODD

AFTERNOON = datetime(2026, 11, 20, 18, 2, tzinfo=UTC)  # a Friday: New York trades, Mumbai has closed
COMPANIES = [listed.symbol for listed in LISTED if listed.is_company]


@pytest.fixture(scope="module")
def fmp() -> Iterator[RunningFmp]:
    with fmp_server(now=lambda: AFTERNOON) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(fmp: RunningFmp) -> Iterator[None]:
    yield
    fmp.faults.clear()


def ask(fmp: RunningFmp, path: str, **parameters: Any) -> Any:
    reply = requests.get(f"{fmp.url}/{path}", params=parameters, headers={"apikey": fmp.key}, timeout=5)
    assert reply.status_code == 200, reply.text
    return reply.json()


class TestKey:
    def test_the_key_is_taken_from_the_header(self, fmp: RunningFmp) -> None:
        assert ask(fmp, "profile", symbol="AAPL")[0]["symbol"] == "AAPL"

    @pytest.mark.parametrize("headers", [{}, {"apikey": "another"}, {"authorization": "fmp-loopback-key"}])
    def test_a_wrong_key_or_none_is_refused(self, fmp: RunningFmp, headers: dict[str, str]) -> None:
        reply = requests.get(f"{fmp.url}/profile", params={"symbol": "AAPL"}, headers=headers, timeout=5)
        assert (reply.status_code, list(reply.json())) == (401, ["Error Message"])

    def test_a_key_in_the_address_is_refused(self, fmp: RunningFmp) -> None:
        reply = requests.get(f"{fmp.url}/profile", params={"symbol": "AAPL", "apikey": fmp.key}, timeout=5)
        assert reply.status_code == 401

    def test_a_key_in_the_address_is_taken_when_told(self) -> None:
        with fmp_server(takes_key_from_query=True) as fmp:
            reply = requests.get(f"{fmp.url}/profile", params={"symbol": "AAPL", "apikey": fmp.key}, timeout=5)
            assert reply.status_code == 200

    def test_the_journal_never_holds_it(self, fmp: RunningFmp) -> None:
        fmp.journal.clear()
        ask(fmp, "profile", symbol="AAPL", apikey=fmp.key)
        requests.get(f"{fmp.url}/profile", headers={"apikey": "another"}, timeout=5)
        assert [request.api_key for request in fmp.journal.requests] == [OURS, SOMEBODY]
        assert fmp.key not in repr(fmp.journal.requests)
        assert "another" not in repr(fmp.journal.requests)


class TestPrices:
    def test_a_quote_agrees_with_the_days(self, fmp: RunningFmp) -> None:
        quotes = ask(fmp, "batch-quote", symbols=",".join(BY_SYMBOL))
        assert [quote["symbol"] for quote in quotes] == [each for each in BY_SYMBOL if each != "TWTR"]
        for quote in quotes:
            newest, before, *_ = ask(fmp, "historical-price-eod/full", symbol=quote["symbol"], **{"from": "2026-10-01"})
            assert quote["price"] == newest["close"]
            assert quote["open"] == newest["open"]
            assert (quote["dayHigh"], quote["dayLow"]) == (newest["high"], newest["low"])
            assert quote["volume"] == newest["volume"]
            assert quote["previousClose"] == before["close"]
            assert quote["yearLow"] <= quote["dayLow"] <= quote["price"] <= quote["dayHigh"] <= quote["yearHigh"]

    def test_one_quote_is_that_of_a_batch(self, fmp: RunningFmp) -> None:
        assert ask(fmp, "quote", symbol="AAPL") == ask(fmp, "batch-quote", symbols="AAPL")
        assert ask(fmp, "quote", symbol="TWTR") == ask(fmp, "quote", symbol="UNHEARDOF") == []

    @pytest.mark.parametrize("symbol", BY_SYMBOL)
    def test_five_minutes_add_up_to_days(self, fmp: RunningFmp, symbol: str) -> None:
        [day] = ask(fmp, "historical-price-eod/full", symbol=symbol, **{"from": "2022-06-01", "to": "2022-06-01"})
        bars = ask(fmp, "historical-chart/5min", symbol=symbol, **{"from": "2022-06-01", "to": "2022-06-01"})
        assert (bars[-1]["open"], bars[0]["close"]) == (day["open"], day["close"])
        assert (max(bar["high"] for bar in bars), min(bar["low"] for bar in bars)) == (day["high"], day["low"])
        assert sum(bar["volume"] for bar in bars) == day["volume"]

    def test_five_minutes_are_by_the_exchange_s_clock(self, fmp: RunningFmp) -> None:
        bars = ask(fmp, "historical-chart/5min", symbol="TCS.NS", **{"from": "2026-11-19", "to": "2026-11-19"})
        assert (bars[-1]["date"], bars[0]["date"]) == ("2026-11-19 09:15:00", "2026-11-19 15:25:00")

    def test_the_day_after_thanksgiving_is_half_a_day(self, fmp: RunningFmp) -> None:
        bars = ask(fmp, "historical-chart/5min", symbol="AAPL", **{"from": "2025-11-28", "to": "2025-11-28"})
        assert bars[0]["date"] == "2025-11-28 12:55:00"

    def test_a_session_that_runs_is_told_as_far_as_it_has_come(self, fmp: RunningFmp) -> None:
        bars = ask(fmp, "historical-chart/5min", symbol="AAPL", **{"from": "2026-11-20"})
        assert bars[0]["date"] == "2026-11-20 13:00:00"

    def test_what_is_listed_no_longer_has_a_past_alone(self, fmp: RunningFmp) -> None:
        days = ask(fmp, "historical-price-eod/full", symbol="TWTR", **{"from": "2022-10-01"})
        assert days[0]["date"] == "2022-10-27"
        assert ask(fmp, "batch-quote", symbols="TWTR") == []
        assert ask(fmp, "profile", symbol="TWTR")[0]["isActivelyTrading"] is False

    def test_there_is_a_limit_of_days(self, fmp: RunningFmp) -> None:
        days = ask(fmp, "historical-price-eod/full", symbol="EURUSD", **{"from": "2000-01-01"})
        assert (len(days), days[0]["date"]) == (5_000, "2026-11-20")

    def test_holidays_differ(self) -> None:
        assert [place.trades_on(date(2026, 1, 26)) for place in Place] == [True, False, True]

    def test_what_the_vendor_does_not_know_is_an_empty_list(self, fmp: RunningFmp) -> None:
        assert ask(fmp, "profile", symbol="UNHEARDOF") == []
        assert ask(fmp, "grades-consensus", symbol="EURUSD") == []
        assert ask(fmp, "batch-quote", symbols="UNHEARDOF") == []


class TestCompanies:
    @pytest.mark.parametrize("symbol", COMPANIES)
    def test_quarters_add_up_to_years(self, fmp: RunningFmp, symbol: str) -> None:
        [year, *_] = ask(fmp, "income-statement", symbol=symbol, limit=1)
        quarters = ask(fmp, "income-statement", symbol=symbol, period="quarter", limit=60)
        parts = [quarter for quarter in quarters if quarter["fiscalYear"] == year["fiscalYear"]]
        assert [part["period"] for part in parts] == ["Q4", "Q3", "Q2", "Q1"]
        assert sum(part["netIncome"] for part in parts) == year["netIncome"]
        assert (year["period"], year["date"]) == ("FY", parts[0]["date"])

    @pytest.mark.parametrize("symbol", COMPANIES)
    def test_assets_are_owed_or_owned(self, fmp: RunningFmp, symbol: str) -> None:
        for sheet in ask(fmp, "balance-sheet-statement", symbol=symbol, period="quarter", limit=8):
            assert sheet["totalAssets"] == sheet["totalLiabilities"] + sheet["totalEquity"]
            assert sheet["totalAssets"] == sheet["totalCurrentAssets"] + sheet["totalNonCurrentAssets"]
            assert sheet["totalEquity"] == sheet["commonStock"] + sheet["retainedEarnings"] > 0

    @pytest.mark.parametrize("symbol", COMPANIES)
    def test_cash_changes_by_what_flowed(self, fmp: RunningFmp, symbol: str) -> None:
        newest, *_ = sheets = ask(fmp, "cash-flow-statement", symbol=symbol, limit=3)
        assert len(sheets) == 3
        flows = ("Operating", "Investing", "Financing")
        assert sum(newest[f"netCashProvidedBy{flow}Activities"] for flow in flows) == newest["netChangeInCash"]
        assert newest["cashAtEndOfPeriod"] - newest["cashAtBeginningOfPeriod"] == newest["netChangeInCash"]
        [balance] = ask(fmp, "balance-sheet-statement", symbol=symbol, limit=1)
        assert balance["cashAndCashEquivalents"] == newest["cashAtEndOfPeriod"]

    def test_dividends_before_a_split_are_adjusted(self, fmp: RunningFmp) -> None:
        rows = {row["date"]: row for row in ask(fmp, "dividends", symbol="AAPL", limit=1_000)}
        assert (rows["2020-08-10"]["dividend"], rows["2020-08-10"]["adjDividend"]) == (0.25, 0.0625)
        assert rows["2020-11-10"]["adjDividend"] == 0.25
        assert rows["2027-02-10"]["recordDate"] == ""
        assert ask(fmp, "dividends", symbol="BRK-B") == []

    def test_analysts_come_in_pages(self, fmp: RunningFmp) -> None:
        first, second = (ask(fmp, "price-target-news", symbol="AAPL", page=page, limit=50) for page in (0, 1))
        assert (len(first), len(second)) == (50, 14)
        assert first[0]["publishedDate"] == "2026-11-19T18:01:00.000Z"


class TestOthers:
    def test_only_america_trades_after_the_session(self, fmp: RunningFmp) -> None:
        rows = ask(fmp, "batch-aftermarket-trade", symbols="NVDA,TCS.NS,EURUSD,TWTR")
        assert [(row["symbol"], row["tradeSize"]) for row in rows] == [("NVDA", None)]
        [quote] = ask(fmp, "aftermarket-quote", symbol="NVDA")
        assert quote["bidPrice"] < rows[0]["price"] < quote["askPrice"]

    def test_the_calendar_is_cut_off(self, fmp: RunningFmp) -> None:
        rows = ask(fmp, "earnings-calendar", **{"from": "2026-11-16", "to": "2026-11-20"})
        assert {row["date"] for row in rows} == {f"2026-11-{day}" for day in range(16, 21)}
        fmp.upstream.max_earnings = 5
        assert ask(fmp, "earnings-calendar", **{"from": "2026-11-16", "to": "2026-11-20"}) == rows[:5]
        fmp.upstream.max_earnings = 4_000

    def test_news_come_in_pages_newest_first(self, fmp: RunningFmp) -> None:
        pages = [ask(fmp, "news/general-latest", page=page, limit=100) for page in range(4)]
        assert [len(page) for page in pages] == [100, 100, 40, 0]
        moments = [row["publishedDate"] for page in pages for row in page]
        assert moments == sorted(moments, reverse=True)
        assert moments[0] == "2026-11-20 12:45:37"
        assert {row["symbol"] for row in ask(fmp, "news/stock", symbols="AAPL,TCS.NS")} == {"AAPL", "TCS.NS"}
        assert ask(fmp, "news/stock", symbols="UNHEARDOF") == []

    def test_treasuries_are_at_most_ninety_days(self, fmp: RunningFmp) -> None:
        rows = ask(fmp, "treasury-rates", **{"from": "2026-01-01", "to": "2026-10-30"})
        assert (rows[0]["date"], rows[-1]["date"]) == ("2026-10-30", "2026-08-03")

    @pytest.mark.parametrize(
        ("path", "parameters"),
        [("profile", {}), ("treasury-rates", {"from": "soon"}), ("news/stock", {"page": "x"})],
    )
    def test_a_bad_question_is_an_error(self, fmp: RunningFmp, path: str, parameters: dict[str, str]) -> None:
        reply = requests.get(f"{fmp.url}/{path}", params=parameters, headers={"apikey": fmp.key}, timeout=5)
        assert (reply.status_code, list(reply.json())) == (400, ["Error Message"])

    def test_odd_rows(self, fmp: RunningFmp) -> None:
        [quote] = ask(fmp, "batch-quote", symbols=ODD)
        assert (quote["price"], quote["yearHigh"]) == ("12.50", "NaN")
        rows = ask(fmp, "historical-price-eod/full", symbol=ODD, **{"from": "2026-11-10", "to": "2026-11-20"})
        assert [row["close"] for row in rows[:2]] == ["10.5", None]


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "status", "beginning"),
        [
            (fmp_faults.bad_key(), 401, b'{"Error Message"'),
            (fmp_faults.legacy(), 403, b'{"Error Message"'),
            (fmp_faults.exclusive(), 403, b'{"Error Message"'),
            (fmp_faults.not_sold(), 402, b"Premium Query"),
            (fmp_faults.throttled(), 429, b'{"Error Message"'),
            (fmp_faults.throttled_in_200(), 200, b'{"Error Message"'),
            (Fault.html(), 200, b"<html>"),
            (Fault.answer(200, b"[]"), 200, b"[]"),
        ],
    )
    def test_each_error_of_the_vendor(self, fmp: RunningFmp, fault: Fault, status: int, beginning: bytes) -> None:
        fmp.faults.next("/profile", fault)
        reply = requests.get(f"{fmp.url}/profile", headers={"apikey": fmp.key}, timeout=5)
        assert (reply.status_code, reply.content.startswith(beginning)) == (status, True)
        assert "retry-after" not in reply.headers
