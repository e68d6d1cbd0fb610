"""Answers what instruments cost outside their sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.answer_desk import AnswerDesk
from market.domain.answers import Answer
from market.domain.capabilities import Capability
from market.domain.company_desk import About
from market.domain.instruments import Instrument, InstrumentDirectory, Listing
from market.domain.symbol_batches import Found, Missing, MissingSymbol, read_symbols


@dataclass(frozen=True, slots=True)
class TradesAnswer:
    """Trades in the order asked, and the symbols without one."""

    found: Sequence[Found[Answer[AfterMarketTrade]]]
    missing: Sequence[MissingSymbol]


class AfterMarketDesk:
    """Resolves symbols and asks the sources.

    Every method raises CapabilityMissing when no source answers such questions, and SourcesUnavailable.

    Args:
        directory: what symbols mean.
        desk: all sources.
    """

    def __init__(self, directory: InstrumentDirectory, desk: AnswerDesk) -> None:
        self._directory = directory
        self._trades = desk.answers(Capability.AFTER_MARKET_TRADES, AfterMarketTrade)
        self._quotes = desk.answers(Capability.AFTER_MARKET_QUOTES, AfterMarketQuote)

    async def trades(self, symbols: Sequence[str], listing: Listing) -> TradesAnswer:
        """Return the last trade of each of up to 50 instruments.

        Raises:
            SymbolsEmpty, TooManySymbols, SymbolInvalid: the list is not one.
            SymbolUnknown: every one of them is unknown.
        """
        batch = read_symbols(self._directory, symbols, listing)
        answers = await self._trades.many(batch.instruments, _ask_for_trades) if batch.instruments else {}
        return TradesAnswer(batch.found(answers), batch.missing(answers, Missing.NO_PRICE))

    async def quote(self, symbol: str, listing: Listing) -> About[AfterMarketQuote]:
        """Return what is bid and asked for one instrument.

        Raises:
            SymbolInvalid, SymbolUnknown, SymbolAmbiguous: the symbol names no one instrument.
            NoAnswer: no source knows anything of it.
        """
        instrument = self._directory.resolve(symbol, listing)

        async def ask(source: Any) -> AfterMarketQuote:
            quote: AfterMarketQuote = await source.after_market_quote(instrument)
            return quote

        return About(instrument, await self._quotes.one(instrument.id, ask, instrument=instrument))


async def _ask_for_trades(source: Any, instruments: Sequence[Instrument]) -> Mapping[str, AfterMarketTrade]:
    trades: Mapping[str, AfterMarketTrade] = await source.after_market_trades(instruments)
    return trades
