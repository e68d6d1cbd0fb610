from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from bourse.market.v1 import companies_pb2 as pb
from chassis.clock import ManualClock
from market.domain.capabilities import Capability, NothingKnown
from market.domain.companies import Period, Statement, StatementKind
from market.domain.earnings import DAYS_AHEAD, DAYS_BACK, REPORTING_EXCHANGES
from market.domain.instruments import Instrument, InstrumentKind
from market.providers.calendars.exchanges import ExchangeCalendar, load_calendar
from market.providers.reference.listing import read_listing
from market.providers.sample.companies import LONGEST_REPORT_DAYS, make_company
from market.providers.sample.source import SampleSource

LISTING = read_listing()
SHARES = [each for each in LISTING if each.instrument.kind is InstrumentKind.EQUITY]
TODAY = datetime(2026, 1, 7, 15, 0, tzinfo=UTC)
SAMPLES = ("NSE:TCS", "BSE:TCS", "NSE:SBIN", "NASDAQ:AAPL", "NYSE:JPM", "NASDAQ:MSFT")
HALF_A_CENT = 0.00501  # and a little more, for what is rounded to cents

Make = Callable[..., SampleSource]
Figures = Mapping[str, float]


@pytest.fixture(scope="module")
def calendar() -> ExchangeCalendar:
    return load_calendar(TODAY.date())


@pytest.fixture(scope="module")
def make(calendar: ExchangeCalendar) -> Make:
    def make(now: datetime = TODAY, *, seed: int = 7) -> SampleSource:
        listing = [each for each in LISTING if each.instrument.kind is not InstrumentKind.CURRENCY_PAIR]
        return SampleSource(listing, calendar, ManualClock(now), seed=seed, tick_seconds=30.0, is_always_open=False)

    return make


@pytest.fixture(scope="module")
def source(make: Make) -> SampleSource:
    return make()


def of(source: SampleSource, instrument_id: str) -> Instrument:
    return next(each for each in source.instruments() if each.id == instrument_id)


async def quarters_of(source: SampleSource, instrument: str, kind: StatementKind) -> Sequence[Statement]:
    return await source.statements(of(source, instrument), kind, is_annual=False, limit=200)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (StatementKind.INCOME, pb.IncomeStatement),
        (StatementKind.BALANCE_SHEET, pb.BalanceSheet),
        (StatementKind.CASH_FLOW, pb.CashFlowStatement),
    ],
)
@pytest.mark.parametrize("is_annual", [True, False])
async def test_a_statement_has_every_figure(
    source: SampleSource, kind: StatementKind, message: type[Message], *, is_annual: bool
) -> None:
    statements = await source.statements(of(source, "NSE:TCS"), kind, is_annual=is_annual, limit=3)
    fields = message.DESCRIPTOR.fields
    amounts = frozenset(each.name for each in fields if each.type == FieldDescriptor.TYPE_DOUBLE)
    assert {frozenset(each.figures) for each in statements} == {amounts}
    assert {each.kind for each in statements} == {kind}


@pytest.mark.parametrize("seed", [7, 8])
@pytest.mark.parametrize("instrument", SAMPLES)
async def test_income_adds_up(make: Make, instrument: str, seed: int) -> None:
    for each in await quarters_of(make(seed=seed), instrument, StatementKind.INCOME):
        line = each.figures
        assert line["revenue"] > 0
        assert line["gross_profit"] == line["revenue"] - line["cost_of_revenue"]
        assert line["operating_expenses"] == (
            line["research_and_development_expenses"]
            + line["selling_general_and_administrative_expenses"]
            + line["other_expenses"]
        )
        assert line["cost_and_expenses"] == line["cost_of_revenue"] + line["operating_expenses"]
        assert line["operating_income"] == line["gross_profit"] - line["operating_expenses"]
        assert line["net_interest_income"] == line["interest_income"] - line["interest_expense"]
        assert line["income_before_tax"] == line["operating_income"] + line["total_other_income_expenses_net"]
        assert line["net_income"] == line["income_before_tax"] - line["income_tax_expense"]
        assert line["ebitda"] == line["ebit"] + line["depreciation_and_amortization"]
        assert line["ebit"] == line["income_before_tax"] + line["interest_expense"]
        assert line["eps"] == pytest.approx(line["net_income"] / line["weighted_average_shs_out"], abs=HALF_A_CENT)
        assert line["eps_diluted"] <= line["eps"] or line["eps"] < 0


