import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from google.protobuf.message import Message

from bourse.market.v1 import companies_pb2
from market.domain.capabilities import NothingKnown
from market.domain.companies import MAX_PRICE_TARGETS, Period, StatementKind
from market.providers.reference.listing import read_listing
from market.providers.yahoo.figures import ANCHOR_OF_KIND, FIGURE_OF_TYPE, SAME_AS
from market.providers.yahoo.parse_companies import profile_of, ratings_of, statements_of, types_of
from market.providers.yahoo.wire import AnswerUnreadable

APPLE = next(each.instrument for each in read_listing() if each.instrument.id == "NASDAQ:AAPL")
MESSAGES: dict[StatementKind, type[Message]] = {
    StatementKind.INCOME: companies_pb2.IncomeStatement,
    StatementKind.BALANCE_SHEET: companies_pb2.BalanceSheet,
    StatementKind.CASH_FLOW: companies_pb2.CashFlowStatement,
}


def summary(**modules: Any) -> Any:
    return json.loads(json.dumps({"quoteSummary": {"result": [modules], "error": None}}))


class TestProfiles:
    def test_a_full_one_is_read(self) -> None:
        profile = profile_of(
            summary(
                assetProfile={
                    "address1": "1 Example Way",
                    "address2": "Floor 2",
                    "city": "Cupertino",
                    "state": "CA",
                    "zip": "95014",
                    "country": "United States",
                    "phone": "555 0100",
                    "website": "https://www.example.com",
                    "industry": "Consumer Electronics",
                    "sector": "Technology",
                    "longBusinessSummary": "It makes things.",
                    "fullTimeEmployees": 164000,
                    "companyOfficers": [{"title": "CFO"}, {"name": "Ms. C. Lead", "title": "CEO & Director"}],
                },
                summaryDetail={
                    "beta": 1.1,
                    "trailingAnnualDividendRate": 1.02,
                    "averageVolume": 50_000_000,
                    "fiftyTwoWeekLow": 169.21,
                    "fiftyTwoWeekHigh": 260.1,
                },
                price={
                    "longName": "Apple Inc.",
                    "currency": "USD",
                    "exchangeName": "NasdaqGS",
                    "regularMarketPrice": 200.0,
                    "regularMarketPreviousClose": 160.0,
                    "regularMarketChange": 40.0,
                    "regularMarketChangePercent": 0.25,
                    "regularMarketVolume": 1234,
                    "marketCap": 3e12,
                },
                quoteType={"quoteType": "EQUITY"},
            ),
            APPLE,
        )
        assert (profile.price, profile.change, profile.change_percentage) == (200.0, 40.0, 25.0)
        assert (profile.range, profile.beta, profile.last_dividend) == ("169.21-260.1", 1.1, 1.02)
        assert (profile.exchange, profile.exchange_full_name) == ("NASDAQ", "NasdaqGS")
        assert (profile.ceo, profile.address, profile.country) == ("Ms. C. Lead", "1 Example Way, Floor 2", "US")
        assert (profile.is_etf, profile.is_fund) == (False, False)
        assert (profile.market_cap, profile.volume, profile.average_volume) == (3e12, 1234, 50_000_000)
        assert (profile.cik, profile.isin, profile.cusip, profile.image, profile.ipo_date) == (None,) * 5

    def test_what_is_not_said_is_absent(self) -> None:
        profile = profile_of(summary(price={"symbol": "AAPL", "regularMarketPrice": float("nan")}), APPLE)
        assert (profile.company_name, profile.currency) == (APPLE.name, "USD")
        assert (profile.price, profile.change_percentage, profile.range, profile.address) == (None,) * 4
        assert (profile.is_etf, profile.is_fund, profile.ceo, profile.country) == (None,) * 4

    def test_a_country_that_is_not_known_is_not_guessed(self) -> None:
        assert profile_of(summary(assetProfile={"country": "Atlantis"}), APPLE).country is None

    @pytest.mark.parametrize(
        ("title", "is_chief"),
        [
            ("Co-Founder, CEO & Chairman", True),
            ("Chief Executive Officer of Group", True),
            ("CEO of Retail", True),
            ("COO", False),
        ],
    )
    def test_the_chief_executive_is_known_by_the_title(self, title: str, is_chief: bool) -> None:
        officers = [{"name": "Who", "title": title}]
        profile = profile_of(summary(assetProfile={"companyOfficers": officers}), APPLE)
        assert (profile.ceo == "Who") is is_chief

    @pytest.mark.parametrize("modules", [{}, {"quoteType": {"quoteType": "INDEX"}}])
    def test_without_company_and_price_nothing_is_known(self, modules: dict[str, Any]) -> None:
        with pytest.raises(NothingKnown):
            profile_of(summary(**modules), APPLE)

    def test_without_results_nothing_is_known(self) -> None:
        with pytest.raises(NothingKnown):
            profile_of({"quoteSummary": {"result": None, "error": None}}, APPLE)
        with pytest.raises(AnswerUnreadable):
            profile_of({"finance": {}}, APPLE)


