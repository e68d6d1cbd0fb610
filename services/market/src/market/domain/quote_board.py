"""Answers what instruments cost, by the symbols people write."""

from collections.abc import Sequence
from dataclasses import dataclass

from market.domain.instruments import InstrumentDirectory, Listing
from market.domain.last_prices import LastPrices
from market.domain.quote_sources import QuoteSources
from market.domain.quotes import Quote
from market.domain.symbol_batches import Found, Missing, MissingSymbol, SymbolBatch, read_symbols


@dataclass(frozen=True, slots=True)
class QuoteAnswer:
    """What was found and what was not, each in the order asked, duplicates folded."""

    quoted: Sequence[Found[Quote]]
    missing: Sequence[MissingSymbol]


class QuoteBoard:
    """Resolves symbols and quotes them.

    Args:
        directory: what symbols mean.
        sources: where quotes come from.
        last_prices: newer prices than quotes may hold.
    """

    def __init__(self, directory: InstrumentDirectory, sources: QuoteSources, last_prices: LastPrices) -> None:
        self._directory = directory
        self._sources = sources
        self._last_prices = last_prices

    async def quote(self, symbols: Sequence[str], listing: Listing) -> QuoteAnswer:
        """Quote up to 50 symbols.

        Raises:
            SymbolsEmpty: there is none.
            TooManySymbols: there are more.
            SymbolInvalid: one cannot be a symbol.
            SymbolUnknown: every one of them is unknown.
            SourcesUnavailable: no source answers.
        """
        return await self.quote_batch(read_symbols(self._directory, symbols, listing))

    async def quote_batch(self, batch: SymbolBatch) -> QuoteAnswer:
        """Quote symbols whose meaning is known.

        Raises:
            SourcesUnavailable: no source answers.
        """
        answer = await self._sources.latest(batch.instruments) if batch.instruments else {}
        quotes = {instrument: self._last_prices.refreshed(quote) for instrument, quote in answer.items()}
        return QuoteAnswer(quoted=batch.found(quotes), missing=batch.missing(quotes, Missing.NO_PRICE))
