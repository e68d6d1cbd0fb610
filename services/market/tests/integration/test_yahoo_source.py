"""Yahoo over the real, unmodified library and the made-up market, through proxy and authority alone."""

import base64
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from market.domain.companies import Period, StatementKind
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quotes import Freshness
from market.domain.splits import Split
from market.providers.reference.listing import read_listing
from upstreams.egress import egress
from upstreams.faults import Fault
from upstreams.yahoo import RunningYahoo, limits, yahoo_server
from upstreams.yahoo_market import YahooMarket

# A Wednesday, half an hour into New York's session and hours after Mumbai's.
NOW = datetime(2026, 1, 14, 15, 2, tzinfo=UTC)
TODAY = NOW.date()
BY_ID = {each.instrument.id: each.instrument for each in read_listing()}
APPLE, NVIDIA, TCS = BY_ID["NASDAQ:AAPL"], BY_ID["NASDAQ:NVDA"], BY_ID["NSE:TCS"]
RELIANCE, EURO = BY_ID["NSE:RELIANCE"], BY_ID["FX:EURUSD"]
INDICES = (BY_ID["INDEX:SP500"], BY_ID["INDEX:NIFTY50"])
SHARES = (APPLE, TCS, RELIANCE, BY_ID["BSE:HDFCBANK"])
UNKNOWN = BY_ID["NASDAQ:ADBE"]
GONE = Instrument("NASDAQ:GONE", Exchange.NASDAQ, "GONE", "Gone", InstrumentKind.EQUITY, "USD")

QUOTES, CHART_OF_APPLE = "/v7/finance/quote", "/v8/finance/chart/AAPL"
LIMITED = "limits how often it may be asked"


