"""What symbols mean, asked of market and remembered for when it can't be asked."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection

from chassis.clock import Clock
from portfolio.domain.ports import InstrumentSource
from portfolio.domain.symbols import Instrument, InstrumentsUnavailable, Refusal, Resolution

MAX_REMEMBERED = 20_000
ASK_AGAIN_AFTER_SECONDS = 300.0
CALLS_AT_ONCE = 16
PATIENCE_SECONDS = 3.0


class RememberedInstruments:
    """Asks a source and remembers its answers: for a while instead of it, and for as long as it is away.

    Args:
        source: who knows what symbols mean.
        clock: says when a while has passed.
        max_remembered: how many symbols are remembered.
    """

    def __init__(self, source: InstrumentSource, clock: Clock, *, max_remembered: int = MAX_REMEMBERED) -> None:
        self._source = source
        self._clock = clock
        self._max_remembered = max_remembered
        self._remembered: OrderedDict[str, tuple[float, Instrument]] = OrderedDict()

    async def resolve(self, symbol: str) -> Instrument:
        """Return the instrument that a symbol, upper case, means; a bare one means a listing in the United States.

        Raises:
            SymbolInvalid: it cannot be a symbol.
            SymbolUnknown: it names nothing.
            SymbolAmbiguous: it names several.
            InstrumentsUnavailable: nobody answers, and the symbol was not asked for lately.
        """
        asked_at, remembered = self._remembered.get(symbol, (0.0, None))
        if remembered is not None and self._clock.monotonic() - asked_at < ASK_AGAIN_AFTER_SECONDS:
            return remembered
        try:
            instrument = await self._source.resolve(symbol)
        except InstrumentsUnavailable:
            if remembered is None:
                raise
            return remembered
        self._remember(symbol, instrument)
        return instrument

    async def resolve_all(self, symbols: Collection[str]) -> Resolution:
        """Say what each of some symbols means, or why it means nothing.

        Raises:
            InstrumentsUnavailable: of one of them nobody can say, in time or at all.
        """
        wanted = list(dict.fromkeys(symbols))
        answers: dict[str, Instrument | Refusal] = {}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for start in range(0, len(wanted), CALLS_AT_ONCE):
                    portion = wanted[start : start + CALLS_AT_ONCE]
                    answers.update(zip(portion, await self._meanings(portion), strict=True))
        except TimeoutError:
            raise InstrumentsUnavailable from None
        return Resolution(
            found={symbol: each for symbol, each in answers.items() if isinstance(each, Instrument)},
            refused={symbol: each for symbol, each in answers.items() if not isinstance(each, Instrument)},
        )

    async def _meanings(self, portion: Collection[str]) -> list[Instrument | Refusal]:
        answers = await asyncio.gather(*map(self.resolve, portion), return_exceptions=True)
        meanings: list[Instrument | Refusal] = []
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Refusal):
                raise answer
            meanings.append(answer)
        return meanings

    def _remember(self, symbol: str, instrument: Instrument) -> None:
        self._remembered[symbol] = (self._clock.monotonic(), instrument)
        self._remembered.move_to_end(symbol)
        while len(self._remembered) > self._max_remembered:
            self._remembered.popitem(last=False)
