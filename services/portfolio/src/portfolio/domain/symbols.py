"""What people write for instruments, what it means, and why it may mean nothing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chassis.errors import Code, ServiceError
from portfolio.domain.wording import MAX_LISTED_LENGTH, listed, shown

MAX_SYMBOL_LENGTH = 32

_FORM = re.compile(r"(?:[A-Z]{1,10}:)?[A-Z0-9][A-Z0-9.&_-]*")
_RULE = f"1 to {MAX_SYMBOL_LENGTH} letters, digits or . & _ - are needed, with one colon after the exchange if any"


class SymbolInvalid(ServiceError):
    """What was written cannot be a symbol."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOL_INVALID"

    def __init__(self, *symbols: str) -> None:
        super().__init__(invalid_sentence(symbols))


class SymbolUnknown(ServiceError):
    """The symbol names no instrument, or none where a bare one is looked for.

    Attributes:
        advice: what to write for what other markets list by this symbol; empty where none does.
        problem: what is wrong with the symbol, to be said behind it.
    """

    code = Code.NOT_FOUND
    reason = "SYMBOL_UNKNOWN"

    def __init__(self, symbol: str, *, advice: str = "") -> None:
        self.advice = advice
        self.problem = f"is not listed in this market; {advice}" if advice else "names no known instrument"
        super().__init__(f"{symbol} {self.problem}")


class SymbolAmbiguous(ServiceError):
    """The symbol names several instruments; the message names them."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOL_AMBIGUOUS"


class InstrumentsUnavailable(ServiceError):
    """Nobody can say now what a symbol means."""

    code = Code.UNAVAILABLE
    reason = "INSTRUMENTS_UNAVAILABLE"
    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("symbols cannot be looked up just now; try again shortly")


Refusal = SymbolInvalid | SymbolUnknown | SymbolAmbiguous


@dataclass(frozen=True, slots=True)
class Instrument:
    """What a symbol means: `EXCHANGE:SYMBOL`, and what it is called."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """What each of some symbols means, or why it means nothing; both by symbol."""

    found: Mapping[str, Instrument] = field(default_factory=dict)
    refused: Mapping[str, Refusal] = field(default_factory=dict)


def invalid_sentence(symbols: Sequence[str], *, max_length: int = MAX_LISTED_LENGTH) -> str:
    """Say which texts cannot be symbols, and what can."""
    are = "is no symbol" if len(symbols) == 1 else "are no symbols"
    return f"{listed(map(shown, symbols), max_length=max_length)} {are}: {_RULE}"


def symbol_of(text: str) -> str | None:
    """Return a symbol, upper case, as it was written; None when it cannot be one."""
    # upper() turns some letters outside ASCII into ASCII ones, so they are refused before it.
    if not text.isascii() or len(text) > MAX_SYMBOL_LENGTH:
        return None
    symbol = text.upper()
    return symbol if _FORM.fullmatch(symbol) else None
