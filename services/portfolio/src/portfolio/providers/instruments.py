"""What symbols mean, asked of market."""

import grpc

from bourse.market.v1 import instruments_pb2, instruments_pb2_grpc, quotes_pb2
from chassis.rpc_client import reason_of
from portfolio.domain.symbols import (
    Instrument,
    InstrumentsUnavailable,
    Refusal,
    SymbolAmbiguous,
    SymbolInvalid,
    SymbolUnknown,
)
from portfolio.providers.refusals import no_answer

DEADLINE_SECONDS = 2.0


class MarketInstruments:
    """Resolves symbols by market's instrument service."""

    def __init__(self, stub: "instruments_pb2_grpc.InstrumentServiceAsyncStub") -> None:
        self._stub = stub

    async def resolve(self, symbol: str) -> Instrument:
        """Return the instrument that a symbol means; a bare one means a listing in the United States.

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
            raise _refusal_of(symbol, error) or _unavailable(error) from error
        return Instrument(response.instrument.id, response.instrument.name)


def _refusal_of(symbol: str, error: grpc.aio.AioRpcError) -> Refusal | None:
    reason = reason_of(error)
    if reason == SymbolUnknown.reason:
        # Market says what is wrong and, where there is one, behind a semicolon the way out.
        return SymbolUnknown(symbol, advice=(error.details() or "").partition("; ")[2])
    if reason == SymbolAmbiguous.reason:
        return SymbolAmbiguous(error.details() or f"{symbol} could be several instruments")
    return SymbolInvalid(symbol) if reason == SymbolInvalid.reason else None


def _unavailable(error: grpc.aio.AioRpcError) -> InstrumentsUnavailable:
    no_answer(error, asked_for="instruments")
    return InstrumentsUnavailable()
