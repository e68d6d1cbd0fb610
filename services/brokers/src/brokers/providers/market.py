"""What there is to feed, asked of market."""

import logging
from collections.abc import Sequence

import grpc

from bourse.market.v1 import instruments_pb2, instruments_pb2_grpc
from brokers.domain.brokers import Broker
from brokers.domain.errors import FeedUnwanted, MarketUnavailable

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 5.0
# In the order in which they are fed when not all can be.
EXCHANGES = ("INDEX", "NSE", "BSE")


class MarketListings:
    """Lists instruments by market's instrument service."""

    def __init__(self, stub: "instruments_pb2_grpc.InstrumentServiceAsyncStub") -> None:
        self._stub = stub

    async def indian_instruments(self) -> Sequence[str]:
        """Return the ids of all indices, then of all that NSE lists, then of all that BSE lists.

        Raises:
            FeedUnwanted: Zerodha is none of market's sources.
            MarketUnavailable: market did not answer in time, or failed.
        """
        request = instruments_pb2.ListInstrumentsRequest(exchanges=EXCHANGES)
        try:
            response = await self._stub.ListInstruments(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.warning("market does not list", extra={"status": error.code().name})
            raise MarketUnavailable from error
        if Broker.ZERODHA.value not in response.sources:
            raise FeedUnwanted
        listed = sorted(response.instruments, key=lambda each: EXCHANGES.index(each.exchange))
        return [each.id for each in listed]
