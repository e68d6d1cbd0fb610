import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from market.domain.after_market import AfterMarketTrade
from market.domain.aliases import yahoo_symbol
from market.domain.capabilities import Capability, NothingKnown
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quote_details import QuoteDetails
from market.domain.quote_sources import SourceRefused
from market.domain.quotes import Freshness, Quote
from market.providers.reference.listing import read_listing
from market.providers.yahoo.parse_quotes import after_market_quote_of, after_market_trades_of, details_of, quotes_of
from market.providers.yahoo.symbols import by_symbol, is_covered, native_symbol_of
from market.providers.yahoo.wire import AnswerUnreadable, count, moment, moment_of_text, number, result_of, text

BY_ID = {each.instrument.id: each.instrument for each in read_listing()}
APPLE, TCS, NIFTY, EURO = (BY_ID[each] for each in ("NASDAQ:AAPL", "NSE:TCS", "INDEX:NIFTY50", "FX:EURUSD"))
AT = datetime(2026, 1, 14, 15, 2, tzinfo=UTC)
NOW = AT + timedelta(seconds=5)


class Rule:
    """Judges everything the same."""

    def __init__(self, freshness: Freshness = Freshness.LIVE) -> None:
        self._freshness = freshness

    def of(self, instrument: Instrument, as_of: datetime) -> Freshness:
        return self._freshness


def row(symbol: str = "AAPL", **fields: Any) -> dict[str, Any]:
    """A row as Yahoo has it while New York's session runs; None leaves a field out."""
    known = {
        "language": "en-US",
        "quoteType": "EQUITY",
        "quoteSourceName": "Nasdaq Real Time Price",
        "currency": "USD",
        "marketState": "REGULAR",
        "exchangeDataDelayedBy": 0,
        "gmtOffSetMilliseconds": -18000000,
        "regularMarketPrice": 235.92,
        "regularMarketTime": int(AT.timestamp()),
        "regularMarketPreviousClose": 235.04,
        "regularMarketOpen": 235.45,
        "regularMarketDayHigh": 236.01,
        "regularMarketDayLow": 235.36,
        "regularMarketVolume": 293154,
        "symbol": symbol,
    }
    return {name: value for name, value in (known | fields).items() if value is not None}


def answer(*rows: Mapping[str, Any]) -> Any:
    """What came, read as it is read."""
    return json.loads(json.dumps({"quoteResponse": {"result": list(rows), "error": None}}))


def quote_of(
    instrument: Instrument = APPLE, *, judged: Freshness = Freshness.LIVE, now: datetime = NOW, **fields: Any
) -> Quote | None:
    asked = by_symbol([instrument])
    [symbol] = asked
    found = quotes_of(answer(row(symbol, **fields)), asked, rule=Rule(judged), now=now)
    return found.get(instrument.id)


class TestQuotes:
    def test_every_field_is_read(self) -> None:
        quote = quote_of()
        assert quote is not None
        assert (quote.last_price, quote.previous_close, quote.open) == (235.92, 235.04, 235.45)
        assert (quote.high, quote.low, quote.volume) == (236.01, 235.36, 293154)
        assert (quote.provenance.source, quote.provenance.as_of) == ("yahoo", AT)

    @pytest.mark.parametrize("absent", [None, 0, float("nan"), float("inf"), "Infinity", True, [], "12"])
    def test_what_is_no_price_is_absent(self, absent: Any) -> None:
        quote = quote_of(regularMarketOpen=absent, regularMarketPreviousClose=absent)
        assert quote is not None
        assert (quote.open, quote.previous_close) == (None, None)

    @pytest.mark.parametrize(
        "fields",
        [
            {"regularMarketPrice": None},
            {"regularMarketPrice": 0.0},
            {"regularMarketPrice": float("nan")},
            {"regularMarketTime": None},
            {"regularMarketTime": 1e300},
            {"currency": "INR"},
        ],
    )
    def test_a_row_without_a_price_is_left_out(self, fields: dict[str, Any]) -> None:
        assert quote_of(**fields) is None

    def test_formatted_numbers_are_read_too(self) -> None:
        quote = quote_of(regularMarketPrice={"raw": 101.5, "fmt": "101.50"})
        assert quote is not None
        assert quote.last_price == 101.5

    def test_what_was_not_asked_for_is_passed_over(self) -> None:
        rows = answer(row("MSFT"), row("AAPL"), "not a row")  # type: ignore[arg-type]
        assert quotes_of(rows, by_symbol([APPLE]), rule=Rule(), now=NOW).keys() == {APPLE.id}

    @pytest.mark.parametrize(
        ("instrument", "currency", "volume", "expected"),
        [(APPLE, "USD", 0, 0), (NIFTY, "INR", 0, None), (NIFTY, "INR", 7, 7), (EURO, "USD", 0, None)],
    )
    def test_nobody_counts_what_pairs_and_some_indices_trade(
        self, instrument: Instrument, currency: str, volume: int, expected: int | None
    ) -> None:
        quote = quote_of(instrument, currency=currency, regularMarketVolume=volume)
        assert quote is not None
        assert quote.volume == expected


