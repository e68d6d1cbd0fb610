"""The history service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import history_pb2, history_pb2_grpc
from chassis.clock import Clock
from market.domain.history_desk import HistoryDesk
from market.handlers import serving
from market.messages.history import adjustment_of, daily_bars_message, intraday_bars_message, price_change_message
from market.messages.instruments import listing_of

Context = ServicerContext[Any, Any]


class HistoryService(history_pb2_grpc.HistoryServiceServicer):
    """Answers what instruments cost before now."""

    def __init__(self, desk: HistoryDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    async def ListDailyBars(  # the contract's name
        self, request: history_pb2.ListDailyBarsRequest, context: Context
    ) -> history_pb2.ListDailyBarsResponse:
        """List an instrument's daily bars between two dates."""
        about = await self._desk.daily_bars(
            request.symbol,
            listing_of(request.listing),
            from_date=request.from_date,
            to_date=request.to_date,
            adjustment=adjustment_of(request.adjustment),
        )
        await context.send_initial_metadata(serving(about.answer, self._clock.now()))
        return daily_bars_message(request.symbol, about)

    async def ListIntradayBars(  # the contract's name
        self, request: history_pb2.ListIntradayBarsRequest, context: Context
    ) -> history_pb2.ListIntradayBarsResponse:
        """List an instrument's bars of five minutes between two dates."""
        about = await self._desk.intraday_bars(
            request.symbol, listing_of(request.listing), from_date=request.from_date, to_date=request.to_date
        )
        await context.send_initial_metadata(serving(about.answer, self._clock.now()))
        return intraday_bars_message(about)

    async def GetPriceChange(  # the contract's name
        self, request: history_pb2.GetPriceChangeRequest, context: Context
    ) -> history_pb2.GetPriceChangeResponse:
        """Compute how far an instrument's price has come."""
        about = await self._desk.price_change(request.symbol, listing_of(request.listing))
        await context.send_initial_metadata(serving(about.answer, self._clock.now()))
        return price_change_message(request.symbol, about)
