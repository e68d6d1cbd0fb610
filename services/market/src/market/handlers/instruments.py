"""The instrument service of the contract."""

from collections.abc import Sequence
from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import instruments_pb2, instruments_pb2_grpc
from market.domain.instruments import InstrumentDirectory
from market.messages import instrument_message, listing_of


class InstrumentService(instruments_pb2_grpc.InstrumentServiceServicer):
    """Says what symbols mean."""

    def __init__(self, directory: InstrumentDirectory, sources: Sequence[str]) -> None:
        self._directory = directory
        self._sources = sources

    async def ResolveInstrument(  # the contract's name
        self,
        request: instruments_pb2.ResolveInstrumentRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> instruments_pb2.ResolveInstrumentResponse:
        """Resolve one symbol."""
        instrument = self._directory.resolve(request.symbol, listing_of(request.listing))
        return instruments_pb2.ResolveInstrumentResponse(instrument=instrument_message(instrument))

    async def ListInstruments(  # the contract's name
        self,
        request: instruments_pb2.ListInstrumentsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> instruments_pb2.ListInstrumentsResponse:
        """List the instruments of some exchanges."""
        instruments = self._directory.of_exchanges(request.exchanges)
        return instruments_pb2.ListInstrumentsResponse(
            instruments=map(instrument_message, instruments), sources=self._sources
        )
