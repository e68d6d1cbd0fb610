"""What watched instruments cost, asked of market, in whatever currency."""

import math
from collections.abc import Collection, Mapping

import grpc

from bourse.market.v1 import quotes_pb2, quotes_pb2_grpc
from chassis.rpc_client import reason_of
from portfolio.domain.quotes import TickerPrice
from portfolio.providers.quotes import DEADLINE_SECONDS, provenance_of
from portfolio.providers.refusals import no_answer


class MarketTickerPrices:
    """Asks market's quote service, at most 50 instruments a call."""

    def __init__(self, stub: "quotes_pb2_grpc.QuoteServiceAsyncStub") -> None:
        self._stub = stub

    async def latest(self, instruments: Collection[str]) -> Mapping[str, TickerPrice]:
        """Return the prices of instruments; one without a price is not in it.

        Raises:
            MarketUnavailable: market did not answer in time, or failed.
        """
        request = quotes_pb2.GetQuotesRequest(symbols=instruments)
        try:
            response = await self._stub.GetQuotes(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) == "SYMBOL_UNKNOWN":
                return {}
            raise no_answer(error, asked_for="quotes") from error
        prices = {message.instrument: _price_of(message) for message in response.quotes}
        return {instrument: price for instrument, price in prices.items() if price is not None}


def _price_of(message: quotes_pb2.Quote) -> TickerPrice | None:
    provenance = provenance_of(message.provenance)
    if provenance is None or not math.isfinite(message.last_price) or message.last_price <= 0:
        return None
    return TickerPrice(
        last_price=message.last_price,
        change=_finite(message.change) if message.HasField("change") else None,
        change_percent=_finite(message.change_percent) if message.HasField("change_percent") else None,
        provenance=provenance,
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
