"""The quote service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import quotes_pb2, quotes_pb2_grpc
from market.domain.detailed_quotes import DetailedQuotes
from market.domain.quote_board import QuoteBoard
from market.handlers import PUBLIC_PRICES
from market.messages.instruments import listing_of
from market.messages.quotes import detailed_quotes_message, quotes_message


class QuoteService(quotes_pb2_grpc.QuoteServiceServicer):
    """Answers what instruments cost now."""

    def __init__(self, board: QuoteBoard, detailed: DetailedQuotes) -> None:
        self._board = board
        self._detailed = detailed

    async def GetQuotes(  # the contract's name
        self, request: quotes_pb2.GetQuotesRequest, context: ServicerContext[Any, Any]
    ) -> quotes_pb2.GetQuotesResponse:
        """Quote up to 50 symbols."""
        answer = await self._board.quote(request.symbols, listing_of(request.listing))
        await context.send_initial_metadata(PUBLIC_PRICES)
        return quotes_message(answer)

    async def GetDetailedQuotes(  # the contract's name
        self, request: quotes_pb2.GetDetailedQuotesRequest, context: ServicerContext[Any, Any]
    ) -> quotes_pb2.GetDetailedQuotesResponse:
        """Quote up to 50 symbols with figures of the past year and of the company."""
        answer = await self._detailed.quote(request.symbols, listing_of(request.listing))
        await context.send_initial_metadata(PUBLIC_PRICES)
        return detailed_quotes_message(answer)