@pytest.mark.parametrize("instrument", SAMPLES)
async def test_the_balance_balances(source: SampleSource, instrument: str) -> None:
    for each in await quarters_of(source, instrument, StatementKind.BALANCE_SHEET):
        line = each.figures
        assert line["total_assets"] == line["total_liabilities"] + line["total_equity"]
        assert line["total_assets"] == line["total_liabilities_and_total_equity"]
        assert line["total_assets"] == line["total_current_assets"] + line["total_non_current_assets"]
        assert line["total_liabilities"] == line["total_current_liabilities"] + line["total_non_current_liabilities"]
        assert line["total_equity"] > 0
        assert line["total_stockholders_equity"] == (
            line["common_stock"]
            + line["preferred_stock"]
            + line["additional_paid_in_capital"]
            + line["retained_earnings"]
            + line["treasury_stock"]
            + line["accumulated_other_comprehensive_income_loss"]
            + line["other_total_stockholders_equity"]
        )
        assert line["total_current_assets"] == (
            line["cash_and_short_term_investments"]
            + line["net_receivables"]
            + line["inventory"]
            + line["prepaids"]
            + line["other_current_assets"]
        )
        assert line["net_debt"] == line["total_debt"] - line["cash_and_cash_equivalents"]
        assert line["total_debt"] == (
            line["short_term_debt"] + line["long_term_debt"] + line["capital_lease_obligations"]
        )


@pytest.mark.parametrize("instrument", SAMPLES)
async def test_cash_flows_lead_from_one_balance_to_the_next(source: SampleSource, instrument: str) -> None:
    flows = await quarters_of(source, instrument, StatementKind.CASH_FLOW)
    balances = await quarters_of(source, instrument, StatementKind.BALANCE_SHEET)
    incomes = await quarters_of(source, instrument, StatementKind.INCOME)
    for flow, income, (balance, before) in zip(flows, incomes, pairwise(balances), strict=False):
        line = flow.figures
        assert line["cash_at_end_of_period"] == balance.figures["cash_and_cash_equivalents"]
        assert line["cash_at_beginning_of_period"] == before.figures["cash_and_cash_equivalents"]
        assert line["net_change_in_cash"] == line["cash_at_end_of_period"] - line["cash_at_beginning_of_period"]
        assert line["net_change_in_cash"] == (
            line["operating_cash_flow"]
            + line["net_cash_provided_by_investing_activities"]
            + line["net_cash_provided_by_financing_activities"]
            + line["effect_of_forex_changes_on_cash"]
        )
        assert line["free_cash_flow"] == line["operating_cash_flow"] + line["capital_expenditure"]
        assert line["net_income"] == income.figures["net_income"]
        earned = line["net_income"] + line["net_dividends_paid"]
        assert balance.figures["retained_earnings"] - before.figures["retained_earnings"] == earned


@pytest.mark.parametrize("kind", StatementKind)
@pytest.mark.parametrize("instrument", ["NSE:TCS", "NASDAQ:AAPL"])
async def test_quarters_sum_to_years(source: SampleSource, instrument: str, kind: StatementKind) -> None:
    quarters = await quarters_of(source, instrument, kind)
    years = await source.statements(of(source, instrument), kind, is_annual=True, limit=50)
    assert len(years) >= 15
    for year in years:
        parts = [each for each in quarters if each.fiscal_year == year.fiscal_year]
        assert [each.period for each in parts] == ["Q4", "Q3", "Q2", "Q1"]
        assert (year.period, year.ends_on, year.filing_date) == (Period.FY, parts[0].ends_on, parts[0].filing_date)
        _assert_sums(kind, year.figures, [each.figures for each in parts])


def _assert_sums(kind: StatementKind, year: Figures, newest_first: Sequence[Figures]) -> None:
    if kind is StatementKind.BALANCE_SHEET:
        assert year == newest_first[0]
        return
    a_share = {"eps", "eps_diluted", "weighted_average_shs_out", "weighted_average_shs_out_dil"}
    ends = {"cash_at_beginning_of_period", "cash_at_end_of_period"}
    for name in year.keys() - a_share - ends:
        assert year[name] == sum(quarter[name] for quarter in newest_first)
    if kind is StatementKind.INCOME:
        assert year["eps"] == pytest.approx(sum(quarter["eps"] for quarter in newest_first), abs=5 * HALF_A_CENT)
    else:
        assert year["cash_at_beginning_of_period"] == newest_first[-1]["cash_at_beginning_of_period"]
        assert year["cash_at_end_of_period"] == newest_first[0]["cash_at_end_of_period"]


async def test_statements_come_newest_first_and_no_more_than_asked(source: SampleSource) -> None:
    some = await source.statements(of(source, "NASDAQ:AAPL"), StatementKind.INCOME, is_annual=False, limit=5)
    assert len(some) == 5
    assert [each.ends_on for each in some] == sorted((each.ends_on for each in some), reverse=True)
    assert {each.reported_currency for each in some} == {"USD"}
    assert all(each.filing_date is not None and each.ends_on < each.filing_date <= TODAY.date() for each in some)
    assert all(each.accepted_date == f"{each.filing_date} 06:30:00" for each in some)


