"""What is known of companies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, TypeVar

from bourse.market.v1 import companies_pb2
from market.domain.companies import (
    Dividend,
    PriceTarget,
    Ratings,
    Recommendation,
    Statement,
    StatementKind,
)
from market.domain.company_desk import About, PricedProfile
from market.messages.provenance import moment_text, provenance_message

StatementMessage = TypeVar(
    "StatementMessage", companies_pb2.IncomeStatement, companies_pb2.BalanceSheet, companies_pb2.CashFlowStatement
)

FIGURES_OF_KIND: Mapping[StatementKind, frozenset[str]] = {
    kind: frozenset(message.DESCRIPTOR.fields_by_name)
    for kind, message in (
        (StatementKind.INCOME, companies_pb2.IncomeStatement),
        (StatementKind.BALANCE_SHEET, companies_pb2.BalanceSheet),
        (StatementKind.CASH_FLOW, companies_pb2.CashFlowStatement),
    )
}


def profile_message(symbol: str, priced: PricedProfile) -> companies_pb2.GetProfileResponse:
    """Answer with a profile, whose provenance is that of its price; without a price, that of the profile."""
    answer, quote = priced.about.answer, priced.quote
    said = asdict(answer.value)
    ipo_date: date | None = said.pop("ipo_date")
    profile = companies_pb2.Profile(
        symbol=symbol,
        ipo_date=ipo_date.isoformat() if ipo_date else None,
        provenance=provenance_message(answer.provenance if quote is None else quote.provenance),
        **said,
    )
    return companies_pb2.GetProfileResponse(profile=profile)


def income_statements_message(
    symbol: str, about: About[Sequence[Statement]]
) -> companies_pb2.ListIncomeStatementsResponse:
    """Answer with income statements."""
    return companies_pb2.ListIncomeStatementsResponse(
        statements=[_statement(companies_pb2.IncomeStatement, symbol, each) for each in about.answer.value],
        provenance=provenance_message(about.answer.provenance),
    )


def balance_sheets_message(symbol: str, about: About[Sequence[Statement]]) -> companies_pb2.ListBalanceSheetsResponse:
    """Answer with balance sheets."""
    return companies_pb2.ListBalanceSheetsResponse(
        statements=[_statement(companies_pb2.BalanceSheet, symbol, each) for each in about.answer.value],
        provenance=provenance_message(about.answer.provenance),
    )


def cash_flow_statements_message(
    symbol: str, about: About[Sequence[Statement]]
) -> companies_pb2.ListCashFlowStatementsResponse:
    """Answer with cash flow statements."""
    return companies_pb2.ListCashFlowStatementsResponse(
        statements=[_statement(companies_pb2.CashFlowStatement, symbol, each) for each in about.answer.value],
        provenance=provenance_message(about.answer.provenance),
    )


def dividends_message(about: About[Sequence[Dividend]]) -> companies_pb2.ListDividendsResponse:
    """Answer with dividends; where a source does not know the record date, the ex-date stands for it."""
    return companies_pb2.ListDividendsResponse(
        dividends=[
            companies_pb2.Dividend(
                record_date=(each.record_date or each.ex_date).isoformat(),
                adj_dividend=each.amount,
                ex_date=each.ex_date.isoformat(),
            )
            for each in about.answer.value
        ],
        provenance=provenance_message(about.answer.provenance),
    )


def ratings_message(symbol: str, about: About[Ratings]) -> companies_pb2.GetRatingsResponse:
    """Answer with ratings."""
    ratings = about.answer.value
    recommendation = ratings.recommendation
    return companies_pb2.GetRatingsResponse(
        symbol=symbol,
        price_targets=[_price_target(symbol, each) for each in ratings.price_targets],
        count=len(ratings.price_targets),
        recommendations=[] if recommendation is None else [_recommendation(symbol, recommendation)],
        provenance=provenance_message(about.answer.provenance),
    )


def _statement(message: type[StatementMessage], symbol: str, statement: Statement) -> StatementMessage:
    known = FIGURES_OF_KIND[statement.kind]
    figures: dict[str, Any] = {name: figure for name, figure in statement.figures.items() if name in known}
    return message(
        symbol=symbol,
        date=statement.ends_on.isoformat(),
        fiscal_year=str(statement.fiscal_year),
        period=statement.period,
        reported_currency=statement.reported_currency,
        cik=statement.cik,
        filing_date=statement.filing_date.isoformat() if statement.filing_date else None,
        accepted_date=statement.accepted_date,
        **figures,
    )


def _price_target(symbol: str, target: PriceTarget) -> companies_pb2.PriceTarget:
    said = asdict(target)
    published_at: datetime = said.pop("published_at")
    return companies_pb2.PriceTarget(symbol=symbol, published_date=moment_text(published_at), **said)


def _recommendation(symbol: str, recommendation: Recommendation) -> companies_pb2.Recommendation:
    return companies_pb2.Recommendation(symbol=symbol, **asdict(recommendation))