def series(name: str, values: Mapping[str, Any], *, currency: str | None = "USD") -> dict[str, Any]:
    reported = [
        {"asOfDate": day, "periodType": "12M", "currencyCode": currency, "reportedValue": {"raw": value, "fmt": ""}}
        for day, value in values.items()
    ]
    return {"meta": {"symbol": ["AAPL"], "type": [name]}, "timestamp": [0] * len(reported), name: reported}


def timeseries(*all_series: Any) -> Any:
    return json.loads(json.dumps({"timeseries": {"result": list(all_series), "error": None}}))


class TestFigures:
    @pytest.mark.parametrize("kind", StatementKind)
    def test_every_figure_is_a_field_of_the_contract(self, kind: StatementKind) -> None:
        fields = MESSAGES[kind].DESCRIPTOR.fields_by_name
        figures = list(FIGURE_OF_TYPE[kind].values())
        assert set(figures) <= set(fields)
        assert len(set(figures)) == len(figures)
        assert ANCHOR_OF_KIND[kind] in FIGURE_OF_TYPE[kind]

    def test_an_amount_with_two_names_is_one_of_cash_flows(self) -> None:
        fields = companies_pb2.CashFlowStatement.DESCRIPTOR.fields_by_name
        assert all(name in fields for pair in SAME_AS.items() for name in pair)

    def test_quarters_ask_for_the_years_too(self) -> None:
        assert "annualTotalRevenue" in types_of(StatementKind.INCOME, is_annual=False)
        assert "quarterlyTotalRevenue" in types_of(StatementKind.INCOME, is_annual=False)
        assert all(each.startswith("annual") for each in types_of(StatementKind.CASH_FLOW, is_annual=True))


class TestStatements:
    def test_years_are_newest_first_and_no_more_than_asked(self) -> None:
        values = {"2023-09-30": 3, "2025-09-27": 5, "2024-09-28": 4}
        answer = timeseries(series("annualTotalRevenue", values), series("annualNetIncome", {"2025-09-27": -1.5}))
        newest, second = statements_of(answer, StatementKind.INCOME, is_annual=True, limit=2)
        assert (newest.ends_on, newest.fiscal_year, newest.period) == (date(2025, 9, 27), 2025, Period.FY)
        assert newest.figures == {"revenue": 5, "net_income": -1.5}
        assert second.figures == {"revenue": 4}, "what was not reported is left out"
        assert newest.reported_currency == "USD"

    @pytest.mark.parametrize(
        ("year_end", "day", "fiscal_year", "period"),
        [
            ("2025-09-27", "2025-12-27", 2026, Period.Q1),
            ("2025-09-27", "2025-09-27", 2025, Period.Q4),
            ("2025-09-27", "2025-06-28", 2025, Period.Q3),
            ("2025-12-31", "2025-09-30", 2025, Period.Q3),
            ("2025-03-31", "2025-06-30", 2026, Period.Q1),
            ("2025-02-01", "2025-05-03", 2026, Period.Q1),
            ("2025-01-31", "2025-01-31", 2025, Period.Q4),
            ("2026-01-03", "2026-01-03", 2025, Period.Q4),
            ("2025-06-30", "2025-12-31", 2026, Period.Q2),
        ],
    )
    def test_quarters_are_counted_from_the_end_of_the_fiscal_year(
        self, year_end: str, day: str, fiscal_year: int, period: Period
    ) -> None:
        answer = timeseries(series("annualTotalAssets", {year_end: 1}), series("quarterlyTotalAssets", {day: 2}))
        [statement] = statements_of(answer, StatementKind.BALANCE_SHEET, is_annual=False, limit=9)
        assert (statement.fiscal_year, statement.period) == (fiscal_year, period)

    def test_gaps_are_passed_over(self) -> None:
        holey = series("annualTotalRevenue", {"2025-09-27": 5, "2024-09-28": float("nan"), "soon": 3})
        holey["annualTotalRevenue"] += [None, {"reportedValue": {"raw": 1}}]
        empty = {"meta": {"type": ["annualEBITDA"]}}
        [statement] = statements_of(timeseries(holey, empty, None), StatementKind.INCOME, is_annual=True, limit=9)
        assert statement.figures == {"revenue": 5}

    def test_the_currency_is_that_of_most_figures(self) -> None:
        answer = timeseries(
            series("annualTotalRevenue", {"2025-03-31": 5}, currency="INR"),
            series("annualNetIncome", {"2025-03-31": 2}, currency="INR"),
            series("annualDilutedEPS", {"2025-03-31": 1}, currency="USD"),
        )
        [statement] = statements_of(answer, StatementKind.INCOME, is_annual=True, limit=1)
        assert statement.reported_currency == "INR"
        unsaid = timeseries(series("annualTotalRevenue", {"2025-03-31": 5}, currency=None))
        assert statements_of(unsaid, StatementKind.INCOME, is_annual=True, limit=1)[0].reported_currency is None

    def test_the_amount_with_two_names_has_both(self) -> None:
        answer = timeseries(series("annualOperatingCashFlow", {"2025-09-27": 9}))
        [statement] = statements_of(answer, StatementKind.CASH_FLOW, is_annual=True, limit=1)
        assert statement.figures == {"operating_cash_flow": 9, "net_cash_provided_by_operating_activities": 9}

    @pytest.mark.parametrize("is_annual", [True, False])
    def test_without_figures_nothing_is_known(self, is_annual: bool) -> None:
        with pytest.raises(NothingKnown):
            statements_of(timeseries(), StatementKind.INCOME, is_annual=is_annual, limit=1)

    def test_quarters_of_unknown_years_are_left_out(self) -> None:
        answer = timeseries(series("quarterlyTotalRevenue", {"2025-09-27": 9}))
        with pytest.raises(NothingKnown):
            statements_of(answer, StatementKind.INCOME, is_annual=False, limit=1)