class TestFreshness:
    @pytest.mark.parametrize(
        ("judged", "fields", "freshness"),
        [
            (Freshness.LIVE, {}, Freshness.LIVE),
            (Freshness.STALE, {}, Freshness.STALE),
            (Freshness.STALE, {"exchangeDataDelayedBy": 15}, Freshness.DELAYED),
            (Freshness.STALE, {"quoteSourceName": "Delayed Quote"}, Freshness.DELAYED),
            (Freshness.CLOSED, {}, Freshness.CLOSED),
            (Freshness.CLOSED, {"exchangeDataDelayedBy": 15}, Freshness.DELAYED),
            (Freshness.CLOSED, {"marketState": "POST"}, Freshness.CLOSED),
            (Freshness.LIVE, {"marketState": "POST"}, Freshness.CLOSED),
            (Freshness.STALE, {"marketState": "CLOSED"}, Freshness.STALE),
            (Freshness.LIVE, {"marketState": None}, Freshness.CLOSED),
        ],
    )
    def test_rule_state_and_delay_decide(self, judged: Freshness, fields: dict[str, Any], freshness: Freshness) -> None:
        quote = quote_of(judged=judged, **fields)
        assert quote is not None
        assert quote.provenance.freshness is freshness

    @pytest.mark.parametrize(("minutes", "freshness"), [(20, Freshness.DELAYED), (21, Freshness.CLOSED)])
    def test_a_delayed_price_is_the_last_once_all_have_come(self, minutes: int, freshness: Freshness) -> None:
        now = AT + timedelta(minutes=minutes)
        quote = quote_of(judged=Freshness.CLOSED, now=now, exchangeDataDelayedBy=15, marketState="POST")
        assert quote is not None
        assert quote.provenance.freshness is freshness

    def test_a_delayed_price_of_another_day_is_stale(self) -> None:
        # 04:59 UTC is still the same evening in New York, 05:01 is the next day.
        for now, freshness in (
            (datetime(2026, 1, 15, 4, 59, tzinfo=UTC), Freshness.DELAYED),
            (datetime(2026, 1, 15, 5, 1, tzinfo=UTC), Freshness.STALE),
        ):
            quote = quote_of(judged=Freshness.STALE, now=now, exchangeDataDelayedBy=15)
            assert quote is not None
            assert quote.provenance.freshness is freshness


class TestDetails:
    def test_figures_are_read_and_absent_ones_stay_so(self) -> None:
        full = row(
            fiftyTwoWeekHigh=260.1,
            fiftyTwoWeekLow=169.2,
            fiftyDayAverage=240.5,
            twoHundredDayAverage=220.25,
            averageDailyVolume3Month=51_000_000,
            marketCap=3_491_616_000_000,
            epsTrailingTwelveMonths=-1.5,
            trailingPE="Infinity",
        )
        details = details_of(answer(full), by_symbol([APPLE]))[APPLE.id]
        assert details == QuoteDetails(260.1, 169.2, 240.5, 220.25, 51_000_000, 3_491_616_000_000, -1.5, None)
        assert details_of(answer(row()), by_symbol([APPLE])) == {APPLE.id: QuoteDetails()}


class TestAfterMarket:
    def test_the_newest_trade_counts(self) -> None:
        before, after = AT - timedelta(hours=2), AT - timedelta(hours=15)
        fields: dict[str, Any] = {"preMarketPrice": 236.5, "preMarketTime": int(before.timestamp())}
        fields |= {"postMarketPrice": 234.0, "postMarketTime": int(after.timestamp())}
        trades = after_market_trades_of(answer(row(**fields)), by_symbol([APPLE]))
        assert trades == {APPLE.id: AfterMarketTrade(236.5, before, size=None)}

    @pytest.mark.parametrize("fields", [{}, {"postMarketPrice": 234.0}, {"postMarketPrice": 0, "postMarketTime": 1}])
    def test_without_a_trade_there_is_none(self, fields: dict[str, Any]) -> None:
        assert after_market_trades_of(answer(row(**fields)), by_symbol([APPLE])) == {}

    def test_bid_and_ask_are_dated_by_the_newest_trade(self) -> None:
        later = AT + timedelta(hours=3)
        fields: dict[str, Any] = {"bid": 235.9, "ask": 0.0, "bidSize": 2, "askSize": 4, "postMarketPrice": 236.0}
        quote = after_market_quote_of(answer(row(**fields, postMarketTime=int(later.timestamp()))), by_symbol([APPLE]))
        assert quote is not None
        assert (quote.at, quote.bid_price, quote.ask_price) == (later, 235.9, None)
        assert (quote.bid_size, quote.ask_size) == (None, None), "lots of an unknown size are no units"
        undated = after_market_quote_of(answer(row(ask=236.1)), by_symbol([APPLE]))
        assert undated is not None
        assert undated.at == AT

    def test_without_bid_and_ask_there_is_nothing(self) -> None:
        assert after_market_quote_of(answer(row(bid=0.0)), by_symbol([APPLE])) is None
        assert after_market_quote_of(answer(), by_symbol([APPLE])) is None


