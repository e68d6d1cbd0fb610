"""Quotes with figures of the past year and of the company."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from market.domain.answer_desk import AnswerDesk, CapabilityMissing
from market.domain.answers import Answer
from market.domain.capabilities import Capability
from market.domain.instruments import Instrument, InstrumentDirectory, Listing
from market.domain.quote_board import QuoteBoard
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Quote
from market.domain.source_failures import SourcesUnavailable
from market.domain.symbol_batches import Found, MissingSymbol, read_symbols

RATIO_DECIMALS = 4


class YearFigures(Protocol):
    """Knows figures of the past year."""

    async def year_figures_of(self, instruments: Sequence[Instrument]) -> Mapping[str, Answer[QuoteDetails]]:
        """Return the figures of instruments by id; one without, or that takes too long, is left out."""
        ...


@dataclass(frozen=True, slots=True)
class DetailedQuote:
    """A quote and what stands beside it."""

    quote: Quote
    details: QuoteDetails


@dataclass(frozen=True, slots=True)
class DetailedAnswer:
    """What was found and what was not, each in the order asked, duplicates folded."""

    quoted: Sequence[Found[DetailedQuote]]
    missing: Sequence[MissingSymbol]


class DetailedQuotes:
    """Quotes symbols, and adds what sources say beside a price.

    Where no source tells the year's range, what it does not tell is computed from daily bars; where one does, its other
    figures are taken as they are, since bars are dear to ask for. A quote is never withheld for want of figures.

    Args:
        directory: what symbols mean.
        board: quotes.
        desk: all sources.
        history: figures from daily bars.
    """

    def __init__(
        self, directory: InstrumentDirectory, board: QuoteBoard, desk: AnswerDesk, history: YearFigures
    ) -> None:
        self._directory = directory
        self._board = board
        self._details = desk.answers(Capability.QUOTE_DETAILS, QuoteDetails)
        self._history = history

    async def quote(self, symbols: Sequence[str], listing: Listing) -> DetailedAnswer:
        """Quote up to 50 symbols.

        Raises:
            SymbolsEmpty: there is none.
            TooManySymbols: there are more.
            SymbolInvalid: one cannot be a symbol.
            SymbolUnknown: every one of them is unknown.
            SourcesUnavailable: no source of prices answers.
        """
        answer = await self._board.quote_batch(read_symbols(self._directory, symbols, listing))
        details = await self._details_of([each.value.instrument for each in answer.quoted])
        quoted = [
            Found(each.symbol, _joined(each.value, details.get(each.value.instrument.id))) for each in answer.quoted
        ]
        return DetailedAnswer(quoted, answer.missing)

    async def _details_of(self, instruments: Sequence[Instrument]) -> Mapping[str, QuoteDetails]:
        if not instruments:
            return {}
        told = await self._told_of(instruments)
        wanting = [each for each in instruments if told.get(each.id, QuoteDetails()).year_high is None]
        computed = await self._history.year_figures_of(wanting)
        return {
            each.id: _completed(
                told.get(each.id, QuoteDetails()), computed[each.id].value if each.id in computed else QuoteDetails()
            )
            for each in instruments
        }

    async def _told_of(self, instruments: Sequence[Instrument]) -> Mapping[str, QuoteDetails]:
        try:
            answers = await self._details.many(instruments, _ask)
        except (CapabilityMissing, SourcesUnavailable):
            return {}
        return {instrument: answer.value for instrument, answer in answers.items()}


async def _ask(source: Any, instruments: Sequence[Instrument]) -> Mapping[str, QuoteDetails]:
    details: Mapping[str, QuoteDetails] = await source.quote_details(instruments)
    return details


def _completed(told: QuoteDetails, computed: QuoteDetails) -> QuoteDetails:
    """Return what was told, and what was computed for the rest."""
    lacking = {each.name for each in fields(QuoteDetails) if getattr(told, each.name) is None}
    return replace(told, **{name: getattr(computed, name) for name in lacking})


def _joined(quote: Quote, details: QuoteDetails | None) -> DetailedQuote:
    """Return both; a price in earnings a share that no source says is their quotient, for earnings above 0."""
    details = details or QuoteDetails()
    if details.pe is None and details.eps is not None and details.eps > 0:
        details = replace(details, pe=round(quote.last_price / details.eps, RATIO_DECIMALS))
    return DetailedQuote(quote, details)
