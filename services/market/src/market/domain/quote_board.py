"""Answers what instruments cost, by the symbols people write."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chassis.errors import Code, ServiceError
from market.domain.instruments import Instrument, InstrumentDirectory, Listing, SymbolAmbiguous, SymbolUnknown
from market.domain.last_prices import LastPrices
from market.domain.quote_sources import QuoteSources
from market.domain.quotes import Quote

MAX_SYMBOLS = 50


class SymbolsEmpty(ServiceError):
    """No symbol was asked for."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOLS_EMPTY"

    def __init__(self) -> None:
        super().__init__("at least one symbol is needed")


class TooManySymbols(ServiceError):
    """More symbols were asked for than one answer holds."""

    code = Code.INVALID_ARGUMENT
    reason = "TOO_MANY_SYMBOLS"

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} symbols were asked for; at most {MAX_SYMBOLS} are answered at once")


class Missing(StrEnum):
    """Why a symbol has no quote."""

    SYMBOL_UNKNOWN = "SYMBOL_UNKNOWN"
    SYMBOL_AMBIGUOUS = "SYMBOL_AMBIGUOUS"
    NO_PRICE = "NO_PRICE"


@dataclass(frozen=True, slots=True)
class QuotedSymbol:
    """A symbol as the caller wrote it, with its quote."""

    symbol: str
    quote: Quote


@dataclass(frozen=True, slots=True)
class MissingSymbol:
    """A symbol as the caller wrote it, with the reason that it has no quote."""

    symbol: str
    reason: Missing


@dataclass(frozen=True, slots=True)
class QuoteAnswer:
    """What was found and what was not, each in the order asked, duplicates folded."""

    quoted: Sequence[QuotedSymbol]
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
        if not symbols:
            raise SymbolsEmpty
        if len(symbols) > MAX_SYMBOLS:
            raise TooManySymbols(len(symbols))
        resolved = self._resolve(symbols, listing)
        instruments = [each for each in resolved.values() if isinstance(each, Instrument)]
        if not instruments and set(resolved.values()) == {Missing.SYMBOL_UNKNOWN}:
            raise SymbolUnknown(*resolved)
        quotes = await self._sources.latest(instruments) if instruments else {}
        found = {
            symbol: self._last_prices.refreshed(quotes[each.id])
            for symbol, each in resolved.items()
            if isinstance(each, Instrument) and each.id in quotes
        }
        return QuoteAnswer(
            quoted=[QuotedSymbol(symbol, quote) for symbol, quote in found.items()],
            missing=[
                MissingSymbol(symbol, Missing.NO_PRICE if isinstance(each, Instrument) else each)
                for symbol, each in resolved.items()
                if symbol not in found
            ],
        )

    def _resolve(self, symbols: Sequence[str], listing: Listing) -> dict[str, Instrument | Missing]:
        """Return what each symbol means, or why it means nothing; of two that mean the same the first counts."""
        resolved: dict[str, Instrument | Missing] = {}
        seen: set[str] = set()
        for symbol in symbols:
            meaning = self._meaning(symbol, listing)
            identity = meaning.id if isinstance(meaning, Instrument) else symbol.upper()
            if identity not in seen:
                seen.add(identity)
                resolved[symbol] = meaning
        return resolved

    def _meaning(self, symbol: str, listing: Listing) -> Instrument | Missing:
        try:
            return self._directory.resolve(symbol, listing)
        except SymbolUnknown:
            return Missing.SYMBOL_UNKNOWN
        except SymbolAmbiguous:
            return Missing.SYMBOL_AMBIGUOUS
