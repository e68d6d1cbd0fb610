"""What is known of companies, articles, trades, reports and yields, as the contract's messages."""

from datetime import UTC, date, datetime

import pytest
from google.protobuf.message import Message

from bourse.market.v1 import quotes_pb2
from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.after_market_desk import TradesAnswer
from market.domain.answers import Answer, Value
from market.domain.companies import (
    Dividend,
    Period,
    PriceTarget,
    Profile,
    Ratings,
    Recommendation,
    Statement,
    StatementKind,
)
from market.domain.company_desk import About, PricedProfile
from market.domain.detailed_quotes import DetailedAnswer, DetailedQuote
from market.domain.earnings import EarningsReport
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.news import Article
from market.domain.news_desk import Articles, StockNewsAnswer
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.symbol_batches import Found, Missing, MissingSymbol
from market.domain.treasury import MATURITIES, TreasuryRates
from market.messages.after_market import after_market_quote_message, trades_message
from market.messages.companies import (
    FIGURES_OF_KIND,
    balance_sheets_message,
    cash_flow_statements_message,
    dividends_message,
    income_statements_message,
    profile_message,
    ratings_message,
)
from market.messages.earnings import earnings_message
from market.messages.news import latest_news_message, press_releases_message, stock_news_message
from market.messages.quotes import detailed_quotes_message
from market.messages.treasury import treasury_rates_message

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 5, 13, 30, tzinfo=UTC)
AAPL = Instrument("NASDAQ:AAPL", Exchange.NASDAQ, "AAPL", "Apple Inc.", InstrumentKind.EQUITY, "USD")


def answered(value: Value, *, at: datetime = NOON, source: str = "fmp", is_stale: bool = False) -> Answer[Value]:
    return Answer(value, source, at, at, is_simulated=False, is_stale=is_stale)


def about(value: Value) -> About[Value]:
    return About(AAPL, answered(value))


def present(message: Message) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


def test_a_profile_says_what_is_known_and_nothing_else() -> None:
    profile = Profile("Apple Inc.", "USD", "NASDAQ", beta=1.2, ipo_date=date(1980, 12, 12), is_etf=False)
    message = profile_message("aapl", PricedProfile(about(profile), None)).profile
    assert present(message) == {
        *("symbol", "company_name", "currency", "exchange", "beta", "ipo_date", "is_etf", "provenance"),
    }
    assert (message.symbol, message.ipo_date, message.is_etf) == ("aapl", "1980-12-12", False)
    assert message.provenance.freshness == quotes_pb2.FRESHNESS_DELAYED
    quote = Quote(AAPL, 200.0, Provenance("yahoo", LATER, Freshness.LIVE))
    message = profile_message("aapl", PricedProfile(about(profile), quote)).profile
    assert (message.provenance.source, message.provenance.freshness) == ("yahoo", quotes_pb2.FRESHNESS_LIVE)


@pytest.mark.parametrize(
    ("kind", "figure", "answer"),
    [
        (StatementKind.INCOME, "net_income", income_statements_message),
        (StatementKind.BALANCE_SHEET, "total_assets", balance_sheets_message),
        (StatementKind.CASH_FLOW, "free_cash_flow", cash_flow_statements_message),
    ],
)
def test_a_statement_has_the_figures_that_were_reported(kind: StatementKind, figure: str, answer: object) -> None:
    statement = Statement(
        kind,
        date(2025, 9, 27),
        2025,
        Period.FY,
        "USD",
        {figure: -1.5, "a_vendors_own": 3.0},
        cik="0000320193",
        filing_date=date(2025, 10, 31),
    )
    assert callable(answer)
    (message,) = answer("AAPL", about([statement])).statements
    assert getattr(message, figure) == -1.5
    assert present(message) == {
        *("symbol", "date", "fiscal_year", "period", "reported_currency", "cik", "filing_date", figure),
    }
    assert (message.date, message.fiscal_year, message.period) == ("2025-09-27", "2025", "FY")
    assert figure in FIGURES_OF_KIND[kind]


def test_the_ex_date_stands_for_a_record_date_that_is_not_known() -> None:
    known = Dividend(date(2025, 5, 12), 0.26, record_date=date(2025, 5, 13))
    message = dividends_message(about([known, Dividend(date(2025, 2, 10), 0.25)]))
    assert [(each.record_date, each.adj_dividend) for each in message.dividends] == [
        ("2025-05-13", 0.26),
        ("2025-02-10", 0.25),
    ]