class TestRatings:
    def ratings(self, *, votes: tuple[int, ...] | None = None, grades: list[Any] | None = None) -> Any:
        names = ("strongBuy", "buy", "hold", "sell", "strongSell")
        trend = [] if votes is None else [{"period": "-1m"}, {"period": "0m", **dict(zip(names, votes, strict=True))}]
        return ratings_of(
            summary(upgradeDowngradeHistory={"history": grades or []}, recommendationTrend={"trend": trend})
        )

    def test_targets_are_newest_first(self) -> None:
        grades = [
            {"epochGradeDate": 1700000000, "firm": "Old", "currentPriceTarget": 150.0},
            {"epochGradeDate": 1760000000, "firm": "New", "toGrade": "Buy", "currentPriceTarget": 0.0},
            {"firm": "Undated", "currentPriceTarget": 99.0},
            None,
        ]
        newest, oldest = self.ratings(grades=grades).price_targets
        assert (newest.analyst_company, newest.price_target) == ("New", None)
        assert (oldest.analyst_company, oldest.price_target) == ("Old", 150.0)
        assert newest.published_at == datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC)

    def test_there_are_no_more_than_fifty(self) -> None:
        grades = [{"epochGradeDate": 1700000000 + place, "firm": str(place)} for place in range(60)]
        targets = self.ratings(grades=grades).price_targets
        assert len(targets) == MAX_PRICE_TARGETS
        assert targets[0].analyst_company == "59"

    @pytest.mark.parametrize(
        ("votes", "consensus"),
        [
            ((9, 0, 0, 0, 0), "Strong Buy"),
            ((7, 21, 9, 2, 0), "Buy"),
            ((1, 2, 20, 2, 1), "Hold"),
            ((0, 0, 2, 8, 1), "Sell"),
            ((0, 0, 0, 1, 9), "Strong Sell"),
        ],
    )
    def test_the_consensus_is_the_mean(self, votes: tuple[int, ...], consensus: str) -> None:
        recommendation = self.ratings(votes=votes).recommendation
        assert recommendation is not None
        assert recommendation.consensus == consensus
        assert recommendation.hold == votes[2]

    def test_without_votes_nobody_recommends(self) -> None:
        grades = [{"epochGradeDate": 1700000000, "firm": "Only"}]
        assert self.ratings(votes=(0, 0, 0, 0, 0), grades=grades).recommendation is None
        assert self.ratings(grades=grades).recommendation is None

    def test_when_analysts_say_nothing_nothing_is_known(self) -> None:
        with pytest.raises(NothingKnown):
            self.ratings()
