"""The calendar service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import calendars_pb2, calendars_pb2_grpc
from market.domain.ports import Calendar
from market.domain.trading_days import trading_days
from market.messages.calendars import trading_days_message


class CalendarService(calendars_pb2_grpc.CalendarServiceServicer):
    """Says when exchanges trade."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar

    async def ListSessions(  # the contract's name
        self,
        request: calendars_pb2.ListSessionsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> calendars_pb2.ListSessionsResponse:
        """List an exchange's sessions between two dates."""
        days = trading_days(self._calendar, request.exchange, request.from_date, request.to_date)
        return trading_days_message(days)