def test_ratings_count_their_targets_and_may_lack_a_recommendation() -> None:
    target = PriceTarget(LATER, analyst_company="UBS", price_target=210.0)
    message = ratings_message("AAPL", about(Ratings((target,), Recommendation(1, 72, 29, 7, 0, "Buy"))))
    assert (message.count, message.price_targets[0].published_date) == (1, "2026-01-05T13:30:00Z")
    assert present(message.price_targets[0]) == {"symbol", "published_date", "analyst_company", "price_target"}
    assert (message.recommendations[0].symbol, message.recommendations[0].buy) == ("AAPL", 72)
    assert not ratings_message("AAPL", about(Ratings())).recommendations


def test_articles_keep_their_own_symbol_or_get_the_callers() -> None:
    article = Article(LATER, "A title", "https://example.com/1", symbol="AAPL")
    for message in (latest_news_message(answered((article,))), press_releases_message(answered((article,)))):
        assert [(each.symbol, each.published_date) for each in message.articles] == [("AAPL", "2026-01-05T13:30:00Z")]
    asked = StockNewsAnswer([Found("nasdaq:aapl", answered((article,)))], [MissingSymbol("X", Missing.SYMBOL_UNKNOWN)])
    of_stocks = stock_news_message(asked)
    assert [each.symbol for each in of_stocks.articles] == ["nasdaq:aapl"]
    assert [(each.symbol, each.code) for each in of_stocks.missing] == [("X", "SYMBOL_UNKNOWN")]


def test_several_answers_are_as_old_and_as_stale_as_the_worst() -> None:
    none: Articles = ()
    stale = answered(none, at=NOON, source="yahoo", is_stale=True)
    message = stock_news_message(StockNewsAnswer([Found("A", answered(none, at=LATER)), Found("B", stale)], []))
    assert message.provenance.source == "fmp,yahoo"
    assert message.provenance.as_of.ToDatetime(tzinfo=UTC) == NOON
    assert message.provenance.freshness == quotes_pb2.FRESHNESS_STALE
    assert not stock_news_message(StockNewsAnswer([], [])).HasField("provenance")


def test_a_trade_is_as_old_as_itself() -> None:
    trade = AfterMarketTrade(201.28, NOON)
    message = trades_message(TradesAnswer([Found("AAPL", answered(trade, at=LATER))], []))
    (told,) = message.trades
    assert (told.timestamp, told.price, told.HasField("trade_size")) == (1767614400000, 201.28, False)
    assert told.provenance.as_of.ToDatetime(tzinfo=UTC) == NOON
    quote = after_market_quote_message("AAPL", about(AfterMarketQuote(NOON, ask_size=3))).quote
    assert present(quote) == {"symbol", "ask_size", "timestamp", "provenance"}


def test_a_report_leaves_out_what_is_not_known() -> None:
    report = EarningsReport(
        date(2026, 1, 6), "AAPL", Exchange.NASDAQ, eps_estimated=1.45, last_updated=date(2026, 1, 5)
    )
    (message,) = earnings_message(answered((report,))).reports
    assert present(message) == {"date", "exchange", "symbol", "eps_estimated", "last_updated"}


def test_every_maturity_has_its_field() -> None:
    rates = TreasuryRates(date(2026, 1, 5), dict.fromkeys(MATURITIES, 4.0))
    (message,) = treasury_rates_message(answered((rates,))).rates
    assert present(message) == {"date", *MATURITIES}


def test_a_detailed_quote_holds_the_quote_and_the_figures() -> None:
    quote = Quote(AAPL, 200.0, Provenance("fmp", NOON, Freshness.DELAYED))
    found = Found("aapl", DetailedQuote(quote, QuoteDetails(year_high=250.0, avg_volume=7)))
    (message,) = detailed_quotes_message(DetailedAnswer([found], [])).quotes
    assert (message.quote.symbol, message.exchange, message.year_high, message.avg_volume) == (
        "aapl",
        "NASDAQ",
        250.0,
        7,
    )
    assert present(message) == {"quote", "exchange", "year_high", "avg_volume"}
