"""Instruments, and what people write for them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from chassis.errors import Code, ServiceError

MAX_SYMBOL_LENGTH = 32
MAX_SHOWN_LENGTH = 40

_FORM = re.compile(r"(?:(?P<exchange>[A-Z]{1,10}):)?(?P<symbol>[A-Z0-9][A-Z0-9.&_-]*)")


class SymbolInvalid(ServiceError):
    """What was written cannot be a symbol at all."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOL_INVALID"

    def __init__(self, symbol: str, problem: str) -> None:
        super().__init__(f"{shown(symbol)} is not a symbol: {problem}; write EXCHANGE:SYMBOL, such as NSE:TCS")


class SymbolUnknown(ServiceError):
    """The symbol is well formed and names no instrument we have."""

    code = Code.NOT_FOUND
    reason = "SYMBOL_UNKNOWN"

    def __init__(self, *symbols: str, elsewhere: Sequence[str] = ()) -> None:
        """Name what was written.

        Args:
            symbols: as they were written.
            elsewhere: what a bare symbol means in other markets than the one it was looked for in.
        """
        listed = ", ".join(shown(symbol) for symbol in symbols)
        if elsewhere:
            super().__init__(f"{listed} is not listed in this market; write {' or '.join(elsewhere)} if that is meant")
            return
        super().__init__(f"{listed} {'names' if len(symbols) == 1 else 'name'} no known instrument")


class PairUnknown(SymbolUnknown):
    """A currency pair was asked for, and the symbol names none that we have; it may name something else."""

    def __init__(self, *symbols: str) -> None:
        listed = ", ".join(shown(symbol) for symbol in symbols)
        ServiceError.__init__(self, f"{listed} {'names' if len(symbols) == 1 else 'name'} no known currency pair")


