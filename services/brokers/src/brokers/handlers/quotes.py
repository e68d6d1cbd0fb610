"""The broker quote service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.brokers.v1 import quotes_pb2, quotes_pb2_grpc
from brokers.domain.quote_desk import QuoteDesk
from brokers.messages import broker_of, quote_message


class BrokerQuoteService(quotes_pb2_grpc.BrokerQuoteServiceServicer):
    """Answers what instruments cost by the brokers."""

    def __init__(self, desk: QuoteDesk) -> None:
        self._desk = desk

    async def GetBrokerQuotes(  # the contract's name
        self,
        request: quotes_pb2.GetBrokerQuotesRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> quotes_pb2.GetBrokerQuotesResponse:
        """Read quotes over the server-wide session."""
        quotes = await self._desk.quotes(broker_of(request.broker), request.instruments)
        return quotes_pb2.GetBrokerQuotesResponse(quotes=[quote_message(quote) for quote in quotes])