class Program:
    """The source's process."""

    def __init__(self, environment: dict[str, str], folder: Path, now: datetime, request_seconds: float) -> None:
        self.folder = folder
        program = Path(__file__).with_name("yahoo_program.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(folder), now.isoformat(), str(request_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def __call__(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Ask for something that is answered."""
        [outcome] = self.outcomes(name, *arguments, **keywords)
        assert outcome[0] == "answer", outcome
        return outcome[1]

    def outcome(self, name: str, *arguments: Any, **keywords: Any) -> tuple[Any, ...]:
        """Ask for something, and say how it went."""
        [outcome] = self.outcomes(name, *arguments, **keywords)
        return outcome

    def outcomes(self, name: str, *arguments: Any, times: int = 1, **keywords: Any) -> list[tuple[Any, ...]]:
        """Ask for the same several times at once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = base64.b64encode(pickle.dumps((name, arguments, keywords, times))).decode()
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return list(pickle.loads(base64.b64decode(self._process.stdout.readline())))

    def end(self) -> int:
        """Let it end by itself, and return its status."""
        self._process.communicate(timeout=30)
        return self._process.returncode


@pytest.fixture(scope="module")
def market() -> YahooMarket:
    return YahooMarket(now=lambda: NOW)


@pytest.fixture(scope="module")
def running(market: YahooMarket) -> Iterator[RunningYahoo]:
    with yahoo_server(market) as running:
        yield running


@pytest.fixture(scope="module")
def environment(running: RunningYahoo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with egress(running.server.port, tmp_path_factory.mktemp("egress")) as way_out:
        # Elsewhere than in UTC: nothing may depend on where the machine stands.
        yield {**os.environ, **way_out.environment, "NO_PROXY": "", "no_proxy": "", "TZ": "Asia/Tokyo"}


@pytest.fixture
def yahoo(running: RunningYahoo) -> RunningYahoo:
    running.faults.clear()
    running.journal.clear()
    return running


@pytest.fixture(scope="module")
def warm(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(environment, tmp_path_factory.mktemp("warm"), NOW, 6.0)
    program("quotes", [APPLE])
    yield program
    assert program.end() == 0


@pytest.fixture
def ask(warm: Program, yahoo: RunningYahoo) -> Program:
    """A source that has its cookie and its crumb."""
    return warm


@pytest.fixture
def fresh(environment: dict[str, str], yahoo: RunningYahoo, tmp_path: Path) -> Iterator[Program]:
    """A source that has asked for nothing yet."""
    program = Program(environment, tmp_path, NOW, 6.0)
    yield program
    assert program.end() == 0


@pytest.fixture(scope="module")
def impatient(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A source that is quickly tired of waiting."""
    program = Program(environment, tmp_path_factory.mktemp("impatient"), NOW, 2.0)
    program("quotes", [APPLE])
    yield program
    assert program.end() == 0


def _paths(yahoo: RunningYahoo) -> list[str]:
    return [f"{each.headers['host'].partition('.')[0]} {each.path}" for each in yahoo.journal.requests]


class TestPrices:
    def test_many_quotes_are_one_request(self, ask: Program, yahoo: RunningYahoo, market: YahooMarket) -> None:
        asked = [*SHARES, *INDICES, EURO]
        taken = ask("taken")
        quotes = ask("quotes", asked)
        assert quotes.keys() == {each.id for each in asked}
        assert _paths(yahoo) == [f"query1 {QUOTES}"]
        assert ask("taken") == taken + 1
        [_, *_, today] = market.days(market.issues["AAPL"], TODAY - timedelta(days=5), TODAY)
        apple = quotes[APPLE.id]
        assert (apple.last_price, apple.open, apple.high, apple.low) == (today.close, today.open, today.high, today.low)
        assert apple.volume == today.volume
        assert apple.provenance.source == "yahoo"

    def test_a_session_decides_how_far_a_price_can_be_relied_on(self, ask: Program) -> None:
        quotes = ask("quotes", [APPLE, TCS, EURO])
        assert {key: each.provenance.freshness for key, each in quotes.items()} == {
            APPLE.id: Freshness.LIVE,
            TCS.id: Freshness.CLOSED,
            EURO.id: Freshness.LIVE,
        }
        assert quotes[TCS.id].provenance.as_of == datetime(2026, 1, 14, 10, tzinfo=UTC)

    def test_unknown_and_delisted_symbols_are_left_out(self, ask: Program) -> None:
        assert ask("quotes", [UNKNOWN, GONE, APPLE]).keys() == {APPLE.id}
        assert ask("quotes", [UNKNOWN]) == {}

    def test_figures_beside_a_price_are_those_of_the_bars(self, ask: Program) -> None:
        details = ask("quote_details", [APPLE])[APPLE.id]
        history = ask("daily_history", APPLE, date(2025, 1, 14), TODAY)
        assert details.year_high == max(history.bars.high)
        assert details.pe == pytest.approx(ask("quotes", [APPLE])[APPLE.id].last_price / details.eps)

    def test_trading_before_a_session_is_not_shown_while_it_runs(self, ask: Program) -> None:
        assert ask("after_market_trades", [APPLE, TCS]) == {}
        quote = ask("after_market_quote", APPLE)
        assert quote.bid_price < ask("quotes", [APPLE])[APPLE.id].last_price < quote.ask_price
        assert (quote.bid_size, quote.ask_size, quote.volume) == (None, None, None)

    def test_trading_after_a_session_is_shown(
        self, ask: Program, market: YahooMarket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        evening = datetime(2026, 1, 14, 22, tzinfo=UTC)
        monkeypatch.setattr(market, "now", lambda: evening)
        trades = ask("after_market_trades", [APPLE, NVIDIA])
        assert trades.keys() == {APPLE.id, NVIDIA.id}
        assert trades[APPLE.id].at == evening - timedelta(seconds=4)
        assert trades[APPLE.id].size is None
        assert ask("after_market_quote", APPLE).at == trades[APPLE.id].at


class TestHistory:
    def test_finished_sessions_come_with_splits_and_dividends(
        self, ask: Program, yahoo: RunningYahoo, market: YahooMarket
    ) -> None:
        history = ask("daily_history", NVIDIA, date(2024, 5, 1), date(2024, 7, 1))
        assert history.splits == [Split(NVIDIA.id, date(2024, 6, 10), new_units=10, old_units=1, source="yahoo")]
        assert [(each.ex_date, each.amount) for each in history.dividends] == [(date(2024, 5, 10), 0.01)]
        expected = list(market.days(market.issues["NVDA"], date(2024, 5, 1), date(2024, 7, 1)))
        assert list(history.bars.close) == [each.close for each in expected]
        assert history.bars.sessions[0].astype(date) == date(2024, 5, 1)
        assert _paths(yahoo) == ["query2 /v8/finance/chart/NVDA"]

    def test_splits_after_the_last_day_are_known_too(self, ask: Program) -> None:
        history = ask("daily_history", RELIANCE, date(2024, 9, 2), date(2024, 9, 6))
        assert [each.ex_date for each in history.splits] == [date(2024, 10, 28)]
        assert len(history.bars) == 5

    def test_a_running_session_has_no_bar(self, ask: Program) -> None:
        assert ask("daily_history", APPLE, date(2026, 1, 12), TODAY).bars.last_session == date(2026, 1, 13)
        assert ask("daily_history", TCS, date(2026, 1, 12), TODAY).bars.last_session == TODAY

    def test_days_of_pairs_are_londons_in_summer_too(self, ask: Program) -> None:
        bars = ask("daily_history", EURO, date(2025, 3, 24), date(2025, 4, 4)).bars
        assert [each.astype(date).isoweekday() for each in bars.sessions] == [1, 2, 3, 4, 5] * 2
        assert bars.volume is None

    def test_days_without_sessions_have_no_bars(self, ask: Program) -> None:
        assert len(ask("daily_history", APPLE, date(2026, 1, 10), date(2026, 1, 11)).bars) == 0

    def test_all_dividends_come_in_one_request(self, ask: Program, yahoo: RunningYahoo) -> None:
        dividends = ask("dividends", APPLE)
        assert dividends[0].ex_date == date(2025, 11, 10)
        assert dividends[-1].ex_date == date(2012, 2, 10)
        assert all(each.record_date is None for each in dividends)
        assert len(_paths(yahoo)) == 1
        assert ask("dividends", INDICES[0]) == []

    def test_fives_are_the_finished_ones(self, ask: Program, market: YahooMarket) -> None:
        bars = ask("intraday_bars", APPLE, date(2026, 1, 13), TODAY)
        assert bars[0].begins_at == datetime(2026, 1, 13, 14, 30, tzinfo=UTC)
        assert bars[-1].begins_at == datetime(2026, 1, 14, 14, 55, tzinfo=UTC)
        assert len(bars) == 78 + 6
        [yesterday] = market.days(market.issues["AAPL"], date(2026, 1, 13), date(2026, 1, 13))
        assert max(each.high for each in bars[:78]) == yesterday.high

    def test_a_half_day_has_fewer_fives(self, ask: Program) -> None:
        assert len(ask("intraday_bars", APPLE, date(2025, 11, 28), date(2025, 11, 28))) == 42

    def test_fives_of_long_ago_are_not_asked_for(self, ask: Program, yahoo: RunningYahoo) -> None:
        assert ask.outcome("intraday_bars", APPLE, date(2025, 9, 1), date(2025, 9, 5)) == ("nothing known",)
        assert _paths(yahoo) == []
        assert ask("intraday_bars", APPLE, date(2025, 9, 1), TODAY)[0].begins_at.date() >= date(2025, 11, 14)

    def test_yields_are_of_four_maturities(self, ask: Program, yahoo: RunningYahoo) -> None:
        rates = ask("treasury_rates", date(2026, 1, 12), TODAY)
        assert [each.on for each in rates] == [date(2026, 1, 12), date(2026, 1, 13)]
        assert rates[0].yields.keys() == {"month3", "year5", "year10", "year30"}
        assert all(3 < each < 6 for each in rates[0].yields.values())
        assert sorted(_paths(yahoo)) == [f"query2 /v8/finance/chart/^{each}" for each in ("FVX", "IRX", "TNX", "TYX")]

    @pytest.mark.parametrize("instrument", [UNKNOWN, GONE])
    def test_what_is_unknown_or_gone_has_nothing(
        self, ask: Program, yahoo: RunningYahoo, instrument: Instrument
    ) -> None:
        assert ask.outcome("daily_history", instrument, date(2025, 1, 6), TODAY) == ("nothing known",)
        assert len(_paths(yahoo)) == 1, "an answer that says so is not asked for again with another cookie"

    def test_what_is_gone_keeps_its_past(self, ask: Program) -> None:
        bars = ask("daily_history", GONE, date(2022, 3, 1), TODAY).bars
        assert bars.last_session == date(2022, 3, 11)


class TestCompanies:
    def test_a_profile_is_one_request(self, ask: Program, yahoo: RunningYahoo) -> None:
        profile = ask("profile", APPLE)
        assert (profile.company_name, profile.exchange, profile.country) == ("Apple Inc.", "NASDAQ", "US")
        assert (profile.ceo, profile.last_dividend) == ("Mr. B. Chair", 1.04)
        assert profile.price * 14_800_000_000 == pytest.approx(profile.market_cap, abs=1)
        assert (profile.isin, profile.ipo_date, profile.image) == (None, None, None)
        assert _paths(yahoo) == ["query2 /v10/finance/quoteSummary/AAPL"]

    def test_quarters_add_up_to_years(self, ask: Program) -> None:
        [year, *_] = ask("statements", APPLE, StatementKind.INCOME, is_annual=True, limit=4)
        quarters = ask("statements", APPLE, StatementKind.INCOME, is_annual=False, limit=4)
        assert (year.fiscal_year, year.period, year.reported_currency) == (2025, Period.FY, "USD")
        assert [each.period for each in quarters] == [Period.Q4, Period.Q3, Period.Q2, Period.Q1]
        assert {each.fiscal_year for each in quarters} == {2025}
        assert quarters[-1].ends_on == date(2024, 12, 31)
        assert sum(each.figures["net_income"] for each in quarters) == year.figures["net_income"]

    def test_indian_years_end_in_march(self, ask: Program) -> None:
        [newest, *_] = ask("statements", TCS, StatementKind.CASH_FLOW, is_annual=False, limit=2)
        assert (newest.ends_on, newest.fiscal_year, newest.period) == (date(2025, 9, 30), 2026, Period.Q2)
        assert newest.reported_currency == "INR"
        figures = newest.figures
        assert figures["free_cash_flow"] == figures["operating_cash_flow"] + figures["capital_expenditure"]
        assert figures["operating_cash_flow"] == figures["net_cash_provided_by_operating_activities"]

    def test_what_is_owned_is_what_is_owed_and_equity(self, ask: Program, yahoo: RunningYahoo) -> None:
        statements = ask("statements", APPLE, StatementKind.BALANCE_SHEET, is_annual=True, limit=9)
        assert len(statements) > 3
        for each in statements:
            assert each.figures["total_assets"] == each.figures["total_liabilities"] + each.figures["total_equity"]
        assert len(_paths(yahoo)) == 1

    def test_analysts_say_what_they_hold_it_worth(self, ask: Program) -> None:
        ratings = ask("ratings", APPLE)
        [newest, second, *_] = ratings.price_targets
        assert newest.analyst_company == "Harbor Research"
        assert newest.price_target == pytest.approx(ask("quotes", [APPLE])[APPLE.id].last_price * 1.1, abs=1)
        assert second.price_target is None
        assert ratings.recommendation.consensus == "Buy"

    @pytest.mark.parametrize("name", ["profile", "ratings"])
    def test_what_has_no_company_has_nothing(self, ask: Program, name: str) -> None:
        assert ask.outcome(name, GONE) == ("nothing known",)
        assert ask.outcome(name, UNKNOWN) == ("nothing known",)

    def test_earnings_are_read_page_by_page(self, ask: Program, yahoo: RunningYahoo) -> None:
        first, last = TODAY - timedelta(days=1), TODAY + timedelta(days=15)
        reports = ask("earnings", first, last)
        by_symbol = {each.symbol: each for each in reports}
        assert by_symbol["AAPL"].on == TODAY + timedelta(days=1)
        assert by_symbol["AAPL"].eps_actual is None
        assert by_symbol["MSFT"].eps_actual == 1.31
        assert {each.on for each in reports} == {first + timedelta(days=days) for days in range(17)}
        assert _paths(yahoo) == ["query1 /v1/finance/visualization"] * 2


class TestNews:
    def test_news_come_by_pages_newest_first(self, ask: Program, yahoo: RunningYahoo) -> None:
        first, second = (ask("stock_news", TCS, page=page, limit=5) for page in (0, 1))
        times = [each.published_at for each in (*first, *second)]
        assert times == sorted(times, reverse=True)
        assert len(set(times)) == 10
        assert {each.symbol for each in first} == {"TCS"}
        assert first[0].site == "finance.yahoo.com"
        assert _paths(yahoo) == ["finance /xhr/ncp"] * 2

    def test_news_of_markets_are_about_none_in_particular(self, ask: Program) -> None:
        articles = ask("latest_news", page=0, limit=4)
        assert len(articles) == 4
        assert {each.symbol for each in articles} == {None}
        assert ask("latest_news", page=40, limit=5) == []

    def test_press_releases_name_who_released_them(self, ask: Program) -> None:
        assert {each.symbol for each in ask("press_releases", page=0, limit=6)} == {"AAPL", "MSFT", "NVDA"}


class TestSession:
    def test_the_first_question_fetches_cookie_and_crumb(self, fresh: Program, yahoo: RunningYahoo) -> None:
        assert fresh("is_imported_early") is False
        assert fresh("taken") == 0
        fresh("quotes", [APPLE])
        fresh("quotes", [TCS])
        expected = ["fc /", "query1 /v1/test/getcrumb", f"query1 {QUOTES}", f"query1 {QUOTES}"]
        assert _paths(yahoo) == expected
        assert fresh("taken") == 4
        assert (fresh.folder / "yahoo" / "cookies.db").exists()

    def test_a_crumb_that_died_is_renewed(self, ask: Program, yahoo: RunningYahoo) -> None:
        yahoo.upstream.renew_crumb()
        taken = ask("taken")
        assert ask("quotes", [APPLE])
        assert _paths(yahoo) == [f"query1 {QUOTES}", "query2 /v1/test/getcrumb", f"query1 {QUOTES}"]
        assert ask("taken") == taken + 3

    def test_logs_hold_neither_crumbs_nor_addresses(self, ask: Program, yahoo: RunningYahoo) -> None:
        ask("quotes", [APPLE])
        ask.outcome("profile", UNKNOWN)
        log = (ask.folder / "log").read_text()
        assert "crumb" not in log
        assert "yahoo.com" not in log


class TestFailures:
    def test_the_first_limit_makes_it_rest(self, fresh: Program, yahoo: RunningYahoo) -> None:
        yahoo.faults.next(CHART_OF_APPLE, limits())
        question = ("daily_history", APPLE, date(2026, 1, 12), TODAY)
        assert fresh.outcome(*question) == ("refused", LIMITED, 900.0)
        assert yahoo.journal.count(CHART_OF_APPLE) == 1
        yahoo.journal.clear()
        fresh("advance", 100.0)
        assert fresh.outcome("quotes", [APPLE]) == ("refused", LIMITED, 800.0)
        assert _paths(yahoo) == []
        fresh("advance", 801.0)
        assert fresh("daily_history", *question[1:])

    def test_a_limit_on_crumbs_makes_it_rest(self, fresh: Program, yahoo: RunningYahoo) -> None:
        yahoo.faults.always("/v1/test/getcrumb", Fault.answer(200, b"Too Many Requests", "text/plain"))
        assert fresh.outcome("quotes", [APPLE]) == ("refused", LIMITED, 900.0)
        assert _paths(yahoo) == ["fc /", "query1 /v1/test/getcrumb"]

    @pytest.mark.parametrize(
        ("fault", "problem"),
        [
            (Fault.html(), "answered what cannot be read"),
            (Fault.html(404), "answered what cannot be read"),
            (Fault.empty(), "answered what cannot be read"),
            (Fault.truncated(), "answered what cannot be read"),
            (Fault.answer(200, b"{}"), "answered what cannot be read"),
            (Fault.server_error(500), "is not answering"),
            (Fault.server_error(503), "is not answering"),
            (Fault.drop(), "cannot be reached"),
        ],
    )
    def test_a_failure_is_one_request_and_is_not_remembered(
        self, ask: Program, yahoo: RunningYahoo, fault: Fault, problem: str
    ) -> None:
        yahoo.faults.next(CHART_OF_APPLE, fault)
        question = ("daily_history", APPLE, date(2026, 1, 12), date(2026, 1, 13))
        assert ask.outcome(*question) == ("refused", problem, None)
        assert len(_paths(yahoo)) == 1
        assert len(ask(*question).bars) == 2

    def test_a_connection_that_is_cut_is_a_failure(self, ask: Program, yahoo: RunningYahoo) -> None:
        # One that was kept and died is opened anew by libcurl itself, underneath everything.
        yahoo.faults.always(CHART_OF_APPLE, Fault.reset())
        question = ("daily_history", APPLE, date(2026, 1, 12), TODAY)
        assert ask.outcome(*question) == ("refused", "cannot be reached", None)

    @pytest.mark.parametrize("fault", [Fault.hang(), Fault.half_open()])
    def test_what_hangs_is_given_up(self, impatient: Program, yahoo: RunningYahoo, fault: Fault) -> None:
        yahoo.faults.next(CHART_OF_APPLE, fault)
        question = ("daily_history", APPLE, date(2026, 1, 12), TODAY)
        assert impatient.outcome(*question) == ("refused", "did not answer in time", None)
        assert impatient("daily_history", *question[1:])

    def test_a_session_that_is_never_accepted_is_said_so(self, ask: Program, yahoo: RunningYahoo) -> None:
        yahoo.faults.always(QUOTES, Fault.answer(401, b'{"finance": {"result": null}}'))
        assert ask.outcome("quotes", [APPLE]) == ("refused", "does not accept our session", None)
        yahoo.faults.clear()
        assert ask("quotes", [APPLE])

    def test_nothing_is_asked_beyond_the_budget(self, ask: Program, yahoo: RunningYahoo) -> None:
        ask("allow", 2)
        outcomes = ask.outcomes("profile", APPLE, times=5)
        ask("allow", 1_000_000)
        assert sorted(each[0] for each in outcomes) == ["answer"] * 2 + ["refused"] * 3
        assert ("refused", "may not be asked more often now", 30) in outcomes
        assert len(_paths(yahoo)) == 2

    def test_only_a_few_ask_at_once_and_too_many_are_refused(self, ask: Program, yahoo: RunningYahoo) -> None:
        outcomes = ask.outcomes("after_market_quote", APPLE, times=70)
        assert sorted(each[0] for each in outcomes) == ["answer"] * 64 + ["refused"] * 6
        assert yahoo.journal.max_concurrency <= 4