async def test_a_statement_appears_when_it_is_filed_and_stays_as_it_is(make: Make, source: SampleSource) -> None:
    newest, second = await source.statements(of(source, "NSE:TCS"), StatementKind.CASH_FLOW, is_annual=False, limit=2)
    assert newest.filing_date is not None
    filed_at = datetime(newest.filing_date.year, newest.filing_date.month, newest.filing_date.day, 11, 30, tzinfo=UTC)
    for now, expected in ((filed_at - timedelta(seconds=1), second), (filed_at, newest)):
        then = make(now)
        found = await then.statements(of(then, "NSE:TCS"), StatementKind.CASH_FLOW, is_annual=False, limit=1)
        assert found == [expected]


async def test_a_company_is_the_same_on_both_exchanges_and_in_any_instance(make: Make, source: SampleSource) -> None:
    for kind in StatementKind:
        one = await quarters_of(source, "NSE:TCS", kind)
        assert one == await quarters_of(source, "BSE:TCS", kind)
        assert one == await quarters_of(make(), "NSE:TCS", kind)
        assert one != await quarters_of(make(seed=8), "NSE:TCS", kind)


@pytest.mark.parametrize("seed", [7, 11])
def test_companies_are_plausible(seed: int) -> None:
    for listed in SHARES:
        company = make_company(listed, seed)
        assert 5 <= company.units * listed.price / (company.annual_revenue * company.margin) <= 50
        assert company.employees > 0
        for quarter in (0, 3, 40, 63):
            ends = company.quarter_end(quarter)
            assert company.quarters_ended(ends) == quarter + 1
            assert company.quarters_ended(ends - timedelta(days=1)) == quarter
            late = company.reported_on(quarter) - ends
            assert timedelta(days=14) < late <= timedelta(days=LONGEST_REPORT_DAYS)
            assert company.reported_on(quarter).weekday() < 5


async def test_a_years_earnings_and_the_price_make_the_figures_beside_a_quote(source: SampleSource) -> None:
    shares = [of(source, each) for each in SAMPLES]
    details = await source.quote_details([*shares, of(source, "INDEX:NIFTY50")])
    quotes = await source.quotes(shares)
    assert set(details) == set(SAMPLES)
    for share in shares:
        incomes = await quarters_of(source, share.id, StatementKind.INCOME)
        earned = sum(each.figures["net_income"] for each in incomes[:4])
        units = incomes[0].figures["weighted_average_shs_out"]
        shown, price = details[share.id], quotes[share.id].last_price
        assert shown.eps == pytest.approx(earned / units, abs=HALF_A_CENT)
        assert shown.market_cap == pytest.approx(price * units)
        assert shown.eps is not None
        assert shown.pe == pytest.approx(price / shown.eps, abs=HALF_A_CENT)


async def test_before_four_quarters_were_reported_there_are_no_earnings_of_a_year(source: SampleSource) -> None:
    company = source._fundamentals.company(of(source, "NSE:TCS"))
    assert source._fundamentals.earnings_of_year(company, datetime(2009, 12, 1, tzinfo=UTC)) is None


async def test_a_profile_fits_price_bars_and_statements(source: SampleSource) -> None:
    for instrument in ("NSE:TCS", "NASDAQ:AAPL"):
        share = of(source, instrument)
        quote = (await source.quotes([share]))[share.id]
        profile = await source.profile(share)
        history = await source.daily_history(share, TODAY.date() - timedelta(days=365), TODAY.date())
        details = (await source.quote_details([share]))[share.id]
        low, high = (float(each) for each in (profile.range or "").split("-"))
        assert (profile.price, profile.change, profile.volume) == (quote.last_price, quote.change, quote.volume)
        assert profile.market_cap == details.market_cap
        assert low == min(quote.last_price, *history.bars.low.tolist())
        assert high == max(quote.last_price, *history.bars.high.tolist())
        paid = [each.amount for each in history.dividends if each.ex_date > TODAY.date() - timedelta(days=365)]
        assert profile.last_dividend == pytest.approx(sum(paid), abs=HALF_A_CENT)
        assert profile.company_name == share.name
        assert "simulated" in (profile.description or "")
        assert ".invalid/" in (profile.website or "")
        assert profile.is_etf is False


async def test_a_fund_has_a_profile_without_a_company(source: SampleSource) -> None:
    profile = await source.profile(of(source, "NSE:NIFTYBEES"))
    assert profile.is_etf is True
    assert (profile.ceo, profile.market_cap, profile.last_dividend) == (None, None, None)
    assert profile.price is not None


