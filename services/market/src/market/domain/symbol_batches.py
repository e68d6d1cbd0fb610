"""Several symbols as people write them: what each means, and which mean nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from chassis.errors import Code, ServiceError
from market.domain.instruments import (
    Instrument,
    InstrumentDirectory,
    Listing,
    PairUnknown,
    SymbolAmbiguous,
    SymbolUnknown,
)

MAX_SYMBOLS = 50

Value = TypeVar("Value")


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
    """Why a symbol has no answer."""

    SYMBOL_UNKNOWN = "SYMBOL_UNKNOWN"
    SYMBOL_AMBIGUOUS = "SYMBOL_AMBIGUOUS"
    NO_PRICE = "NO_PRICE"
    NO_ANSWER = "NO_ANSWER"


@dataclass(frozen=True, slots=True)
class MissingSymbol:
    """A symbol as the caller wrote it, with the reason that it has no answer."""

    symbol: str
    reason: Missing


@dataclass(frozen=True, slots=True)
class Found(Generic[Value]):
    """A symbol as the caller wrote it, with what was found for it."""

    symbol: str
    value: Value


@dataclass(frozen=True, slots=True)
class SymbolBatch:
    """Symbols in the order asked; of two that mean the same the first counts.

    Attributes:
        meanings: what each symbol means, or why it means nothing.
    """

    meanings: Mapping[str, Instrument | Missing]

    @property
    def instruments(self) -> Sequence[Instrument]:
        """Return the instruments that are meant, in the order asked."""
        return [each for each in self.meanings.values() if isinstance(each, Instrument)]

    def found(self, values: Mapping[str, Value]) -> Sequence[Found[Value]]:
        """Return what there is for each symbol, in the order asked; `values` are by instrument id."""
        return [
            Found(symbol, values[each.id])
            for symbol, each in self.meanings.items()
            if isinstance(each, Instrument) and each.id in values
        ]

    def missing(self, answered: Collection[str], otherwise: Missing) -> Sequence[MissingSymbol]:
        """Return the symbols without an answer, in the order asked.

        Args:
            answered: ids of the instruments that have one.
            otherwise: why an instrument that is known has none.
        """
        return [
            MissingSymbol(symbol, otherwise if isinstance(each, Instrument) else each)
            for symbol, each in self.meanings.items()
            if not isinstance(each, Instrument) or each.id not in answered
        ]


def read_symbols(directory: InstrumentDirectory, symbols: Sequence[str], listing: Listing) -> SymbolBatch:
    """Say what up to 50 symbols mean.

    Raises:
        SymbolsEmpty: there is none.
        TooManySymbols: there are more.
        SymbolInvalid: one cannot be a symbol.
        SymbolUnknown: every one of them is unknown.
    """
    if not symbols:
        raise SymbolsEmpty
    if len(symbols) > MAX_SYMBOLS:
        raise TooManySymbols(len(symbols))
    meanings: dict[str, Instrument | Missing] = {}
    seen: set[str] = set()
    for symbol in symbols:
        meaning = _meaning(directory, symbol, listing)
        identity = meaning.id if isinstance(meaning, Instrument) else symbol.upper()
        if identity not in seen:
            seen.add(identity)
            meanings[symbol] = meaning
    if set(meanings.values()) == {Missing.SYMBOL_UNKNOWN}:
        if len(meanings) == 1:
            directory.resolve(next(iter(meanings)), listing)  # says where else the one symbol is listed
        raise PairUnknown(*meanings) if listing is Listing.CURRENCIES else SymbolUnknown(*meanings)
    return SymbolBatch(meanings)


def _meaning(directory: InstrumentDirectory, symbol: str, listing: Listing) -> Instrument | Missing:
    try:
        return directory.resolve(symbol, listing)
    except SymbolUnknown:
        return Missing.SYMBOL_UNKNOWN
    except SymbolAmbiguous:
        return Missing.SYMBOL_AMBIGUOUS
