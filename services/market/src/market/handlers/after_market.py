"""The after-market service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import after_market_pb2, after_market_pb2_grpc
from chassis.clock import Clock
from market.domain.after_market_desk import AfterMarketDesk
from market.handlers import serving, serving_until
from market.messages.after_market import after_market_quote_message, trades_message
from market.messages.instruments import listing_of

Context = ServicerContext[Any, Any]


class AfterMarketService(after_market_pb2_grpc.AfterMarketServiceServicer):
    """Answers what instruments cost outside their sessions."""

    def __init__(self, desk: AfterMarketDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    async def ListAfterMarketTrades(  # the contract's name
        self, request: after_market_pb2.ListAfterMarketTradesRequest, context: Context
    ) -> after_market_pb2.ListAfterMarketTradesResponse:
        """List the last trades of up to 50 instruments."""
        answer = await self._desk.trades(request.symbols, listing_of(request.listing))
        moments = [each.value.serves_until for each in answer.found]
        await context.send_initial_metadata(serving_until(moments, self._clock.now()))
        return trades_message(answer)

    async def GetAfterMarketQuote(  # the contract's name
        self, request: after_market_pb2.GetAfterMarketQuoteRequest, context: Context
    ) -> after_market_pb2.GetAfterMarketQuoteResponse:
        """Read what is bid and asked."""
        about = await self._desk.quote(request.symbol, listing_of(request.listing))
        await context.send_initial_metadata(serving(about.answer, self._clock.now()))
        return after_market_quote_message(request.symbol, about)
