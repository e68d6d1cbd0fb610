"""What watched instruments cost now, for show; one without a price has none."""

import asyncio
from collections.abc import Mapping, Sequence

from portfolio.domain.market import MarketUnavailable
from portfolio.domain.ports import TickerPriceSource
from portfolio.domain.quotes import TickerPrice

PRICES_AT_ONCE = 50


class TickerPrices:
    """Asks for the prices of any number of instruments, by fifty at once.

    Args:
        source: who knows them, up to 50 a call; its calls have an end.
    """

    def __init__(self, source: TickerPriceSource) -> None:
        self._source = source

    async def latest(self, instruments: Sequence[str]) -> Mapping[str, TickerPrice]:
        """Return the prices there are; never raises for want of an answer."""
        portions = [instruments[n : n + PRICES_AT_ONCE] for n in range(0, len(instruments), PRICES_AT_ONCE)]
        prices: dict[str, TickerPrice] = {}
        for answer in await asyncio.gather(*map(self._ask, portions)):
            prices.update(answer)
        return prices

    async def _ask(self, portion: Sequence[str]) -> Mapping[str, TickerPrice]:
        try:
            return await self._source.latest(portion)
        except MarketUnavailable:
            return {}
