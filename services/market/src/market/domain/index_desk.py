"""Answers what indices are made of and what their constituents cost."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from market.domain.constituents import Constituent, ConstituentList, Index
from market.domain.instruments import Instrument, InstrumentDirectory
from market.domain.last_prices import LastPrices
from market.domain.quote_sources import QuoteSources, SourcesUnavailable
from market.domain.quotes import Quote

# Whole calls of every vendor, which take 200 or 500 each, and so many of these run at a time.
CHUNK = 400
CALLS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class PricedConstituent:
    """A member of an index and its quote; None where no source has one."""

    constituent: Constituent
    quote: Quote | None


class IndexDesk:
    """Knows what indices are made of.

    Args:
        constituents: of all indices.
        directory: the instruments there are prices of.
        sources: where quotes come from.
        last_prices: newer prices than quotes may hold.
    """

    def __init__(
        self,
        constituents: ConstituentList,
        directory: InstrumentDirectory,
        *,
        sources: QuoteSources,
        last_prices: LastPrices,
    ) -> None:
        self._constituents = constituents
        self._directory = directory
        self._sources = sources
        self._last_prices = last_prices
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)

    def constituents(self, name: str) -> tuple[Index, Sequence[Constituent]]:
        """Return an index and its constituents, by symbol.

        Raises:
            IndexUnknown: there is no such index.
        """
        index = self._constituents.find(name)
        return index, self._constituents.of(index)

    async def prices(self, name: str) -> tuple[Index, Sequence[PricedConstituent]]:
        """Return an index and its constituents, by symbol, with what they cost.

        Raises:
            IndexUnknown: there is no such index.
            SourcesUnavailable: not one of them has a price, because sources fail.
        """
        index, constituents = self.constituents(name)
        known = (self._directory.get(each.instrument) for each in constituents)
        quotes = await self._quotes([each for each in known if each is not None])
        priced = [PricedConstituent(each, quotes.get(each.instrument)) for each in constituents]
        return index, priced

    async def _quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        remaining = iter(instruments)
        chunks = iter(lambda: list(islice(remaining, CHUNK)), [])
        answers = await asyncio.gather(*map(self._answer, chunks))
        found = {
            quote.instrument.id: quote
            for answer in answers
            if not isinstance(answer, SourcesUnavailable)
            for quote in answer
        }
        failures = [answer for answer in answers if isinstance(answer, SourcesUnavailable)]
        if failures and not found:
            raise failures[0]
        return found

    async def _answer(self, instruments: Sequence[Instrument]) -> Sequence[Quote] | SourcesUnavailable:
        async with self._calls:
            try:
                quotes = await self._sources.latest(instruments)
            except SourcesUnavailable as failure:
                return failure
        return [self._last_prices.refreshed(quote) for quote in quotes.values()]
