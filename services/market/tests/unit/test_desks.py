"""The desks that resolve a symbol and ask whichever source has the capability."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from chassis.clock import ManualClock
from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.after_market_desk import AfterMarketDesk
from market.domain.answer_desk import AnswerDesk, CapabilityMissing, NoAnswer
from market.domain.answers import Answer
from market.domain.capabilities import Capability, NothingKnown
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
from market.domain.company_desk import CompanyDesk, PeriodInvalid, priced
from market.domain.dates import DatesInvalid
from market.domain.detailed_quotes import DetailedQuotes
from market.domain.earnings import EarningsReport
from market.domain.earnings_desk import EarningsDesk
from market.domain.freshness import SimulatedFreshness
from market.domain.instruments import (
    Exchange,
    Instrument,
    InstrumentDirectory,
    InstrumentKind,
    Listing,
    PairUnknown,
    SymbolUnknown,
)
from market.domain.last_prices import LastPrices
from market.domain.limits import LimitInvalid, PageInvalid
from market.domain.lives import Lives
from market.domain.news import Article
from market.domain.news_desk import NewsDesk
from market.domain.quote_board import QuoteBoard
from market.domain.quote_details import QuoteDetails
from market.domain.quote_sources import QuoteSources
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import Venue, VenueSessions
from market.domain.source_failures import SourceRefused, SourcesUnavailable
from market.domain.symbol_batches import Missing, MissingSymbol
from market.domain.treasury import TreasuryRates
from market.domain.treasury_desk import TreasuryDesk

# Half past ten in the evening of 4 January in New York.
NIGHT = datetime(2026, 1, 5, 3, 30, tzinfo=UTC)
US = Listing.UNITED_STATES


def share(instrument_id: str) -> Instrument:
    exchange, _, symbol = instrument_id.partition(":")
    return Instrument(instrument_id, Exchange(exchange), symbol, symbol, InstrumentKind.EQUITY, "USD")


AAPL, MSFT, IBM, TCS = share("NASDAQ:AAPL"), share("NASDAQ:MSFT"), share("NYSE:IBM"), share("NSE:TCS")
TWINS = share("NASDAQ:TWIN"), share("NYSE:TWIN")
DIRECTORY = InstrumentDirectory([AAPL, MSFT, IBM, TCS, *TWINS])


class Unknowing:
    """A calendar that knows nothing."""

    def sessions_of(self, venue: Venue) -> VenueSessions:
        return VenueSessions(venue, [], known_from=date(2026, 1, 1), known_through=date(2026, 12, 31))


class Library:
    """A source that answers everything from what a test puts there."""

    name = "library"
    is_simulated = False
    capabilities = frozenset(Capability)
    answers_in_bulk = True

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.statements_known: list[Statement] = []
        self.dividends_known: list[Dividend] = []
        self.ratings_known = Ratings()
        self.articles: dict[str, list[Article]] = {}
        self.reports: list[EarningsReport] = []
        self.rates: list[TreasuryRates] = []
        self.trades: dict[str, AfterMarketTrade] = {}
        self.details: dict[str, QuoteDetails] = {}
        self.prices: dict[str, float] = {}
        self.failing: set[str] = set()
        self.slow: set[str] = set()

    def instruments(self) -> Sequence[Instrument]:
        return DIRECTORY.instruments

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        return instrument != TCS

    async def profile(self, instrument: Instrument) -> Profile:
        name = f"{instrument.symbol} Inc."
        return Profile(name, "USD", "NASDAQ", price=100.0, market_cap=1_000.0, change=1.0, volume=9)

    async def statements(
        self, instrument: Instrument, kind: StatementKind, *, is_annual: bool, limit: int
    ) -> Sequence[Statement]:
        self.asked.append((instrument.id, kind, is_annual, limit))
        return [each for each in self.statements_known if (each.period is Period.FY) == is_annual]

    async def dividends(self, instrument: Instrument) -> Sequence[Dividend]:
        return self.dividends_known

    async def ratings(self, instrument: Instrument) -> Ratings:
        return self.ratings_known

    async def latest_news(self, *, page: int, limit: int) -> Sequence[Article]:
        self.asked.append(("news", page, limit))
        return self.articles["news"]

    async def press_releases(self, *, page: int, limit: int) -> Sequence[Article]:
        self.asked.append(("releases", page, limit))
        return self.articles["releases"]

    async def stock_news(self, instrument: Instrument, *, page: int, limit: int) -> Sequence[Article]:
        if instrument.id in self.failing:
            raise SourceRefused("is on holiday")
        if instrument.id in self.slow:
            await asyncio.Event().wait()
        if instrument.id not in self.articles:
            raise NothingKnown
        return self.articles[instrument.id]

    async def earnings(self, first: date, last: date) -> Sequence[EarningsReport]:
        self.asked.append((first, last))
        return self.reports

    async def treasury_rates(self, first: date, last: date) -> Sequence[TreasuryRates]:
        self.asked.append((first, last))
        return self.rates

    async def after_market_trades(self, instruments: Sequence[Instrument]) -> Mapping[str, AfterMarketTrade]:
        return {each.id: self.trades[each.id] for each in instruments if each.id in self.trades}

    async def after_market_quote(self, instrument: Instrument) -> AfterMarketQuote:
        return AfterMarketQuote(at=NIGHT, bid_price=1.0)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        if "quotes" in self.failing:
            raise SourceRefused("is on holiday")
        told = Provenance(self.name, NIGHT, Freshness.LIVE)
        return {each.id: Quote(each, self.prices[each.id], told) for each in instruments if each.id in self.prices}

    async def quote_details(self, instruments: Sequence[Instrument]) -> Mapping[str, QuoteDetails]:
        if "details" in self.failing:
            raise SourceRefused("is on holiday")
        return {each.id: self.details[each.id] for each in instruments if each.id in self.details}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NIGHT)


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def desk(library: Library, clock: ManualClock) -> AnswerDesk:
    return AnswerDesk([library], clock, lives=Lives(Unknowing(), clock))


# --- companies


def statement(ends_on: str, period: Period, kind: StatementKind = StatementKind.INCOME) -> Statement:
    day = date.fromisoformat(ends_on)
    return Statement(kind, day, day.year, period, "USD", {"revenue": 1.0})


def companies_on(desk: AnswerDesk, library: Library | None = None) -> CompanyDesk:
    sources = QuoteSources([library or Library()], ManualClock(NIGHT))
    return CompanyDesk(DIRECTORY, desk, QuoteBoard(DIRECTORY, sources, LastPrices(SimulatedFreshness())))


async def test_a_company_is_described_under_its_instrument(desk: AnswerDesk) -> None:
    profile = await companies_on(desk).profile("aapl", US)
    assert profile.about.instrument == AAPL
    assert profile.about.answer.value.company_name == "AAPL Inc."
    assert profile.about.answer.provenance == Provenance("library", NIGHT, Freshness.DELAYED)
    assert (profile.quote, profile.about.answer.value.price) == (None, None)


async def test_a_kept_profile_has_the_price_of_now(desk: AnswerDesk, library: Library) -> None:
    companies = companies_on(desk, library)
    for price, market_cap in ((200.0, 2_000), (250.0, 2_500)):
        library.prices = {AAPL.id: price}
        profile = await companies.profile("AAPL", US)
        assert profile.quote is not None
        assert profile.quote.provenance.freshness is Freshness.LIVE
        said = profile.about.answer.value
        assert (said.price, said.market_cap, said.change) == (price, market_cap, None)


async def test_a_profile_says_no_price_while_nobody_has_one(desk: AnswerDesk, library: Library) -> None:
    library.prices = {AAPL.id: 200.0}
    library.failing = {"quotes"}
    profile = await companies_on(desk, library).profile("AAPL", US)
    assert profile.quote is None
    said = profile.about.answer.value
    assert (said.price, said.market_cap, said.change, said.volume) == (None, None, None, None)


def test_a_market_cap_of_no_price_stays_as_it_was_told() -> None:
    told = Quote(AAPL, 5.0, Provenance("library", NIGHT, Freshness.LIVE))
    assert priced(Profile("A", "USD", "NASDAQ", market_cap=7.0), told).market_cap == 7.0


async def test_what_no_source_covers_has_no_answer(desk: AnswerDesk) -> None:
    with pytest.raises(NoAnswer):
        await companies_on(desk).profile("NSE:TCS", US)
    with pytest.raises(SymbolUnknown):
        await companies_on(desk).profile("NOSUCH", US)


async def test_statements_are_those_of_the_period_newest_first(desk: AnswerDesk, library: Library) -> None:
    library.statements_known = [
        statement("2023-12-31", Period.FY),
        statement("2025-12-31", Period.FY),
        statement("2025-03-31", Period.Q1),
        statement("2025-06-30", Period.Q2),
        statement("2024-03-31", Period.Q1),
        statement("2024-12-31", Period.FY),
    ]
    companies = companies_on(desk)
    income = StatementKind.INCOME
    years = await companies.statements("AAPL", US, kind=income, period="", limit=2)
    assert [each.ends_on.year for each in years.answer.value] == [2025, 2024]
    quarters = await companies.statements("AAPL", US, kind=income, period="q1", limit=0)
    assert [each.ends_on for each in quarters.answer.value] == [date(2025, 3, 31), date(2024, 3, 31)]
    assert library.asked == [("NASDAQ:AAPL", income, True, 5), ("NASDAQ:AAPL", income, False, 20)]


async def test_questions_for_few_and_for_more_statements_share_an_answer(desk: AnswerDesk, library: Library) -> None:
    companies = companies_on(desk)
    for limit in (1, 3, 5, 0):
        await companies.statements("AAPL", US, kind=StatementKind.CASH_FLOW, period="FY", limit=limit)
    assert len(library.asked) == 1
    await companies.statements("AAPL", US, kind=StatementKind.CASH_FLOW, period="FY", limit=50)
    await companies.statements("AAPL", US, kind=StatementKind.CASH_FLOW, period="Q4", limit=50)
    assert [each[3] for each in library.asked] == [5, 50, 200]  # type: ignore[index]


@pytest.mark.parametrize(("period", "limit", "error"), [("Q5", 1, PeriodInvalid), ("FY", 51, LimitInvalid)])
async def test_no_such_period_or_limit_is_an_error(
    desk: AnswerDesk, period: str, limit: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await companies_on(desk).statements("AAPL", US, kind=StatementKind.INCOME, period=period, limit=limit)
    with pytest.raises(LimitInvalid):
        await companies_on(desk).statements("AAPL", US, kind=StatementKind.INCOME, period="", limit=-1)


async def test_dividends_come_newest_first(desk: AnswerDesk, library: Library) -> None:
    old, new = Dividend(date(2024, 1, 1), 0.2), Dividend(date(2025, 1, 1), 0.3)
    library.dividends_known = [old, new]
    assert (await companies_on(desk).dividends("AAPL", US)).answer.value == [new, old]


async def test_the_newest_fifty_targets_are_told(desk: AnswerDesk, library: Library) -> None:
    targets = [PriceTarget(NIGHT - timedelta(days=days), price_target=float(days)) for days in range(60)]
    recommendation = Recommendation(1, 2, 3, 4, 5, "Hold")
    library.ratings_known = Ratings(targets[::-1], recommendation)
    ratings = (await companies_on(desk).ratings("AAPL", US)).answer.value
    assert list(ratings.price_targets) == targets[:50]
    assert ratings.recommendation == recommendation


# --- news


def article(title: str, hours_ago: int) -> Article:
    return Article(NIGHT - timedelta(hours=hours_ago), title, f"https://example.com/{title}")


async def test_news_come_newest_first_by_page(desk: AnswerDesk, library: Library) -> None:
    library.articles = {"news": [article("old", 2), article("new", 1)], "releases": [article("release", 3)]}
    news = NewsDesk(DIRECTORY, desk)
    assert [each.title for each in (await news.latest(page=3, limit=0)).value] == ["new", "old"]
    assert [each.title for each in (await news.press_releases(page=0, limit=50)).value] == ["release"]
    assert library.asked == [("news", 3, 20), ("releases", 0, 50)]


@pytest.mark.parametrize(
    ("page", "limit", "error"), [(-1, 1, PageInvalid), (1001, 1, PageInvalid), (0, 51, LimitInvalid)]
)
async def test_no_such_page_is_an_error(desk: AnswerDesk, page: int, limit: int, error: type[Exception]) -> None:
    news = NewsDesk(DIRECTORY, desk)
    with pytest.raises(error):
        await news.latest(page=page, limit=limit)
    with pytest.raises(error):
        await news.press_releases(page=page, limit=limit)
    with pytest.raises(error):
        await news.of_stocks(["AAPL"], US, page=page, limit=limit)


async def test_news_of_stocks_keep_the_order_and_name_who_has_none(desk: AnswerDesk, library: Library) -> None:
    library.articles = {AAPL.id: [article("apple", 1)], IBM.id: [article("ibm", 0)]}
    library.failing = {MSFT.id}
    answer = await NewsDesk(DIRECTORY, desk).of_stocks(
        ["ibm", "NSE:TCS", "MSFT", "AAPL", "TWIN", "NOSUCH"], US, page=0, limit=5
    )
    assert [(each.symbol, each.value.value[0].title) for each in answer.found] == [("ibm", "ibm"), ("AAPL", "apple")]
    assert answer.missing == [
        MissingSymbol("NSE:TCS", Missing.NO_ANSWER),
        MissingSymbol("MSFT", Missing.NO_ANSWER),
        MissingSymbol("TWIN", Missing.SYMBOL_AMBIGUOUS),
        MissingSymbol("NOSUCH", Missing.SYMBOL_UNKNOWN),
    ]


async def test_symbols_that_are_all_unknown_are_named_together(desk: AnswerDesk) -> None:
    with pytest.raises(SymbolUnknown, match="'NOSUCH', 'NONE' name no known instrument"):
        await NewsDesk(DIRECTORY, desk).of_stocks(["NOSUCH", "NONE"], US, page=0, limit=5)


async def test_pairs_that_are_all_unknown_are_named_together_as_such(desk: AnswerDesk) -> None:
    with pytest.raises(PairUnknown, match="'NASDAQ:AAPL', 'NONE' name no known currency pair"):
        await NewsDesk(DIRECTORY, desk).of_stocks(["NASDAQ:AAPL", "NONE"], Listing.CURRENCIES, page=0, limit=5)


async def test_one_symbol_that_is_listed_elsewhere_is_told_where(desk: AnswerDesk) -> None:
    with pytest.raises(SymbolUnknown, match="'TCS' is not listed in this market; write NSE:TCS if that is meant"):
        await NewsDesk(DIRECTORY, desk).of_stocks(["TCS"], US, page=0, limit=5)


async def test_what_means_nothing_alone_has_no_news(desk: AnswerDesk) -> None:
    answer = await NewsDesk(DIRECTORY, desk).of_stocks(["TWIN"], US, page=0, limit=5)
    assert (answer.found, answer.missing) == ([], [MissingSymbol("TWIN", Missing.SYMBOL_AMBIGUOUS)])


async def test_news_of_stocks_fail_when_every_source_does(desk: AnswerDesk, library: Library) -> None:
    library.failing = {AAPL.id, MSFT.id}
    with pytest.raises(SourcesUnavailable):
        await NewsDesk(DIRECTORY, desk).of_stocks(["AAPL", "MSFT"], US, page=0, limit=5)


async def test_news_that_take_too_long_are_left_out(desk: AnswerDesk, library: Library) -> None:
    library.articles = {AAPL.id: [article("apple", 1)], IBM.id: [article("ibm", 0)]}
    library.slow = {IBM.id}
    answer = await NewsDesk(DIRECTORY, desk, all_seconds=0.05).of_stocks(["IBM", "AAPL"], US, page=0, limit=5)
    assert [each.symbol for each in answer.found] == ["AAPL"]
    assert answer.missing == [MissingSymbol("IBM", Missing.NO_ANSWER)]
    await desk.close()


async def test_whoever_waits_for_slow_news_keeps_nobody_from_what_is_known(
    desk: AnswerDesk, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market.domain.news_desk.AT_ONCE", 1)
    news = NewsDesk(DIRECTORY, desk, all_seconds=0.05)
    library.articles = {AAPL.id: [article("apple", 1)], MSFT.id: [article("microsoft", 1)]}
    await news.of_stocks(["AAPL"], US, page=0, limit=5)
    library.slow = {IBM.id, MSFT.id}
    waiting = asyncio.create_task(news.of_stocks(["IBM"], US, page=0, limit=5))
    await asyncio.sleep(0)
    known = await news.of_stocks(["AAPL"], US, page=0, limit=5)
    assert [each.symbol for each in known.found] == ["AAPL"]
    with pytest.raises(SourcesUnavailable, match="library has not answered yet"):
        await news.of_stocks(["MSFT"], US, page=0, limit=5)  # not an empty answer, as if there were no news of it
    with pytest.raises(SourcesUnavailable):
        await waiting
    await desk.close()


# --- after the session


async def test_after_market_trades_keep_the_order_and_name_who_has_none(desk: AnswerDesk, library: Library) -> None:
    library.trades = {each.id: AfterMarketTrade(price, NIGHT) for each, price in ((AAPL, 1.0), (IBM, 2.0))}
    after_market = AfterMarketDesk(DIRECTORY, desk)
    answer = await after_market.trades(["IBM", "MSFT", "AAPL", "NOSUCH"], US)
    assert [(each.symbol, each.value.value.price) for each in answer.found] == [("IBM", 2.0), ("AAPL", 1.0)]
    assert [each.reason for each in answer.missing] == [Missing.NO_PRICE, Missing.SYMBOL_UNKNOWN]
    ambiguous = await after_market.trades(["TWIN"], US)
    assert (ambiguous.found, ambiguous.missing) == ([], [MissingSymbol("TWIN", Missing.SYMBOL_AMBIGUOUS)])


async def test_one_after_market_quote_is_told_of_one_instrument(desk: AnswerDesk) -> None:
    about = await AfterMarketDesk(DIRECTORY, desk).quote("AAPL", US)
    assert (about.instrument, about.answer.value.bid_price) == (AAPL, 1.0)


# --- earnings


async def test_the_days_are_new_yorks_and_other_exchanges_are_left_out(
    desk: AnswerDesk, library: Library, clock: ManualClock
) -> None:
    today = date(2026, 1, 4)
    library.reports = [
        EarningsReport(today, "MSFT"),
        EarningsReport(today, "IBM", Exchange.NYSE, eps_actual=1.0),
        EarningsReport(today - timedelta(days=1), "AAPL"),
        EarningsReport(today, "TCS", Exchange.NSE),
        EarningsReport(today, "NOSUCH"),
        EarningsReport(today, "TWIN"),
        EarningsReport(today + timedelta(days=16), "AAPL"),
    ]
    answer = await EarningsDesk(DIRECTORY, desk, clock).calendar()
    assert library.asked == [(date(2026, 1, 3), date(2026, 1, 19))]
    assert [(each.on.day, each.symbol, each.exchange) for each in answer.value] == [
        (3, "AAPL", Exchange.NASDAQ),
        (4, "IBM", Exchange.NYSE),
        (4, "MSFT", Exchange.NASDAQ),
    ]


# --- treasuries


async def test_yields_are_of_the_stretch_newest_first(desk: AnswerDesk, library: Library, clock: ManualClock) -> None:
    library.rates = [TreasuryRates(date(2026, 1, day), {"year10": float(day)}) for day in (1, 2, 3)]
    treasury = TreasuryDesk(desk, clock)
    answer = await treasury.rates("2026-01-02", "2026-01-03")
    assert [each.on.day for each in answer.value] == [3, 2]
    await treasury.rates("", "")
    assert library.asked[1] == (date(2025, 10, 7), date(2026, 1, 5))


@pytest.mark.parametrize(
    ("from_date", "to_date", "asked"),
    [
        ("0001-01-01", "0003-01-01", (date(1962, 1, 1), date(1962, 1, 1))),
        ("9998-01-01", "9999-12-31", (date(2026, 1, 5), date(2026, 1, 5))),
        ("2026-01-02", "2027-01-01", (date(2026, 1, 2), date(2026, 1, 5))),
    ],
)
async def test_no_source_is_asked_for_yields_of_days_that_cannot_have_any(
    library: Library, desk: AnswerDesk, clock: ManualClock, *, from_date: str, to_date: str, asked: tuple[date, date]
) -> None:
    library.rates = [TreasuryRates(date(2026, 1, day), {"year10": float(day)}) for day in (1, 2, 3)]
    answer = await TreasuryDesk(desk, clock).rates(from_date, to_date)
    assert library.asked == [asked]
    assert all(from_date <= str(each.on) <= to_date for each in answer.value)


async def test_yields_since_tomorrow_are_none_yet_and_since_later_refused(
    library: Library, desk: AnswerDesk, clock: ManualClock
) -> None:
    library.rates = [TreasuryRates(date(2026, 1, 5), {"year10": 4.0})]
    treasury = TreasuryDesk(desk, clock)
    assert (await treasury.rates("2026-01-06", "")).value == ()
    with pytest.raises(DatesInvalid, match=r"from_date 2026-01-07 is after today \(2026-01-05 in UTC\)"):
        await treasury.rates("2026-01-07", "")


async def test_yields_from_long_ago_are_of_its_five_years(
    library: Library, desk: AnswerDesk, clock: ManualClock
) -> None:
    await TreasuryDesk(desk, clock).rates("2000-01-01", "")
    assert library.asked == [(date(2000, 1, 1), date(2005, 1, 4))]


async def test_whoever_asks_for_many_stretches_of_yields_does_not_fill_the_memory(
    library: Library, desk: AnswerDesk, clock: ManualClock
) -> None:
    treasury = TreasuryDesk(desk, clock)
    stretches = [f"2021-{month:02}-{day:02}" for month in range(1, 5) for day in range(1, 11)]
    for first in stretches:
        await treasury.rates(first, "2026-01-02")
    await treasury.rates(stretches[-1], "2026-01-02")
    assert len(library.asked) == len(stretches)  # the newest is kept
    await treasury.rates(stretches[0], "2026-01-02")
    assert len(library.asked) == len(stretches) + 1  # the oldest is not


@pytest.mark.parametrize(
    ("first", "last"),
    [("2026-01-03", "2026-01-02"), ("2019-01-01", "2026-01-01"), ("yesterday", ""), ("", "2026-02-30")],
)
async def test_a_stretch_that_is_none_is_an_error(desk: AnswerDesk, clock: ManualClock, first: str, last: str) -> None:
    with pytest.raises(DatesInvalid):
        await TreasuryDesk(desk, clock).rates(first, last)


# --- detailed quotes


class Years:
    """Figures from bars."""

    def __init__(self, figures: Mapping[str, QuoteDetails]) -> None:
        self.figures = figures
        self.asked: list[str] = []

    async def year_figures_of(self, instruments: Sequence[Instrument]) -> Mapping[str, Answer[QuoteDetails]]:
        self.asked = [each.id for each in instruments]
        return {
            each.id: Answer(self.figures[each.id], "library", NIGHT, NIGHT, is_simulated=False)
            for each in instruments
            if each.id in self.figures
        }


def detailed(library: Library, desk: AnswerDesk, clock: ManualClock, years: Years) -> DetailedQuotes:
    board = QuoteBoard(DIRECTORY, QuoteSources([library], clock), LastPrices(SimulatedFreshness()))
    return DetailedQuotes(DIRECTORY, board, desk, years)


async def test_what_a_source_does_not_say_is_computed(desk: AnswerDesk, library: Library, clock: ManualClock) -> None:
    library.prices = {AAPL.id: 200.0, MSFT.id: 100.0, IBM.id: 50.0}
    library.details = {AAPL.id: QuoteDetails(year_high=250.0, eps=8.0), MSFT.id: QuoteDetails(eps=-1.0, avg_volume=7)}
    years = Years({MSFT.id: QuoteDetails(year_high=120.0, year_low=80.0, avg_volume=5)})
    answer = await detailed(library, desk, clock, years).quote(["MSFT", "AAPL", "IBM", "NOSUCH"], US)
    found = {each.symbol: each.value.details for each in answer.quoted}
    assert list(found) == ["MSFT", "AAPL", "IBM"]
    assert found["AAPL"] == QuoteDetails(year_high=250.0, eps=8.0, pe=25.0)
    assert found["MSFT"] == QuoteDetails(year_high=120.0, year_low=80.0, avg_volume=7, eps=-1.0)
    assert found["IBM"] == QuoteDetails()
    assert years.asked == [MSFT.id, IBM.id]
    assert answer.missing == [MissingSymbol("NOSUCH", Missing.SYMBOL_UNKNOWN)]


async def test_a_quote_is_not_withheld_for_want_of_figures(
    desk: AnswerDesk, library: Library, clock: ManualClock
) -> None:
    library.prices = {AAPL.id: 200.0}
    library.failing = {"details"}
    (found,) = (await detailed(library, desk, clock, Years({})).quote(["AAPL"], US)).quoted
    assert (found.value.quote.last_price, found.value.details) == (200.0, QuoteDetails())


async def test_nothing_priced_asks_for_no_figures(desk: AnswerDesk, library: Library, clock: ManualClock) -> None:
    years = Years({})
    answer = await detailed(library, desk, clock, years).quote(["AAPL"], US)
    assert (answer.quoted, years.asked) == ([], [])


async def test_a_source_that_lacks_the_capability_is_said_so(library: Library, clock: ManualClock) -> None:
    library.capabilities = frozenset({Capability.QUOTES})
    desk = AnswerDesk([library], clock, lives=Lives(Unknowing(), clock))
    with pytest.raises(CapabilityMissing, match="treasury"):
        await TreasuryDesk(desk, clock).rates("", "")
