"""The company service of the contract."""

from collections.abc import Sequence
from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import companies_pb2, companies_pb2_grpc
from chassis.clock import Clock
from market.domain.companies import Statement, StatementKind
from market.domain.company_desk import About, CompanyDesk
from market.handlers import PUBLIC_PRICES, serving
from market.messages.companies import (
    balance_sheets_message,
    cash_flow_statements_message,
    dividends_message,
    income_statements_message,
    profile_message,
    ratings_message,
)
from market.messages.instruments import listing_of

Context = ServicerContext[Any, Any]
StatementsRequest = (
    companies_pb2.ListIncomeStatementsRequest
    | companies_pb2.ListBalanceSheetsRequest
    | companies_pb2.ListCashFlowStatementsRequest
)


class CompanyService(companies_pb2_grpc.CompanyServiceServicer):
    """Answers what is known of companies."""

    def __init__(self, desk: CompanyDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    async def GetProfile(  # the contract's name
        self, request: companies_pb2.GetProfileRequest, context: Context
    ) -> companies_pb2.GetProfileResponse:
        """Read a company's profile."""
        profile = await self._desk.profile(request.symbol, listing_of(request.listing))
        await context.send_initial_metadata(PUBLIC_PRICES)
        return profile_message(request.symbol, profile)

    async def ListIncomeStatements(  # the contract's name
        self, request: companies_pb2.ListIncomeStatementsRequest, context: Context
    ) -> companies_pb2.ListIncomeStatementsResponse:
        """List income statements."""
        about = await self._statements(request, StatementKind.INCOME, context)
        return income_statements_message(request.symbol, about)

    async def ListBalanceSheets(  # the contract's name
        self, request: companies_pb2.ListBalanceSheetsRequest, context: Context
    ) -> companies_pb2.ListBalanceSheetsResponse:
        """List balance sheets."""
        about = await self._statements(request, StatementKind.BALANCE_SHEET, context)
        return balance_sheets_message(request.symbol, about)

    async def ListCashFlowStatements(  # the contract's name
        self, request: companies_pb2.ListCashFlowStatementsRequest, context: Context
    ) -> companies_pb2.ListCashFlowStatementsResponse:
        """List cash flow statements."""
        about = await self._statements(request, StatementKind.CASH_FLOW, context)
        return cash_flow_statements_message(request.symbol, about)

    async def ListDividends(  # the contract's name
        self, request: companies_pb2.ListDividendsRequest, context: Context
    ) -> companies_pb2.ListDividendsResponse:
        """List dividends."""
        about = await self._desk.dividends(request.symbol, listing_of(request.listing))
        await context.send_initial_metadata(serving(about.answer, self._clock.now()))
        return dividends_message(about)

    async def GetRatings(  # the contract's name
        self, request: companies_pb2.GetRatingsRequest, context: Context
    ) -> companies_pb2.GetRatingsResponse:
        """Read ratings."""
        about = await self._desk.ratings(request.symbol, listing_of(request.listing))
        await context.send_initial_metadata(serving(about.answer, self._clock.now()))
        return ratings_message(request.symbol, about)

    async def _statements(
        self, request: StatementsRequest, kind: StatementKind, context: Context
    ) -> About[Sequence[Statement]]:
        about = await self._desk.statements(
            request.symbol, listing_of(request.listing), kind=kind, period=request.period, limit=request.limit
        )
        await context.send_initial_metadata(serving(about.answer, self._clock.now()))
        return about
