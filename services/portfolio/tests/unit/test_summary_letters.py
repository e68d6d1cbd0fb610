"""A letter says the same in HTML and in plain text, whatever its users call things, and says loudly what is made up."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email import message_from_bytes, policy
from html import unescape

import pytest

from mail.messages import Letter, compose
from mail.notice import NOTICE
from portfolio.domain.brokers import Broker
from portfolio.domain.contacts import Contact
from portfolio.domain.manual_portfolios import ManualPortfolio
from portfolio.domain.prices import MarketView
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.domain.rows import BrokerHolding, BrokerPosition, PositionType, Sync, SyncedRows
from portfolio.domain.snapshots import value_rows
from portfolio.domain.splits import KnownSplits
from portfolio.domain.stock_entries import Stock
from portfolio.domain.summaries import Summary, summarise
from portfolio.domain.value_series import Gap, MissingSeries, ValueSeries
from portfolio.messages.summary_letters import MAX_CHARTS, MAX_ROWS, MAX_ROWS_IN_ALL, SummaryLetters, shortened

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
URL = "https://bourse.example.com"
TOKEN = "T" * 43
CONTACT = Contact("asha@example.com", is_email_verified=True, wants_summary=True, unsubscribe_token=TOKEN)
LETTERS = SummaryLetters(URL)


def stock(instrument: str, quantity: str = "10", total_cost: str = "900") -> Stock:
    return Stock(instrument.partition(":")[2], instrument, Decimal(quantity), Decimal(total_cost))


def quote(price: str, close: str, currency: str = "INR", freshness: Freshness = Freshness.LIVE) -> Quote:
    source = "sample" if freshness is Freshness.SIMULATED else "yahoo"
    provenance = Provenance(source, NOW - timedelta(minutes=3), freshness)
    return Quote(Decimal(price), Decimal(close), provenance, currency)


def own(*stocks: Stock, name: str = "Mine") -> Sequence[ManualPortfolio]:
    return [ManualPortfolio(1, name, stocks)]


def synced() -> SyncedRows:
    sync = Sync("id", "7", Broker.ICICI, NOW - timedelta(days=2), NOW - timedelta(days=2), False)
    holding = BrokerHolding(
        "NSE",
        "ITC",
        Decimal(10),
        Decimal(0),
        average_price=Decimal(100),
        last_price=Decimal(110),
        close_price=Decimal(100),
    )
    uncosted = BrokerHolding("NSE", "GIFT", Decimal(10), Decimal(0), last_price=Decimal(1))
    closed = BrokerPosition(
        PositionType.NET, "NSE", "SBIN", Decimal(0), Decimal(1), buy_value=Decimal(90), sell_value=Decimal(75)
    )
    unknown = BrokerPosition(PositionType.NET, "NFO", "NIFTY", Decimal(5), Decimal(1))
    return SyncedRows(sync, (holding, uncosted), (closed, unknown))


def rich() -> Summary:
    quotes = {"NASDAQ:AAPL": quote("201.28", "199.13", "USD"), "NSE:ITC": quote("99", "100")}
    portfolios = [*own(stock("NASDAQ:AAPL"), stock("NSE:ITC"), stock("NASDAQ:GONE")), *own(name="Empty")]
    points = [(date(2026, 3, 10), Decimal("1000.5")), (date(2026, 3, 11), Decimal(2000))]
    return summarise(
        [value_rows(synced(), MarketView(QuoteAnswer({}, frozenset()), KnownSplits(), date(2026, 3, 12)))],
        portfolios,
        QuoteAnswer(quotes, frozenset()),
        at=NOW,
        series=[
            ValueSeries("INR", False, is_synced=True, points=points),
            ValueSeries("USD", True, False, points, left_out_count=2),
            ValueSeries("INR", False, False, points, left_out_count=1),
        ],
        missing_series=[MissingSeries("EUR", False, Gap.NO_ANSWER), MissingSeries("INR", True, Gap.NO_PAST)],
    )


def simulated() -> Summary:
    quotes = QuoteAnswer({"NSE:ITC": quote("99", "100", freshness=Freshness.SIMULATED)}, frozenset())
    return summarise([], own(stock("NSE:ITC")), quotes, at=NOW)


def write(summary: Summary) -> Letter:
    return LETTERS.write(summary, CONTACT, "summary-7-x")


def words(letter: Letter) -> tuple[str, str]:
    """Both versions, without markup and with single blanks."""
    assert letter.html is not None
    seen = re.sub(r"<style>.*?</style>", "", letter.html, flags=re.DOTALL)
    html = unescape(re.sub(r"<[^>]*>", " ", seen))
    return " ".join(letter.text.split()), " ".join(html.split())


def test_both_versions_say_what_there_is() -> None:
    letter = write(rich())
    facts = [
        "₹2,090.00",
        "cost ₹1,900.00",
        "+₹190.00",
        "+10.00%",
        "$2,012.80",
        "+$1,112.80",
        "+123.64%",
        "NASDAQ:AAPL",
        "+1.08%",
        "\N{MINUS SIGN}1.00%",
        "ICICI Direct holdings",
        "ICICI Direct positions",
        "closed",
        "\N{MINUS SIGN}₹15.00",
        "yahoo, live",
        "icici, stale",
        "12 Mar 2026, 10:57 IST",
        "3 min old",
        "2 d old",
        "no price known",
        "GONE",
        "Mine",
        "Empty",
        "There is nothing in it.",
        "1 stock is both at a broker and in a portfolio of your own, and count twice.",
        "Synced holdings in INR",
        "Own portfolios in USD, SIMULATED",
        "₹1,000.50 on 10 Mar 2026, ₹2,000.00 on 11 Mar 2026",
        "Today's holdings at past prices",
        "2 stocks without past prices are not in it.",
        "1 stock without past prices is not in it.",
        "No chart of your own portfolios in EUR: its past prices could not be had in time.",
        "No chart of your synced holdings in INR: there is not enough of its past yet.",
        NOTICE,
    ]
    for version in words(letter):
        assert [fact for fact in facts if fact not in version] == []
        assert re.search(r"1( of the)? lines? has no price and is in no sum\.", version)
        assert re.search(r"1( of the)? lines? has no known cost and is in no sum\.", version)
        assert re.search(r"1( of the)? lines? has no known P&L and is not in the sum\.", version)
    assert letter.subject == "[Partly simulated] Your portfolio summary, 12 Mar 2026, 11:00 IST"


def test_the_list_can_be_left_by_one_click_and_by_a_link() -> None:
    letter = write(rich())
    assert letter.headers == {
        "List-Unsubscribe": f"<{URL}/api/email/unsubscribe?token={TOKEN}&list=portfolio-summary>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    link = f"{URL}/account#unsubscribe={TOKEN}&list=portfolio-summary"
    assert link in letter.text
    assert f'href="{link.replace("&", "&amp;")}"' in (letter.html or "")
    assert (letter.to, letter.dated_at, letter.id) == ("asha@example.com", NOW, "summary-7-x")


def test_pictures_travel_with_the_message_and_are_described() -> None:
    message = message_from_bytes(compose(write(rich()), "Bourse <b@example.com>").as_bytes(), policy=policy.default)
    body = message.get_body(("html",))
    assert body is not None
    html = body.get_content()
    shown = re.findall(r'<img src="cid:([^"]+)"[^>]* alt="([^"]+)"', html)
    travelling = [part["Content-ID"].strip("<>") for part in message.walk() if part.get_content_type() == "image/png"]
    assert [name for name, _ in shown] == travelling == ["chart-1", "chart-2", "chart-3"]
    assert shown[0][1].startswith("Synced holdings in INR: ₹1,000.50 on 10 Mar 2026, ₹2,000.00 on 11 Mar 2026")


def test_what_is_made_up_is_said_loudly() -> None:
    letter = write(simulated())
    assert letter.subject.startswith("[Simulated] ")
    for version in words(letter):
        assert "SIMULATED" in version[:200]
        assert "made up" in version
        assert "₹990.00" in version


def test_what_is_real_does_not_say_that_it_is_made_up() -> None:
    quotes = QuoteAnswer({"NSE:ITC": quote("99", "100")}, frozenset())
    letter = write(summarise([], own(stock("NSE:ITC")), quotes, at=NOW))
    assert letter.subject == "Your portfolio summary, 12 Mar 2026, 11:00 IST"
    assert not any("simulated" in version.lower() for version in words(letter))


def test_who_has_nothing_is_told_so() -> None:
    letter = write(summarise([], [], QuoteAnswer({}, frozenset()), at=NOW))
    assert letter.pictures == []
    for version in words(letter):
        assert "There is nothing in your portfolios yet" in version
        assert NOTICE in version


def test_nothing_with_a_price_is_said_in_words() -> None:
    for version in words(write(summarise([], own(stock("NASDAQ:GONE")), QuoteAnswer({}, frozenset()), at=NOW))):
        assert "Nothing here has a price just now." in version


def test_to_an_address_that_is_not_verified_goes_no_text_of_a_users() -> None:
    stocks = [stock("NSE:ITC")]
    portfolios = [
        ManualPortfolio(number, name, tuple(stocks)) for number, name in enumerate(("PAY HERE", "or-else"), 4)
    ]
    summary = summarise([], portfolios, QuoteAnswer({"NSE:ITC": quote("99", "100")}, frozenset()), at=NOW)
    unverified = LETTERS.write(summary, replace(CONTACT, is_email_verified=False), "summary-7-x")
    hint = "Verify your e-mail address to see your portfolios' names here."
    for version in words(unverified):
        assert "PAY HERE" not in version
        assert "or-else" not in version
        assert version.index("Portfolio 1") < version.index("Portfolio 2") < version.index(hint)
    for version in words(write(summary)):
        assert "PAY HERE" in version
        assert "Portfolio 1" not in version
        assert hint not in version


def test_who_has_no_portfolio_of_his_own_is_not_told_of_names() -> None:
    market = MarketView(QuoteAnswer({}, frozenset()), KnownSplits(), date(2026, 3, 12))
    summary = summarise([value_rows(synced(), market)], [], QuoteAnswer({}, frozenset()), at=NOW)
    letter = LETTERS.write(summary, replace(CONTACT, is_email_verified=False), "summary-7-x")
    assert all("Verify your e-mail" not in version for version in words(letter))


def test_what_users_write_is_no_markup_and_not_without_end() -> None:
    name = "<script>alert(1)</script>&\"'" + "W" * 70
    quotes = QuoteAnswer({"NSE:ITC": quote("99", "100")}, frozenset())
    letter = write(summarise([], own(stock("NSE:ITC"), name=name), quotes, at=NOW))
    html = letter.html or ""
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in html
    assert "<script>alert(1)</script>&\"'" in letter.text
    assert "W" * 61 not in html + letter.text
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"


def test_more_than_finds_room_is_counted_and_summed() -> None:
    symbols = [f"NSE:S{number:03}" for number in range(300)]
    quotes = QuoteAnswer({each: quote("99", "100") for each in symbols}, frozenset())
    portfolios = [ManualPortfolio(n, f"Portfolio {n}", tuple(map(stock, symbols))) for n in range(30)]
    letter = write(summarise([], portfolios, quotes, at=NOW))
    for version in words(letter):
        rows = [version.count(f" S{number:03} ") for number in range(300)]
        assert sum(rows) == MAX_ROWS_IN_ALL
        assert f"and {300 - MAX_ROWS} more" in version
        assert f"and {300 - (MAX_ROWS_IN_ALL - MAX_ROWS)} more" in version
        assert "And 10 more portfolios, which the totals include." in version
        assert "₹89,10,000.00" in version
    assert len((letter.html or "").encode()) < 100_000


def test_charts_are_not_without_end() -> None:
    points = [(date(2026, 3, 10), Decimal(1)), (date(2026, 3, 11), Decimal(2))]
    series = [ValueSeries(f"X{letter}X", False, False, points) for letter in "ABCDEFGH"]
    quotes = QuoteAnswer({"NSE:ITC": quote("99", "100")}, frozenset())
    letter = write(summarise([], own(stock("NSE:ITC")), quotes, at=NOW, series=series))
    assert len(letter.pictures) == MAX_CHARTS


@pytest.mark.parametrize("summary", [rich(), simulated()])
def test_nothing_is_fetched_from_anywhere(summary: Summary) -> None:
    html = write(summary).html or ""
    addresses = re.findall(r"https?://[^\s\"'<>]+", html)
    assert [each for each in addresses if not each.startswith(URL)] == []
    assert not re.search(r"<(script|link|iframe|object|form)\b|@import|url\(", html)
