"""What symbols mean, asked of market."""

import logging

import grpc

from alerts.domain.instruments import InstrumentsUnavailable, SymbolAmbiguous, SymbolInvalid, SymbolUnknown
from bourse.market.v1 import instruments_pb2, instruments_pb2_grpc, quotes_pb2
from chassis.rpc_client import reason_of

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 2.0

_REFUSALS = {error.reason: error for error in (SymbolAmbiguous, SymbolInvalid, SymbolUnknown)}


class MarketInstruments:
    """Resolves symbols by market's instrument service."""

    def __init__(self, stub: "instruments_pb2_grpc.InstrumentServiceAsyncStub") -> None:
        self._stub = stub

    async def resolve(self, symbol: str) -> str:
        """Return the instrument, `EXCHANGE:SYMBOL`, that a symbol means; a bare one means a US listing.

        Raises:
            SymbolInvalid: it cannot be a symbol.
            SymbolUnknown: it names nothing.
            SymbolAmbiguous: it names several.
            InstrumentsUnavailable: market did not answer in time, or failed.
        """
        request = instruments_pb2.ResolveInstrumentRequest(symbol=symbol, listing=quotes_pb2.LISTING_UNITED_STATES)
        try:
            response = await self._stub.ResolveInstrument(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            refusal = _REFUSALS.get(reason_of(error) or "")
            if refusal is not None:
                raise refusal(error.details() or symbol) from error
            log.warning("market does not resolve", extra={"status": error.code().name})
            raise InstrumentsUnavailable from error
        return response.instrument.id