class SymbolAmbiguous(ServiceError):
    """The bare symbol names several instruments, and nothing is guessed."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOL_AMBIGUOUS"

    def __init__(self, symbol: str, candidates: Sequence[str]) -> None:
        self.candidates = tuple(candidates)
        super().__init__(f"{shown(symbol)} could be {' or '.join(candidates)}; write one of these")


class ExchangeUnknown(ServiceError):
    """There is no such exchange, or it is not one that can be asked about."""

    code = Code.INVALID_ARGUMENT
    reason = "EXCHANGE_UNKNOWN"

    def __init__(self, exchange: str, known: Iterable[str]) -> None:
        super().__init__(f"{shown(exchange)} names no exchange; it should be one of {', '.join(known)}")


class Exchange(StrEnum):
    """Where an instrument is listed; `INDEX` and `FX` stand for what no exchange lists."""

    NSE = "NSE"
    BSE = "BSE"
    NASDAQ = "NASDAQ"
    NYSE = "NYSE"
    AMEX = "AMEX"
    INDEX = "INDEX"
    FX = "FX"


class InstrumentKind(StrEnum):
    """What kind of thing an instrument is."""

    EQUITY = "EQUITY"
    INDEX = "INDEX"
    CURRENCY_PAIR = "CURRENCY_PAIR"
    FUND = "FUND"


class Listing(StrEnum):
    """Which market a symbol without an exchange means; `CURRENCIES` has pairs alone, whatever exchange is written."""

    UNSPECIFIED = "UNSPECIFIED"
    INDIA = "INDIA"
    UNITED_STATES = "UNITED_STATES"
    CURRENCIES = "CURRENCIES"


EXCHANGES_OF_LISTING: dict[Listing, tuple[Exchange, ...]] = {
    Listing.UNSPECIFIED: (),
    Listing.INDIA: (Exchange.NSE,),
    Listing.UNITED_STATES: (Exchange.NASDAQ, Exchange.NYSE, Exchange.AMEX),
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """One thing that has a price.

    Attributes:
        id: `EXCHANGE:SYMBOL`, the one identity everywhere.
        exchange: where it is listed.
        symbol: the exchange's own symbol, upper case.
        name: the company's, index's or pair's name.
        kind: what it is.
        currency: ISO 4217 code of its prices.
        sector: its sector; None where there is none.
    """

    id: str
    exchange: Exchange
    symbol: str
    name: str
    kind: InstrumentKind
    currency: str
    sector: str | None = None


class InstrumentDirectory:
    """All instruments that can be asked for, in the order they were given; the first of an id counts."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._by_id: dict[str, Instrument] = {}
        self._by_symbol: dict[str, list[Instrument]] = defaultdict(list)
        for instrument in instruments:
            if instrument.id not in self._by_id:
                self._by_id[instrument.id] = instrument
                self._by_symbol[instrument.symbol].append(instrument)

    @property
    def instruments(self) -> Sequence[Instrument]:
        """Return every instrument."""
        return tuple(self._by_id.values())

    def get(self, instrument_id: str) -> Instrument | None:
        """Return the instrument of an exact id; None when there is none."""
        return self._by_id.get(instrument_id)

    def of_exchanges(self, exchanges: Sequence[str]) -> Sequence[Instrument]:
        """Return the instruments of exchanges, by name, in the directory's order; of all when none is named.

        Raises:
            ExchangeUnknown: one of them is none.
        """
        unknown = [each for each in exchanges if each not in tuple(Exchange)]
        if unknown:
            raise ExchangeUnknown(unknown[0], Exchange)
        if not exchanges:
            return self.instruments
        return [each for each in self.instruments if each.exchange in exchanges]

    def resolve(self, symbol: str, listing: Listing = Listing.UNSPECIFIED) -> Instrument:
        """Return the instrument that a symbol means, in any case, `EXCHANGE:SYMBOL` or bare.

        Raises:
            SymbolInvalid: it cannot be a symbol, or it is bare and no listing says what that means.
            SymbolUnknown: no such instrument.
            PairUnknown: the listing is of currencies, and it names no pair.
            SymbolAmbiguous: it is bare and several exchanges of the listing have it.
        """
        exchange, bare = split_symbol(symbol)
        if listing is Listing.CURRENCIES:
            return self._pair(symbol, f"{exchange or Exchange.FX}:{bare}")
        if exchange is not None:
            found = self._by_id.get(f"{exchange}:{bare}")
            if found is None:
                raise SymbolUnknown(symbol)
            return found
        if listing is Listing.UNSPECIFIED:
            raise SymbolInvalid(symbol, "it names no exchange")
        return self._the_only_one(symbol, bare, EXCHANGES_OF_LISTING[listing])

    def _pair(self, symbol: str, instrument_id: str) -> Instrument:
        found = self._by_id.get(instrument_id)
        if found is None or found.kind is not InstrumentKind.CURRENCY_PAIR:
            raise PairUnknown(symbol)
        return found

    def _the_only_one(self, symbol: str, bare: str, exchanges: Sequence[Exchange]) -> Instrument:
        everywhere = self._by_symbol.get(bare, ())
        candidates = [each for each in everywhere if each.exchange in exchanges]
        if not candidates:
            raise SymbolUnknown(symbol, elsewhere=[each.id for each in everywhere])
        if len(candidates) > 1:
            raise SymbolAmbiguous(symbol, [each.id for each in candidates])
        return candidates[0]


def split_symbol(symbol: str) -> tuple[str | None, str]:
    """Return the exchange (None when bare) and the symbol proper, upper case; neither is known to exist.

    Raises:
        SymbolInvalid: it has not the form of a symbol.
    """
    if not symbol:
        raise SymbolInvalid(symbol, "it is empty")
    if len(symbol) > MAX_SYMBOL_LENGTH:
        raise SymbolInvalid(symbol, f"it is longer than {MAX_SYMBOL_LENGTH} characters")
    # upper() turns some letters outside ASCII into ASCII ones, so they are refused before it.
    form = _FORM.fullmatch(symbol.upper()) if symbol.isascii() else None
    if form is None:
        raise SymbolInvalid(symbol, "only letters, digits and . & _ - are allowed, with one colon after the exchange")
    return form["exchange"], form["symbol"]


def read_instrument_id(text: str) -> str:
    """Return the id that `EXCHANGE:SYMBOL`, in any case, writes; it is not known to exist.

    Raises:
        SymbolInvalid: it has not the form of a symbol, or it names no exchange.
    """
    exchange, symbol = split_symbol(text)
    if exchange not in tuple(Exchange):
        raise SymbolInvalid(text, f"its exchange is none of {', '.join(Exchange)}")
    return f"{exchange}:{symbol}"


def shown(symbol: str) -> str:
    """Return what a caller wrote, quoted, shortened and with nothing in it that a terminal or a header would act on."""
    return ascii(symbol if len(symbol) <= MAX_SHOWN_LENGTH else symbol[:MAX_SHOWN_LENGTH] + "...")