async def test_what_has_no_company_is_not_covered(make: Make, source: SampleSource) -> None:
    index, fund = of(source, "INDEX:NIFTY50"), of(source, "NSE:NIFTYBEES")
    assert not source.covers(Capability.PROFILES, index)
    assert source.covers(Capability.PROFILES, fund)
    assert not source.covers(Capability.STATEMENTS, fund)
    assert source.covers(Capability.DAILY_HISTORY, index)
    for question in (source.profile(index), source.dividends(fund), source.ratings(fund)):
        with pytest.raises(NothingKnown):
            await question
    with pytest.raises(NothingKnown):
        await source.statements(fund, StatementKind.INCOME, is_annual=True, limit=1)
    early = make(datetime(2022, 6, 1, tzinfo=UTC))
    with pytest.raises(NothingKnown):
        await early.profile(of(early, "NSE:TCS"))


@pytest.mark.parametrize(("instrument", "a_year"), [("NSE:TCS", 1), ("NASDAQ:AAPL", 4)])
async def test_dividends_go_ex_on_sessions_newest_first(source: SampleSource, instrument: str, a_year: int) -> None:
    share = of(source, instrument)
    dividends = await source.dividends(share)
    sessions = set((await source.daily_history(share, date(2010, 1, 1), TODAY.date())).bars.sessions.tolist())
    days = [each.ex_date for each in dividends]
    assert days == sorted(set(days), reverse=True)
    assert len([day for day in days if day.year == 2024]) == a_year
    assert {day for day in days if day.year >= 2010} <= sessions | {TODAY.date()}
    assert all(each.amount >= 0.01 and each.record_date == each.ex_date for each in dividends)


@pytest.mark.parametrize("instrument", ["NSE:TCS", "NASDAQ:AAPL"])
async def test_what_a_quarter_pays_is_in_its_cash_flow(source: SampleSource, instrument: str) -> None:
    units = (await quarters_of(source, instrument, StatementKind.INCOME))[0].figures["weighted_average_shs_out"]
    flows = await quarters_of(source, instrument, StatementKind.CASH_FLOW)
    dividends = await source.dividends(of(source, instrument))
    for flow, before in list(pairwise(flows))[:8]:
        amounts = [each.amount for each in dividends if before.ends_on < each.ex_date <= flow.ends_on]
        assert flow.figures["common_dividends_paid"] == pytest.approx(-sum(amounts) * units)


async def test_most_shares_pay_dividends_and_some_never_do(source: SampleSource) -> None:
    shares = [each.instrument for each in SHARES]
    paying = [bool(await source.dividends(each)) for each in shares]
    assert 0.75 < sum(paying) / len(paying) < 0.98


async def test_reports_are_those_of_the_statements(source: SampleSource) -> None:
    today = TODAY.date()
    reports = await source.earnings(date(2025, 10, 20), date(2025, 11, 10))
    assert len(reports) > 50
    assert {each.exchange for each in reports} <= set(REPORTING_EXCHANGES)
    for report in reports[::10]:
        incomes = await quarters_of(source, f"{report.exchange}:{report.symbol}", StatementKind.INCOME)
        statement = next(each for each in incomes if each.filing_date == report.on)
        assert report.eps_actual == statement.figures["eps"]
        assert report.revenue_actual == statement.figures["revenue"]
        assert report.on <= today


@pytest.mark.parametrize("weeks", range(0, 52, 4))
async def test_in_every_week_of_the_year_some_companies_report(make: Make, weeks: int) -> None:
    now = TODAY + timedelta(weeks=weeks)
    first, last = now.date() - timedelta(days=DAYS_BACK), now.date() + timedelta(days=DAYS_AHEAD)
    reports = await make(now).earnings(first, last)
    assert len(reports) >= 5
    assert all(first <= each.on <= last for each in reports)
    assert [each.on for each in reports] == sorted(each.on for each in reports)
    for each in reports:
        assert (each.eps_actual is None) == (each.revenue_actual is None)
        assert each.on <= now.date() or each.eps_actual is None
        assert each.eps_estimated is not None
        assert each.last_updated is not None
        assert each.last_updated <= now.date()


async def test_what_is_expected_comes_to_pass(make: Make, source: SampleSource) -> None:
    first, last = TODAY.date() + timedelta(days=1), TODAY.date() + timedelta(days=15)
    expected = await source.earnings(first, last)
    made = await make(TODAY + timedelta(days=30)).earnings(first, last)
    assert [(each.on, each.symbol, each.eps_estimated) for each in expected] == [
        (each.on, each.symbol, each.eps_estimated) for each in made
    ]
    assert {each.eps_actual for each in expected} == {None}
    assert None not in {each.eps_actual for each in made}


async def test_a_long_stretch_of_reports_is_cut_to_its_newest_quarter(source: SampleSource) -> None:
    reports = await source.earnings(date(2020, 1, 1), date(2025, 12, 31))
    assert reports[0].on >= date(2025, 9, 30)