class TestEnvelopes:
    @pytest.mark.parametrize(
        "broken", [None, [], "<html>", {}, {"quoteResponse": None}, {"quoteResponse": {"result": "x", "error": None}}]
    )
    def test_what_is_no_answer_is_unreadable(self, broken: Any) -> None:
        with pytest.raises(AnswerUnreadable, match="cannot be read"):
            result_of(broken, "quoteResponse")

    def test_an_answer_without_results_has_none(self) -> None:
        assert result_of({"quoteResponse": {"result": None, "error": None}}, "quoteResponse") == []

    @pytest.mark.parametrize(
        ("code", "description"),
        [
            ("Not Found", "No data found, symbol may be delisted"),
            ("Not Found", "Quote not found for symbol: NOBODY"),
            ("Bad Request", "Data doesn't exist for startDate = 1736118000, endDate = 1768402919"),
            ("Not Found", "No fundamentals data found for symbol: ^GSPC"),
        ],
    )
    def test_an_error_that_says_so_means_that_nothing_is_known(self, code: str, description: str) -> None:
        with pytest.raises(NothingKnown):
            result_of({"chart": {"result": None, "error": {"code": code, "description": description}}}, "chart")

    def test_any_other_error_is_a_refusal(self) -> None:
        error = {"code": "Unprocessable Entity", "description": "5m data not available"}
        with pytest.raises(SourceRefused, match="refused the question"):
            result_of({"chart": {"result": None, "error": error}}, "chart")

    def test_a_text_that_was_cut_in_the_middle_of_a_character(self) -> None:
        assert text("up \ud83d") == "up"
        assert text("\ud83d") is None

    def test_values_are_read_with_care(self) -> None:
        assert [number(each) for each in (1, 2.5, {"raw": 3}, None, {}, False, "4")] == [
            1,
            2.5,
            3,
            None,
            None,
            None,
            None,
        ]
        assert number(10**400) is None
        assert [count(each) for each in (3.9, -1, None, 2**63)] == [3, None, None, None]
        assert [text(each) for each in (" a ", "  ", 3)] == ["a", None, None]
        assert moment({"raw": 0}) == datetime(1970, 1, 1, tzinfo=UTC)
        assert moment("x") is None
        assert moment_of_text("2026-01-15T01:15:00.000Z") == datetime(2026, 1, 15, 1, 15, tzinfo=UTC)
        assert [moment_of_text(each) for each in ("2026-01-15T01:15:00", "soon", None)] == [None, None, None]


class TestSymbols:
    @pytest.mark.parametrize(
        ("instrument", "symbol"),
        [
            ("NSE:TCS", "TCS.NS"),
            ("NSE:M&M", "M&M.NS"),
            ("BSE:HDFCBANK", "HDFCBANK.BO"),
            ("NASDAQ:AAPL", "AAPL"),
            ("FX:EURUSD", "EURUSD=X"),
            ("INDEX:SP500", "^GSPC"),
            ("INDEX:BANKNIFTY", "^NSEBANK"),
        ],
    )
    def test_instruments_have_symbols_of_their_own(self, instrument: str, symbol: str) -> None:
        assert yahoo_symbol(BY_ID[instrument]) == symbol

    def test_classes_of_shares_are_written_with_a_dash(self) -> None:
        share = Instrument("NYSE:BRK.B", Exchange.NYSE, "BRK.B", "Berkshire", InstrumentKind.EQUITY, "USD")
        assert yahoo_symbol(share) == "BRK-B"
        assert native_symbol_of("BRK-B") == "BRK.B"
        assert [native_symbol_of(each) for each in ("TCS.NS", "^GSPC", "EURUSD=X")] == [None, None, None]

    def test_symbols_are_different_for_all_instruments(self) -> None:
        assert len(by_symbol(BY_ID.values())) == len(BY_ID)

    def test_an_index_that_yahoo_lacks_is_not_covered(self) -> None:
        strange = Instrument("INDEX:STRANGE", Exchange.INDEX, "STRANGE", "Strange", InstrumentKind.INDEX, "USD")
        assert yahoo_symbol(strange) is None
        assert not any(is_covered(each, strange) for each in Capability)
        assert by_symbol([strange]) == {}

    def test_each_kind_of_instrument_has_its_capabilities(self) -> None:
        def covered(instrument: Instrument) -> set[Capability]:
            return {each for each in Capability if is_covered(each, instrument)}

        after = {Capability.AFTER_MARKET_TRADES, Capability.AFTER_MARKET_QUOTES}
        company = {Capability.PROFILES, Capability.STATEMENTS, Capability.DIVIDENDS, Capability.RATINGS}
        prices = {Capability.QUOTES, Capability.QUOTE_DETAILS, Capability.DAILY_HISTORY, Capability.INTRADAY_BARS}
        assert covered(EURO) == prices
        assert covered(NIFTY) == prices | {Capability.STOCK_NEWS}
        assert covered(TCS) == prices | company | {Capability.STOCK_NEWS}
        assert covered(APPLE) == prices | company | after | {Capability.STOCK_NEWS}
