"""The earnings service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import earnings_pb2, earnings_pb2_grpc
from chassis.clock import Clock
from market.domain.earnings_desk import EarningsDesk
from market.handlers import serving
from market.messages.earnings import earnings_message


class EarningsService(earnings_pb2_grpc.EarningsServiceServicer):
    """Answers who reports when."""

    def __init__(self, desk: EarningsDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    async def ListEarnings(  # the contract's name
        self,
        request: earnings_pb2.ListEarningsRequest,  # noqa: ARG002  # it asks for nothing in particular
        context: ServicerContext[Any, Any],
    ) -> earnings_pb2.ListEarningsResponse:
        """List the reports of the days around today."""
        answer = await self._desk.calendar()
        await context.send_initial_metadata(serving(answer, self._clock.now()))
        return earnings_message(answer)
