"""The instrument service of the contract."""

from collections.abc import Sequence
from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import instruments_pb2, instruments_pb2_grpc
from market.domain.aliases import InstrumentNames
from market.domain.instrument_search import InstrumentSearch
from market.domain.instruments import Instrument, InstrumentDirectory
from market.handlers import REFERENCE_DATA
from market.messages.instruments import described_message, instrument_message, listing_of


class InstrumentService(instruments_pb2_grpc.InstrumentServiceServicer):
    """Says what symbols mean.

    Args:
        directory: the instruments.
        sources: the sources of prices, the preferred one first.
        names: what else the directory's instruments are called; None where only the rules of vendors are known.
    """

    def __init__(
        self, directory: InstrumentDirectory, sources: Sequence[str], names: InstrumentNames | None = None
    ) -> None:
        self._directory = directory
        self._sources = sources
        self._names = names or InstrumentNames(directory, {})
        self._search = InstrumentSearch(self._names)

    async def ResolveInstrument(  # the contract's name
        self,
        request: instruments_pb2.ResolveInstrumentRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> instruments_pb2.ResolveInstrumentResponse:
        """Resolve one symbol."""
        instrument = self._directory.resolve(request.symbol, listing_of(request.listing))
        return instruments_pb2.ResolveInstrumentResponse(instrument=instrument_message(instrument))

    async def SearchInstruments(  # the contract's name
        self,
        request: instruments_pb2.SearchInstrumentsRequest,
        context: ServicerContext[Any, Any],
    ) -> instruments_pb2.SearchInstrumentsResponse:
        """Find instruments."""
        found = self._search.search(request.query, request.limit)
        await context.send_initial_metadata(REFERENCE_DATA)
        return instruments_pb2.SearchInstrumentsResponse(results=map(self._described, found))

    async def GetInstrument(  # the contract's name
        self,
        request: instruments_pb2.GetInstrumentRequest,
        context: ServicerContext[Any, Any],
    ) -> instruments_pb2.GetInstrumentResponse:
        """Read one instrument by any of its names."""
        instrument = self._names.resolve(request.name)
        await context.send_initial_metadata(REFERENCE_DATA)
        return instruments_pb2.GetInstrumentResponse(described=self._described(instrument))

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

    def _described(self, instrument: Instrument) -> instruments_pb2.DescribedInstrument:
        return described_message(instrument, self._names.of(instrument))
