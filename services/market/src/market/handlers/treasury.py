"""The treasury service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import treasury_pb2, treasury_pb2_grpc
from chassis.clock import Clock
from market.domain.treasury_desk import TreasuryDesk
from market.handlers import serving
from market.messages.treasury import treasury_rates_message


class TreasuryService(treasury_pb2_grpc.TreasuryServiceServicer):
    """Answers what treasuries yield."""

    def __init__(self, desk: TreasuryDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    async def ListTreasuryRates(  # the contract's name
        self, request: treasury_pb2.ListTreasuryRatesRequest, context: ServicerContext[Any, Any]
    ) -> treasury_pb2.ListTreasuryRatesResponse:
        """List the yields of the days between two dates."""
        answer = await self._desk.rates(request.from_date, request.to_date)
        await context.send_initial_metadata(serving(answer, self._clock.now()))
        return treasury_rates_message(answer)
