"""What symbols mean, remembered for when nobody can be asked."""

from collections import OrderedDict

from alerts.domain.ports import InstrumentSource
from chassis.clock import Clock
from chassis.errors import Code, ServiceError

MAX_REMEMBERED = 20_000
MAX_SYMBOL_LENGTH = 32
ASK_AGAIN_AFTER_SECONDS = 300.0


class SymbolInvalid(ServiceError):
    """What was written cannot be a symbol."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOL_INVALID"


class SymbolUnknown(ServiceError):
    """The symbol names no instrument."""

    code = Code.NOT_FOUND
    reason = "SYMBOL_UNKNOWN"


class SymbolAmbiguous(ServiceError):
    """The symbol names several instruments."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOL_AMBIGUOUS"


class InstrumentsUnavailable(ServiceError):
    """Nobody can say now what a symbol means."""

    code = Code.UNAVAILABLE
    reason = "INSTRUMENTS_UNAVAILABLE"
    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("the symbol cannot be looked up just now; try again shortly")


class RememberedInstruments:
    """Asks a source and remembers its answers: for a while instead of it, and for as long as it is away."""

    def __init__(self, source: InstrumentSource, clock: Clock, *, max_remembered: int = MAX_REMEMBERED) -> None:
        self._source = source
        self._clock = clock
        self._max_remembered = max_remembered
        self._remembered: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def resolve(self, symbol: str) -> str:
        """Return the instrument that a symbol means, in any case.

        Raises:
            SymbolInvalid: it cannot be a symbol.
            SymbolUnknown: it names nothing.
            SymbolAmbiguous: it names several.
            InstrumentsUnavailable: nobody answers, and the symbol was not asked for lately.
        """
        if not symbol.isascii() or not 0 < len(symbol) <= MAX_SYMBOL_LENGTH:
            raise SymbolInvalid(f"a symbol has 1 to {MAX_SYMBOL_LENGTH} letters, digits or . & _ - with one colon")
        asked = symbol.upper()
        asked_at, remembered = self._remembered.get(asked, (0.0, None))
        if remembered is not None and self._clock.monotonic() - asked_at < ASK_AGAIN_AFTER_SECONDS:
            return remembered
        try:
            instrument = await self._source.resolve(asked)
        except InstrumentsUnavailable:
            if remembered is None:
                raise
            return remembered
        self._remember(asked, instrument)
        return instrument

    def _remember(self, symbol: str, instrument: str) -> None:
        self._remembered[symbol] = (self._clock.monotonic(), instrument)
        self._remembered.move_to_end(symbol)
        while len(self._remembered) > self._max_remembered:
            self._remembered.popitem(last=False)
